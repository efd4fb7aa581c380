"""A small server of the Hugging Face hub's file API on this machine: models, revisions, files, faults.

It answers what huggingface_hub asks for a snapshot: a revision's commit, the tree of a commit, and per file a
HEAD with its ETag and commit and a GET, whole or from a byte on. Weights live behind a redirect, as they do on
the hub. Requests are noted, so that a test can see what was fetched.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

_WEIGHTS = (".safetensors", ".bin", ".h5", ".msgpack", ".onnx")


@dataclass
class HubModel:
    """A model on the server: revision -> commit, commit -> files."""

    branches: dict[str, str]
    commits: dict[str, dict[str, bytes]]
    token: str | None = None
    """Only requests with it see the model."""
    gated: bool = False
    """Everybody sees the model, nobody gets its files without the token."""
    cut: dict[str, int] = field(default_factory=dict)
    """File -> bytes after which the connection breaks, once."""
    broken: set[str] = field(default_factory=set)
    """Files that end in a server's error, until a test takes them out."""


@dataclass
class Hub:
    """The running server."""

    models: dict[str, HubModel] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    """Method, path and the first byte asked for, in order."""
    endpoint: str = ""

    def fetched(self) -> list[str]:
        """Names of the files that were downloaded, in part or whole, each as often as it was asked for."""
        return [
            line.split("/")[-1] for line in self.requests if line.startswith("GET") and "/api/" not in line
        ]


@contextmanager
def serve() -> Iterator[Hub]:
    """Run a hub for as long as the block lasts."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: ClassVar[Hub]
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        start = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0]
        self.hub.requests.append(f"{self.command} {path}" + (f" from {start}" if start != "0" else ""))
        parts = path.strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            self._api("/".join(parts[2:4]), parts[4:])
        elif parts[0] == "cdn":
            self._file("/".join(parts[1:3]), parts[3], "/".join(parts[4:]), int(start), redirect=False)
        else:
            self._file("/".join(parts[:2]), parts[3], "/".join(parts[4:]), int(start), redirect=True)

    def _model(self, model_id: str) -> HubModel | None:
        model = self.hub.models.get(model_id)
        if model is None or (model.token and not model.gated and not self._has_token(model)):
            # The hub does not tell a stranger whether a private model exists.
            self._send(401, {}, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
            return None
        return model

    def _has_token(self, model: HubModel) -> bool:
        return self.headers.get("Authorization") == f"Bearer {model.token}"

    def _api(self, model_id: str, rest: list[str]) -> None:
        model = self._model(model_id)
        if model is None:
            return
        revision = rest[1] if len(rest) > 1 else "main"
        commit = model.branches.get(revision, revision)
        if commit not in model.commits:
            self._send(404, {}, {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "Invalid rev id"})
        elif rest and rest[0] == "tree":
            self._send(200, [_entry(name, data) for name, data in model.commits[commit].items()])
        else:
            files = [{"rfilename": name} for name in model.commits[commit]]
            self._send(200, {"id": model_id, "sha": commit, "siblings": files, "private": False, "tags": []})

    def _file(self, model_id: str, revision: str, name: str, start: int, *, redirect: bool) -> None:
        model = self._model(model_id)
        if model is None:
            return
        commit = model.branches.get(revision, revision)
        data = model.commits.get(commit, {}).get(name)
        if model.gated and not self._has_token(model):
            self._send(403, {}, {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted"})
        elif data is None:
            self._send(404, {}, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
        elif name in model.broken:
            self._send(500, {"error": "out of order"})
        elif redirect and name.endswith(_WEIGHTS):
            linked = {"X-Linked-Etag": _etag(data), "X-Linked-Size": str(len(data)), "X-Repo-Commit": commit}
            location = f"{self.hub.endpoint}/cdn/{model_id}/{commit}/{name}"
            self._send(302, {}, {**linked, "Location": location})
        else:
            self._send_file(model, commit, name, data, start)

    def _send_file(self, model: HubModel, commit: str, name: str, data: bytes, start: int) -> None:
        self.send_response(206 if start else 200)
        headers = {"ETag": _etag(data), "X-Repo-Commit": commit, "Content-Length": str(len(data) - start)}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        for header, value in headers.items():
            self.send_header(header, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        end = model.cut.pop(name, len(data))
        self.wfile.write(data[start:end])
        if end < len(data):
            self.close_connection = True

    def _send(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for header, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(header, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _etag(data: bytes) -> str:
    return f'"{hashlib.sha256(data).hexdigest()}"'


def _entry(name: str, data: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(data).hexdigest()
    entry: dict[str, Any] = {"type": "file", "path": name, "size": len(data), "oid": digest[:40]}
    if name.endswith(_WEIGHTS):
        entry["lfs"] = {"oid": digest, "size": len(data), "pointerSize": 134}
    return entry

"""Fetching a checkpoint from a hub, with huggingface_hub's own client, in processes of their own.

HF_ENDPOINT, HF_HUB_CACHE and HF_HUB_OFFLINE are read as the library is imported.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub.constants import DOWNLOAD_CHUNK_SIZE
from support.doubles.hub_server import Hub, HubModel, serve
from support.places import ROOT

MODEL = "owner/tiny-speech"
FIRST, SECOND = "1" * 40, "2" * 40
COPY = f"`hf download {MODEL} --local-dir DIRECTORY`, and give DIRECTORY in place of the id"

FETCH = """
import json, sys, time
time.sleep = lambda _: None  # huggingface_hub waits longer and longer between its tries
from exporter.errors import CheckpointError
from exporter.checkpoints.sources.files import fetch_weights, locate_checkpoint
stages = []
try:
    files = locate_checkpoint(sys.argv[1], sys.argv[2] or None, on_stage=stages.append)
    small = sorted(path.name for path in files.directory.iterdir())
    fetch_weights(files, on_stage=stages.append)
except CheckpointError as error:
    print(json.dumps({"error": str(error), "stages": stages}))
else:
    found = sorted(path.relative_to(files.directory).as_posix() for path in files.directory.rglob("*"))
    print(json.dumps({
        "directory": str(files.directory), "revision": files.revision, "model_id": files.model_id,
        "card_url": files.card_url, "small": small, "files": found, "stages": stages,
    }))
"""

WEIGHTS = bytes(range(256)) * 4000
SMALL = {
    "config.json": b'{"model_type": "speech-encoder-decoder"}',
    # No two alike: the cache keeps a content once, and would ask for it once.
    "generation_config.json": b'{"num_beams": 2}',
    "preprocessor_config.json": b'{"sampling_rate": 16000}',
    "tokenizer_config.json": b'{"pad_token": "<pad>"}',
    "sentencepiece.bpe.model": b"words",
    "README.md": b"---\nlicense: mit\n---\n",
}
OTHERS = {
    ".gitattributes": b"*.bin filter=lfs",
    "planted.py": b"raise SystemExit",
    "optimizer.pt": b"moments",
    "training_args.bin": b"arguments",
    "trainer_state.json": b"{}",
    "tf_model.h5": b"weights for another library",
    "flax_model.msgpack": b"and for a third",
    "adapter_model.safetensors": b"another model's",
    "onnx/model.onnx": b"exported",
    "onnx/config.json": b"{}",
    "checkpoint-500/model.safetensors": b"half trained",
}


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serve() as hub:
        yield hub


def model(weights: dict[str, bytes], **options: Any) -> HubModel:
    files = {**SMALL, **OTHERS, **weights}
    return HubModel({"main": FIRST}, {FIRST: files}, **options)


def fetch(
    hub: Hub, cache: Path, model_id: str = MODEL, revision: str = "", **environment: str
) -> dict[str, Any]:
    kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    settings = {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(cache.parent / "home"),
        "HF_HUB_CACHE": str(cache),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", FETCH, model_id, revision],
        cwd=ROOT,
        env={**kept, **settings, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def refusal(hub: Hub, cache: Path, *arguments: str, **environment: str) -> str:
    message: str = fetch(hub, cache, *arguments, **environment)["error"]
    assert "\n" not in message
    return message


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_a_checkpoint_is_fetched(hub: Hub, cache: Path) -> None:
    hub.models[MODEL] = model({"model.safetensors": WEIGHTS, "pytorch_model.bin": b"the same, pickled"})
    found = fetch(hub, cache)
    assert (found["revision"], found["model_id"]) == (FIRST, MODEL)
    assert found["card_url"] == f"https://huggingface.co/{MODEL}"
    # Nothing of other frameworks, of the training or of sub-folders; no code; no pickle beside safetensors.
    assert found["small"] == sorted(SMALL)
    assert found["files"] == sorted([*SMALL, "model.safetensors"])
    assert found["stages"] == ["fetch configuration", "fetch weights"]
    assert sorted(hub.fetched()) == sorted([*SMALL, "model.safetensors"])
    assert (Path(found["directory"]) / "model.safetensors").read_bytes() == WEIGHTS


def test_what_is_in_the_cache_is_not_fetched_again(hub: Hub, cache: Path) -> None:
    hub.models[MODEL] = model({"model.safetensors": WEIGHTS})
    first = fetch(hub, cache)
    hub.requests.clear()
    again = fetch(hub, cache)
    assert (again["directory"], again["files"]) == (first["directory"], first["files"])
    assert hub.fetched() == []
    # And without any network at all.
    hub.requests.clear()
    offline = fetch(hub, cache, HF_HUB_OFFLINE="1")
    assert (offline["directory"], offline["files"]) == (first["directory"], first["files"])
    assert hub.requests == []


@pytest.mark.parametrize(
    ("weights", "wanted"),
    [
        ({"pytorch_model.bin": b"pickled"}, ["pytorch_model.bin"]),
        (
            {
                "model.safetensors.index.json": json.dumps(
                    {"weight_map": {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}}
                ).encode(),
                "model-1-of-2.safetensors": b"one",
                "model-2-of-2.safetensors": b"two",
                "pytorch_model.bin": b"the same, pickled",
            },
            ["model-1-of-2.safetensors", "model-2-of-2.safetensors", "model.safetensors.index.json"],
        ),
        (
            {
                "pytorch_model.bin.index.json": b'{"weight_map": {"a": "pytorch_model-1-of-1.bin"}}',
                "pytorch_model-1-of-1.bin": b"one",
                "model.fp16.safetensors": b"a variant that nobody asked for",
            },
            ["pytorch_model-1-of-1.bin", "pytorch_model.bin.index.json"],
        ),
    ],
)
def test_the_weights_that_are_there(
    hub: Hub, cache: Path, weights: dict[str, bytes], wanted: list[str]
) -> None:
    hub.models[MODEL] = model(weights)
    assert fetch(hub, cache)["files"] == sorted([*SMALL, *wanted])


def test_flax_weights_where_there_are_no_others(hub: Hub, cache: Path) -> None:
    hub.models[MODEL] = model({})
    assert fetch(hub, cache)["files"] == sorted([*SMALL, "flax_model.msgpack"])


def test_flax_weights_in_shards(hub: Hub, cache: Path) -> None:
    shards = {f"flax_model-0000{number}-of-00002.msgpack": b"one" for number in (1, 2)}
    index = {"weight_map": dict(zip("ab", shards, strict=True))}
    files = {**model({"flax_model.msgpack.index.json": json.dumps(index).encode()}).commits[FIRST], **shards}
    del files["flax_model.msgpack"]
    hub.models[MODEL] = HubModel({"main": FIRST}, {FIRST: files})
    assert fetch(hub, cache)["files"] == sorted([*SMALL, *shards, "flax_model.msgpack.index.json"])


def test_no_weights_that_can_be_read(hub: Hub, cache: Path) -> None:
    files = model({}).commits[FIRST]
    del files["flax_model.msgpack"]
    hub.models[MODEL] = HubModel({"main": FIRST}, {FIRST: files})
    message = refusal(hub, cache)
    assert message.startswith(
        f"{MODEL} has no weights that can be read (model.safetensors, model.safetensors.index.json, "
        "pytorch_model.bin, pytorch_model.bin.index.json, flax_model.msgpack, flax_model.msgpack.index.json); it has "
        ".gitattributes, README.md, "
    )
    assert "tf_model.h5" in message
    assert message.endswith(
        "; tf_model.h5 holds TensorFlow weights: load it with transformers 4 and from_tf=True, then save_pretrained()"
    )


def test_an_index_that_names_what_is_not_there(hub: Hub, cache: Path) -> None:
    index = b'{"weight_map": {"a": "model-1-of-1.safetensors"}}'
    hub.models[MODEL] = model({"model.safetensors.index.json": index})
    assert refusal(hub, cache).startswith(
        f"{MODEL} at {FIRST} lacks model-1-of-1.safetensors, although model.safetensors.index.json names it: "
    )


@pytest.mark.parametrize("index", [b"{", b"[]", b"{}", b'{"weight_map": 3}'])
def test_an_index_that_is_none(hub: Hub, cache: Path, index: bytes) -> None:
    hub.models[MODEL] = model({"model.safetensors.index.json": index})
    assert refusal(hub, cache).startswith(
        f"{MODEL}: model.safetensors.index.json cannot be read as an index of weights: "
    )


# Interrupted.


def test_a_broken_connection_is_resumed_where_it_broke(hub: Hub, cache: Path) -> None:
    # The hub's library writes in pieces; what came of the piece that broke is fetched again.
    large = WEIGHTS * (3 * DOWNLOAD_CHUNK_SIZE // len(WEIGHTS))
    cut = DOWNLOAD_CHUNK_SIZE + DOWNLOAD_CHUNK_SIZE // 2
    hub.models[MODEL] = model({"model.safetensors": large}, cut={"model.safetensors": cut})
    found = fetch(hub, cache)
    assert (Path(found["directory"]) / "model.safetensors").read_bytes() == large
    assert [line for line in hub.requests if line.startswith("GET /cdn/")] == [
        f"GET /cdn/{MODEL}/{FIRST}/model.safetensors",
        f"GET /cdn/{MODEL}/{FIRST}/model.safetensors from {DOWNLOAD_CHUNK_SIZE}",
    ]


def test_a_failed_download_goes_on_with_the_files_that_are_missing(hub: Hub, cache: Path) -> None:
    index = b'{"weight_map": {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}}'
    shards = {f"model-{number}-of-2.safetensors": WEIGHTS for number in (1, 2)}
    shards["model-2-of-2.safetensors"] += b"another"
    hub.models[MODEL] = model(
        {"model.safetensors.index.json": index, **shards}, broken={"model-2-of-2.safetensors"}
    )
    message = refusal(hub, cache)
    assert message.startswith(
        f"{MODEL} at revision {FIRST} is no local directory, the cache {cache} holds no "
    )
    assert f"{hub.endpoint} cannot be reached (Server error '500 Internal Server Error'" in message
    hub.models[MODEL].broken.clear()
    hub.requests.clear()
    assert set(shards) <= set(fetch(hub, cache)["files"])
    assert hub.fetched() == ["model-2-of-2.safetensors"]


# Revisions.


@pytest.mark.parametrize(
    ("revision", "commit"), [("", FIRST), ("main", FIRST), ("v2", SECOND), (SECOND, SECOND), (FIRST, FIRST)]
)
def test_the_revision_is_honoured(hub: Hub, cache: Path, revision: str, commit: str) -> None:
    files = {**SMALL, "model.safetensors": WEIGHTS}
    hub.models[MODEL] = HubModel(
        {"main": FIRST, "v2": SECOND}, {FIRST: files, SECOND: {**files, "config.json": b'{"second": 2}'}}
    )
    found = fetch(hub, cache, MODEL, revision)
    assert found["revision"] == commit
    config = (Path(found["directory"]) / "config.json").read_bytes()
    assert (config == b'{"second": 2}') == (commit == SECOND)


def test_a_revision_that_is_not_there(hub: Hub, cache: Path) -> None:
    hub.models[MODEL] = model({"model.safetensors": WEIGHTS})
    assert refusal(hub, cache, MODEL, "v3") == (
        f"{MODEL} has no revision v3: give a branch, tag or commit that {hub.endpoint}/{MODEL} lists, or leave it out"
    )


# Refused.


def test_a_model_that_is_not_there(hub: Hub, cache: Path) -> None:
    assert refusal(hub, cache, "nobody/nothing") == (
        f"nobody/nothing is no local directory, and {hub.endpoint} shows no such model to this login: check the "
        "name; for a private model log in with `hf auth login` (or set HF_TOKEN)"
    )


def test_a_gated_model(hub: Hub, cache: Path) -> None:
    hub.models[MODEL] = model({"model.safetensors": WEIGHTS}, token="secret", gated=True)  # noqa: S106
    message = refusal(hub, cache)
    assert message == (
        f"{MODEL} is gated: accept its terms at {hub.endpoint}/{MODEL}, log in with `hf auth login` (or set "
        "HF_TOKEN) and run this again"
    )
    assert fetch(hub, cache, HF_TOKEN="secret")["files"] == sorted([*SMALL, "model.safetensors"])  # noqa: S106


def test_a_private_model_needs_the_token_that_the_hub_library_knows(hub: Hub, cache: Path) -> None:
    hub.models[MODEL] = model({"model.safetensors": WEIGHTS}, token="secret")  # noqa: S106
    assert "shows no such model to this login" in refusal(hub, cache)
    assert fetch(hub, cache, HF_TOKEN="secret")["revision"] == FIRST  # noqa: S106
    # As `hf auth login` leaves it.
    token = cache.parent / "token"
    token.write_text("secret", encoding="utf-8")
    found = fetch(hub, cache.parent / "another", HF_TOKEN_PATH=str(token))
    assert found["revision"] == FIRST


# No network.


def test_no_network(hub: Hub, cache: Path) -> None:
    hub.endpoint = "http://127.0.0.1:9"  # nobody listens there
    message = refusal(hub, cache)
    assert message.startswith(
        f"{MODEL} is no local directory, the cache {cache} holds no whole copy, and "
        "http://127.0.0.1:9 cannot be reached ("
    )
    assert message.endswith(f"fetch it where there is a network with {COPY}")


def test_offline_without_a_copy(hub: Hub, cache: Path) -> None:
    hub.models[MODEL] = model({"model.safetensors": WEIGHTS})
    assert refusal(hub, cache, HF_HUB_OFFLINE="1") == (
        f"{MODEL} is no local directory, the cache {cache} holds no whole copy, and HF_HUB_OFFLINE forbids a "
        f"download: fetch it where there is a network with {COPY}"
    )
    assert hub.requests == []


def test_offline_with_a_part_of_it(hub: Hub, cache: Path) -> None:
    hub.models[MODEL] = model({"model.safetensors": WEIGHTS}, broken={"model.safetensors"})
    refusal(hub, cache)
    message = refusal(hub, cache, HF_HUB_OFFLINE="1")
    assert message.startswith(
        f"{MODEL} at revision {FIRST} is no local directory, the cache {cache} holds no whole copy, and "
        "HF_HUB_OFFLINE forbids a download: "
    )
    # A configuration file that is missing is noticed as well.
    (cache / "models--owner--tiny-speech" / "snapshots" / FIRST / "config.json").unlink()
    assert "holds no whole copy, and HF_HUB_OFFLINE forbids" in refusal(hub, cache, HF_HUB_OFFLINE="1")


def test_a_server_that_is_no_hub(hub: Hub, cache: Path) -> None:
    hub.models[MODEL] = model({"model.safetensors": WEIGHTS}, broken={"config.json"})
    assert "500 Internal Server Error" in refusal(hub, cache)

"""What is done to a copy of a bundle so that it is refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from support.link_layouts import link

from s2t_runtime.bundles.verification import FAST_HASH_LIMIT

Document = dict[str, Any]


def edit(change: Callable[[Document], object]) -> Callable[[Path], None]:
    """Change the manifest's document."""

    def alter(root: Path) -> None:
        document = json.loads((root / "manifest.json").read_text(encoding="utf-8"))
        change(document)
        replace(root / "manifest.json", json.dumps(document, ensure_ascii=False).encode())

    return alter


def replace(path: Path, data: bytes) -> None:
    """New bytes for a file that shares its old ones with other copies."""
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def vouched(relative: str, data: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Change a file and let the manifest vouch for it."""

    def alter(root: Path) -> None:
        changed = data((root / relative).read_bytes())
        replace(root / relative, changed)
        record = {"size": len(changed), "sha256": hashlib.sha256(changed).hexdigest()}
        edit(lambda document: document["files"].update({relative: record}))(root)

    return alter


def manifest_text(text: bytes) -> Callable[[Path], None]:
    return lambda root: replace(root / "manifest.json", text)


def remove(*names: str) -> Callable[[Path], None]:
    return lambda root: [(root / name).unlink() for name in names] and None


def rename_file(name: str) -> Callable[[Path], None]:
    return edit(lambda document: document["files"].update({name: {"size": 1, "sha256": "0"}}))


def all_wrong(document: Document) -> None:
    document["audio"]["sampling_rate"] = "16000"
    document["audio"]["padding_safe"] = 1
    del document["decoder"]["heads"]
    document["decoder"]["cross_attention"] = "sometimes, as the moon and the stars would have it: 12"
    document["decoder"]["max_positions"] = 1.5
    document["graphs"]["fp32"]["encoder"]["inputs"][0]["shape"] = [None, True]
    document["graphs"]["fp32"]["encoder"]["inputs"][0]["dtype"] = "float8"
    document["graphs"]["fp32"]["decoder_with_past"] = []
    document["files"]["vocabulary.bin"] = "here"
    document["languages"] = [1]
    document["decoder"]["output_vocabulary"] = {"path": 3}
    document["graphs"]["fp32"]["policy"] = {
        "base": "int4", "blocks": {"a": {"precision": "float16", "reason": None}, "b": 1},
        "budget": {"log_prob_difference": "small", "token_agreement": True}, "measured": [],
    }  # fmt: skip
    document["detokenizer"]["steps"] = [{"step": "fly"}, 3]
    document["model"]["licence"] = {"name": "CC"}
    document["generation"] = None


def loop(root: Path) -> None:
    (root / "vocabulary.bin").unlink()
    (root / "vocabulary.bin").symlink_to("other.bin")
    (root / "other.bin").symlink_to("vocabulary.bin")


def leaves(root: Path) -> None:
    (root / "vocabulary.bin").unlink()
    (root / "vocabulary.bin").symlink_to("../../golden.json")


def linked_elsewhere(name: str, data: Callable[[bytes], bytes | None]) -> Callable[[Path], None]:
    """Change a file and put it beside the bundle, with a link in its place; None: there is nothing beside it."""

    def alter(root: Path) -> None:
        stored = root.with_name(f"{root.name} store")
        changed = data((root / name).read_bytes())
        if changed is not None:
            replace(stored, changed)
        link(root / name, stored)

    return alter


def large_elsewhere(root: Path) -> None:
    """Behind a link that leaves the bundle, a file of other bytes and of a size that is not hashed inside."""
    stored = root.with_name(f"{root.name} store")
    with stored.open("wb") as file:
        file.truncate(FAST_HASH_LIMIT)  # sparse
    link(root / "large.bin", stored)
    record = {"size": FAST_HASH_LIMIT, "sha256": "0" * 64}
    edit(lambda document: document["files"].update({"large.bin": record}))(root)


def unlisted_weights(root: Path) -> None:
    """Behind a link that leaves the bundle, where the graphs look for them."""
    linked_elsewhere("fp32/encoder.onnx.data", lambda data: data)(root)
    edit(lambda document: document["files"].pop("fp32/encoder.onnx.data"))(root)


def folder(root: Path) -> None:
    (root / "vocabulary.bin").unlink()
    (root / "vocabulary.bin").mkdir()


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def generation(**values: Any) -> Callable[[Path], None]:
    return edit(lambda document: document["generation"].update(values))


def detokenizer(**values: Any) -> Callable[[Path], None]:
    return edit(lambda document: document.update(detokenizer=values))


def without_start(document: Document) -> None:
    for name in ("decoder_start_token_id", "bos_token_id"):
        document["generation"].pop(name, None)


def output_vocabulary(data: bytes, count: int, **more: Any) -> Callable[[Path], None]:
    """Let the manifest name a list of tokens; the graphs stay what they are."""

    def alter(root: Path) -> None:
        (root / "ids.bin").write_bytes(b"")
        vouched("ids.bin", lambda _: data)(root)
        listed = {"path": "ids.bin", "count": count}
        edit(lambda document: document["decoder"].update(output_vocabulary=listed))(root)
        edit(lambda document: document.update({"format_version": 3, **more}))(root)

    return alter


def ids_file(ids: Sequence[int]) -> bytes:
    """As output_vocabulary.bin lists them."""
    return np.array(ids, dtype="<i4").tobytes()


def some_tokens(without: int = 9) -> Callable[[Path], None]:
    ids = [token for token in range(300) if token != without]
    return output_vocabulary(ids_file(ids), len(ids))


def unlisted_ids(root: Path) -> None:
    some_tokens()(root)
    edit(lambda document: document["files"].pop("ids.bin"))(root)


INT8_POLICY = {
    "base": "int8",
    "blocks": {
        "encoder.adapter": {"precision": "float32", "reason": "the budget needs it", "extra_bytes": 460}
    },
    "budget": {"log_prob_difference": 0.1, "token_agreement": 1},
    "measured": {"log_prob_difference": 0.05, "token_agreement": 1.0},
}

"""Bundles that are directories of links decode as plain ones do, wherever the links lead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.digits.scale import RATE, Waveform
from support.link_layouts import LARGE, LAYOUTS, all_linked, hub_cache, link, one_linked_file

import s2t_runtime
from s2t_runtime import BundleError, Result, SpeechToText


def _decoded(model: SpeechToText, waveform: Waveform) -> list[tuple[tuple[int, ...], float]]:
    result: Result = model.generate(
        waveform, sampling_rate=RATE, language="de", num_beams=3, num_return_sequences=3, max_new_tokens=12
    )
    return [(one.tokens, one.score) for one in result.hypotheses]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_directory_of_links_decodes_as_the_bundle_does(
    model: SpeechToText, digits_bundle: Path, waveforms: list[Waveform], tmp_path: Path, layout: str
) -> None:
    root = LAYOUTS[layout](digits_bundle, tmp_path)
    with s2t_runtime.load(root, threads=1) as linked:
        assert _decoded(linked, waveforms[0]) == _decoded(model, waveforms[0])


def test_a_bundle_that_cannot_be_written_decodes(
    model: SpeechToText, digits_bundle: Path, waveforms: list[Waveform], tmp_path: Path
) -> None:
    root = all_linked(digits_bundle, tmp_path)
    folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        with s2t_runtime.load(root, threads=1) as linked:
            assert _decoded(linked, waveforms[0]) == _decoded(model, waveforms[0])
    finally:
        for folder in folders:
            folder.chmod(0o755)


@pytest.mark.parametrize("layout", [one_linked_file, all_linked])
def test_other_weights_behind_a_link_are_refused(
    digits_bundle: Path, tmp_path: Path, layout: Callable[[Path, Path], Path]
) -> None:
    root = layout(digits_bundle, tmp_path)
    stored = (root / LARGE).resolve()
    data = bytearray(stored.read_bytes())
    data[-1] ^= 1
    stored.write_bytes(data)
    with pytest.raises(BundleError) as caught:
        s2t_runtime.load(root)
    assert f"is damaged: {LARGE} (a link to {stored}) has sha256 " in str(caught.value)


def test_a_link_out_of_the_blobs_is_followed_as_any_other(digits_bundle: Path, tmp_path: Path) -> None:
    root = hub_cache(digits_bundle, tmp_path)
    other = tmp_path / "models--other--name" / "blobs"
    other.mkdir(parents=True)
    (root / LARGE).resolve().rename(other / "abc")
    link(root / LARGE, other / "abc")
    s2t_runtime.load(root).close()
    (other / "abc").write_bytes(b"other weights")
    with pytest.raises(BundleError, match=rf"{LARGE} \(a link to {other}/abc\) has 13 bytes, wanted "):
        s2t_runtime.load(root)

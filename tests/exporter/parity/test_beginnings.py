"""Padding tokens in front: as start token with a forced one behind it, and in prompts, against eager's generate()."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.tiny.encoders import SAMPLING_RATE
from support.tiny.models import PAIRS, Once, Pair, bundle, load

import s2t_runtime
from exporter.parity.coverage import beginnings
from exporter.parity.decodings import as_generate_takes_them, compare_beginnings
from exporter.reference.eager import EagerReference
from exporter.reference.probe_audio import probe_utterance
from exporter.reference.utterance import Utterance

ROBERTA = Pair("wav2vec2-group", "roberta", return_attention_mask=False)
OTHERS = [
    pytest.param(Pair("wav2vec2-group", name, return_attention_mask=False), marks=pytest.mark.broad, id=name)
    for name in (
        "roberta",
        "roberta-late-padding",
        "xmod",
        "data2vec-text",
        "marian",
        "electra",
        "xglm",
    )
]
AUDIO = [probe_utterance(length_s, SAMPLING_RATE, 3).astype(np.float32) for length_s in (0.6, 0.9)]


@pytest.mark.parametrize("pair", [*PAIRS[:2], *OTHERS], ids=lambda pair: pair.name)
def test_each_beginning_decodes_as_in_eager(once: Once, pair: Pair) -> None:
    reference = EagerReference(load(once, pair))
    padding = reference.model.config.decoder.pad_token_id
    with s2t_runtime.load(bundle(once, pair), threads=1) as model:
        asked = beginnings(model, padding)
        assert {(padding, True), (padding, False)} <= {
            (options["decoder_start_token_id"], "forced_bos_token_id" in options) for options in asked
        }
        for options in ({**one, "num_beams": width} for one in asked for width in (1, 2, 4)):
            told = as_generate_takes_them(options)
            wanted = [reference.generate([audio], **told)[0] for audio in AUDIO]
            found = model.generate(AUDIO, sampling_rate=SAMPLING_RATE, **options)
            for one, eager in zip(found, wanted, strict=True):
                assert one.tokens == eager.tokens[0], options
                assert one.score == pytest.approx(eager.scores[0], abs=1e-4)


@pytest.mark.broad
def test_the_check_sees_a_bundle_that_joins_what_it_must_not(once: Once, tmp_path: Path) -> None:
    root = Path(shutil.copytree(bundle(once, ROBERTA), tmp_path / "bundle"))
    reference = EagerReference(load(once, ROBERTA))
    document = json.loads((root / "manifest.json").read_text(encoding="utf-8"))
    padding = reference.model.config.decoder.pad_token_id
    assert document["decoder"]["alone_ids"] == [padding]
    utterance = Utterance("probe", AUDIO[0])

    def passed(alone: object) -> list[bool]:
        document["decoder"]["alone_ids"] = alone
        (root / "manifest.json").write_text(json.dumps(document), encoding="utf-8")
        with s2t_runtime.load(root, threads=1) as model:
            rows = compare_beginnings(reference, model, utterance, beginnings(model, padding))
        return [row.passed for row in rows]

    assert all(passed([padding]))
    assert all(passed(None))  # nobody measured, so nothing is joined
    assert not all(passed([]))

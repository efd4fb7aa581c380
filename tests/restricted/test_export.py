"""A restricted vocabulary through whole exports: the digits model in every precision, and random weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from support.places import ROOT
from support.restricted.bundles import Restricted, open_restricted
from support.restricted.eager import Eager, cut_generate, suppressed_generate
from support.tiny import models as tiny_models
from support.tiny.models import Once
from support.tiny.pairs import VOCAB, decoder_config, encoder_config
from transformers import SpeechEncoderDecoderConfig

import s2t_runtime
from benchmarks.measuring.agreement import agreement
from benchmarks.peers.runtime.peer import open_peer as open_runtime
from benchmarks.peers.tasks import make_tasks
from benchmarks.peers.torch.peer import open_peer as open_eager
from exporter import ExportOptions, export_checkpoint
from exporter.commands.check import main as check_main
from exporter.commands.export import main as export_main
from exporter.parity.decodings import SCORE_TOLERANCE

DIGITS = ROOT / "examples" / "digits"
RECORDINGS = tuple(sorted((DIGITS / "recordings").glob("*.wav")))

pytestmark = pytest.mark.broad


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def digits(once: Once, digits_checkpoint: Path) -> Restricted:
    def make(path: Path) -> None:
        text = path.parent / "numbers.txt"
        text.write_text(
            "null eins zwei drei vier fünf\nsechs sieben acht neun hundert und zwanzig\n", encoding="utf-8"
        )
        export_checkpoint(
            str(digits_checkpoint),
            ExportOptions(
                output=path, precisions=("fp32", "fp16", "int8"), vocab_from=(text,), audio=RECORDINGS
            ),
        )

    checkpoint = tiny_models.load_checkpoint(tiny_models.locate_checkpoint(str(digits_checkpoint)))
    return open_restricted(once("restricted-digits", make), checkpoint)


@pytest.mark.parametrize("eager", [cut_generate, suppressed_generate])
def test_digits_decode_as_eager_does(digits: Restricted, waveforms: list[Any], eager: Eager) -> None:
    assert len(digits.ids) < 80
    searches = [{"num_beams": 1}, {"num_beams": 5, "num_return_sequences": 5}]
    with s2t_runtime.load(digits.bundle.root, precision="fp32", threads=1) as model:
        for audio in waveforms:
            # Of these languages the text has the words of one.
            for language in ("de", "cy"):
                for search in searches:
                    asked = {"max_new_tokens": 30, **search}
                    got = model.generate(audio, sampling_rate=16_000, language=language, **asked)
                    forced = model.manifest.languages[language]
                    wanted = eager(
                        digits.checkpoint, digits.ids, audio, {**asked, "forced_bos_token_id": forced}
                    )
                    assert tuple(one.tokens for one in got.hypotheses) == wanted.tokens
                    np.testing.assert_allclose(
                        [one.score for one in got.hypotheses], wanted.scores, atol=1e-4
                    )


def test_int8_is_within_its_budget_of_float32(digits: Restricted) -> None:
    assert len(RECORDINGS) > 5
    with (
        s2t_runtime.load(digits.bundle.root, precision="fp32", threads=1) as full,
        s2t_runtime.load(digits.bundle.root, precision="int8", threads=1) as rounded,
    ):
        for recording in RECORDINGS:
            for beams in (1, 5):
                wanted, got = (
                    model.generate(recording, language="de", num_beams=beams, num_return_sequences=beams)
                    for model in (full, rounded)
                )
                assert {token for one in got.hypotheses for token in one.tokens} <= set(digits.ids)
                assert got.tokens == wanted.tokens
                differences = np.subtract(got.hypotheses[0].log_probs, wanted.hypotheses[0].log_probs)
                assert np.abs(differences).max() <= 0.1


def test_the_export_proved_digits_in_every_precision(digits: Restricted) -> None:
    reports = json.loads((digits.bundle.root / "parity.json").read_text(encoding="utf-8"))
    passed = [("fp32", True), ("fp16", True), ("int8", True)]
    assert [(one["precision"], one["passed"]) for one in reports] == passed
    assert [one["written_tokens"] for one in reports] == [len(digits.ids)] * 3
    page = (digits.bundle.root / "parity.md").read_text(encoding="utf-8")
    assert f"cut to the {len(digits.ids)} tokens that the bundle writes" in page
    policy = digits.bundle.manifest.graphs["fp16"].policy
    assert policy is not None
    assert set(policy.blocks) >= {"features", "norms", "softmax", "scores"}
    options = digits.bundle.manifest.provenance["options"]
    assert isinstance(options, dict)
    assert (options["vocab_from"], options["vocab_tokens"]) == (["numbers.txt"], None)
    weights = digits.bundle.manifest.files
    assert weights["fp16/decoder.onnx.data"].size < 0.52 * weights["fp32/decoder.onnx.data"].size


def test_check_s2t_knows_of_it(digits: Restricted, digits_checkpoint: Path) -> None:
    spoken = [argument for path in RECORDINGS for argument in ("--audio", str(path))]
    against = ["--against", str(digits_checkpoint), "--json", *spoken]
    result = CliRunner().invoke(check_main, [str(digits.bundle.root), *against])
    assert result.exit_code == 0, result.output
    assert [record["passed"] for record in json.loads(result.stdout)] == [True, True, True]


def test_eager_as_a_peer_answers_with_the_same_tokens(
    digits: Restricted, digits_checkpoint: Path, tmp_path: Path
) -> None:
    tasks = make_tasks(digits.bundle, tmp_path, (1.0,), (1, 5), 8)
    bundle = str(digits.bundle.root)
    eager = open_eager(bundle=bundle, against=[str(digits_checkpoint)], device="cpu", threads=1)
    runtime = open_runtime(bundle=bundle, precision="fp32", threads=1)
    for task in tasks:
        found = agreement(runtime.answer(task), eager.answer(task), task.tokens)
        assert (found.identical, found.agreeing) == (1, task.tokens)
        assert found.score_difference < SCORE_TOLERANCE
        assert len(eager.run(task).times.steps_s) == task.tokens - 1
    runtime.close()


# Random weights: there is no tokenizer, so a list says which tokens are kept.


def test_random_weights_take_a_list_of_ids(tmp_path: Path) -> None:
    roles = {"is_decoder": True, "add_cross_attention": True}
    config = SpeechEncoderDecoderConfig.from_encoder_decoder_configs(
        encoder_config(), decoder_config("mbart", **roles), decoder_start_token_id=2
    )
    config.save_pretrained(tmp_path / "geometry")
    (tmp_path / "ids").write_text("".join(f"{token}\n" for token in range(5, 30)), encoding="utf-8")
    source = ["--random-weights", str(tmp_path / "geometry")]
    listed = ["--vocab-tokens", str(tmp_path / "ids")]
    precisions = ["--precision", "fp32,int8", "-o", str(tmp_path / "bundle")]
    result = CliRunner().invoke(export_main, [*source, *listed, *precisions])
    assert result.exit_code == 0, result.output
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text(encoding="utf-8"))
    count = manifest["decoder"]["output_vocabulary"]["count"]
    assert 25 < count < 30
    assert f"the decoder writes {count} of {VOCAB} tokens" in result.stdout
    checked = CliRunner().invoke(check_main, [str(tmp_path / "bundle"), "--against", source[1]])
    assert checked.exit_code == 0, checked.output
    assert checked.output.count(f"cut to the {count} tokens that the bundle writes") == 2
    assert "## int8: passed" in checked.output
    refused = CliRunner().invoke(
        export_main, [*source, "--vocab-from", str(tmp_path / "ids"), "-o", "bundle"]
    )
    assert refused.exit_code == 1
    assert (
        "comes without a tokenizer, so --vocab-from cannot tell which tokens a text needs" in refused.stderr
    )

"""The digits bundle in int8: what the budget allows, measured on speech that training never saw."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import corpus
import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from click.testing import CliRunner
from support.digits.scale import RATE

import s2t_runtime
from exporter.commands.check import main as check_main
from exporter.engines.build import compile_bundle
from exporter.engines.options import EngineOptions
from exporter.errors import EngineError
from exporter.pipeline.bundle_writer import describe_files
from s2t_runtime import Result, SpeechToText
from s2t_runtime.bundles.bundle import open_bundle
from s2t_runtime.bundles.manifest import Manifest
from s2t_runtime.errors import OptionError
from s2t_runtime.sessions.onnxruntime.graph_loader import GraphLoader


@pytest.fixture(scope="module")
def both(digits_int8_bundle: Path) -> Iterator[tuple[SpeechToText, SpeechToText]]:
    with (
        s2t_runtime.load(digits_int8_bundle, precision="fp32", threads=1) as full,
        s2t_runtime.load(digits_int8_bundle, precision="int8", threads=1) as small,
    ):
        yield full, small


def decoded(
    model: SpeechToText, utterances: list[corpus.Utterance], languages: list[str]
) -> list[tuple[bool, Result]]:
    """Each result, and whether its text is right."""
    given = [(language, utterance) for language in languages for utterance in utterances]
    results = [
        model.generate(utterance.audio, sampling_rate=RATE, language=language, num_beams=1)
        for language, utterance in given
    ]
    return [
        (result.text == corpus.words(utterance.number, language), result)
        for (language, utterance), result in zip(given, results, strict=True)
    ]


def compare(
    both: tuple[SpeechToText, SpeechToText], utterances: list[corpus.Utterance], languages: list[str]
) -> None:
    full, small = (decoded(model, utterances, languages) for model in both)
    exact = [np.mean([right for right, _ in results]) for results in (full, small)]
    # At most one point of exact match is lost.
    assert exact[1] >= exact[0] - 0.01
    assert exact[0] > 0.9
    # Log-probabilities are those of the same steps where the tokens are the same.
    same = [
        (ours, theirs)
        for (_, ours), (_, theirs) in zip(full, small, strict=True)
        if ours.tokens == theirs.tokens
    ]
    assert len(same) >= 0.98 * len(full)
    differences = [
        np.abs(np.subtract(*(result.hypotheses[0].log_probs for result in pair))).max() for pair in same
    ]
    assert 0 < max(differences) <= 0.1  # it is another model


def test_exact_match_in_two_languages(
    both: tuple[SpeechToText, SpeechToText], recordings_directory: Path
) -> None:
    compare(both, corpus.test_utterances(recordings_directory, count=40), ["de", "cy"])


@pytest.mark.broad
def test_exact_match_on_the_whole_test_split(
    both: tuple[SpeechToText, SpeechToText], recordings_directory: Path
) -> None:
    compare(both, corpus.test_utterances(recordings_directory, count=240), list(corpus.LANGUAGES))


def test_beam_search_agrees_on_clear_speech(
    both: tuple[SpeechToText, SpeechToText], digits_checkpoint: Path
) -> None:
    recordings = sorted((digits_checkpoint.parent / "recordings").glob("*.wav"))
    for recording in recordings:
        texts = {model.generate(recording, language="de", num_beams=5).text for model in both}
        assert len(texts) == 1


def test_a_batch_is_near_what_each_utterance_gives_alone(
    both: tuple[SpeechToText, SpeechToText], digits_checkpoint: Path
) -> None:
    """The activations of a batch are rounded with one scale, so it is not quite the same."""
    recordings = sorted((digits_checkpoint.parent / "recordings").glob("*.wav"))
    _, model = both
    batch = model.generate(list(recordings), language="de", num_beams=5)
    for recording, together in zip(recordings, batch, strict=True):
        alone = model.generate(recording, language="de", num_beams=5)
        assert together.tokens == alone.tokens
        assert together.score == pytest.approx(alone.score, abs=0.02)


def test_the_int8_decoder_is_a_quarter_of_the_fp32_one(digits_int8_bundle: Path) -> None:
    manifest = Manifest.from_json((digits_int8_bundle / "manifest.json").read_text(encoding="utf-8"))
    sizes = Counter[str]()
    for path, info in manifest.files.items():
        if not path.endswith((".json", ".md")):
            sizes[path.split("/", maxsplit=1)[0]] += info.size
    # Of a model this small the text of the graphs counts as well, and one convolution.
    assert sizes["int8"] <= 0.36 * sizes["fp32"]


def test_check_s2t_enforces_the_budget(
    digits_int8_bundle: Path, digits_checkpoint: Path, tmp_path: Path
) -> None:
    arguments = ["--against", str(digits_checkpoint), "--precision", "int8", "--json"]
    result = CliRunner().invoke(check_main, [str(digits_int8_bundle), *arguments])
    assert result.exit_code == 0, result.output
    (record,) = json.loads(result.stdout)
    assert 0 < record["steps"]["log_prob_difference"] <= record["budget"]["log_prob_difference"] == 0.1
    assert record["steps"]["token_agreement"] >= record["budget"]["token_agreement"]
    spoilt = Path(shutil.copytree(digits_int8_bundle, tmp_path / "spoilt"))
    _spoil(spoilt)
    result = CliRunner().invoke(check_main, [str(spoilt), *arguments])
    assert result.exit_code == 1
    (record,) = json.loads(result.stdout)
    assert not record["passed"]
    assert record["steps"]["log_prob_difference"] > 0.1
    assert record["stands_in"], "without recordings built-in audio judges int8"


def _spoil(bundle: Path) -> None:
    """Make every logit smaller, which hardly changes which token is best."""
    for name in ("decoder_first_step", "decoder_with_past"):
        path = bundle / "int8" / f"{name}.onnx"
        model = ir.load(path)
        scale = model.graph.initializers["decoder.lm_head.weight_scale"]
        assert scale.const_value is not None
        scale.const_value = ir.tensor(0.6 * scale.const_value.numpy(), name=scale.name)
        ir.save(model, path)
    text = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    text["files"] = {
        name: {"size": info.size, "sha256": info.sha256} for name, info in describe_files(bundle).items()
    }
    (bundle / "manifest.json").write_text(json.dumps(text), encoding="utf-8")


def test_int8_is_for_cpus(digits_int8_bundle: Path) -> None:
    bundle = open_bundle(digits_int8_bundle)
    options = EngineOptions(flavour="tensorrt-rtx", precision="int8")
    with pytest.raises(EngineError) as caught:
        compile_bundle(bundle, options)
    assert str(caught.value) == (
        "precision 'int8' is made for CPUs, and TensorRT does not take its products: compile fp16 or fp32"
    )
    with pytest.raises(OptionError) as refused:
        GraphLoader(ort, "cuda", bundle, "int8", None)
    assert str(refused.value) == (
        "precision 'int8' is made for CPUs and provider 'cuda' would compute little of it on the GPU; use another "
        "precision, or provider 'cpu'"
    )

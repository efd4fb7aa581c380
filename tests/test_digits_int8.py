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
from digits_cases import RATE

import s2t_runtime
from exporter.bundle_writer import describe_files
from exporter.cli_check import main as check_main
from exporter.engine_build import compile_bundle
from exporter.engine_options import EngineOptions
from exporter.errors import EngineError
from s2t_runtime import SpeechToText
from s2t_runtime.bundle import open_bundle
from s2t_runtime.errors import OptionError
from s2t_runtime.graph_loader import GraphLoader
from s2t_runtime.manifest import Manifest


@pytest.fixture(scope="module")
def both(digits_int8_bundle: Path) -> Iterator[tuple[SpeechToText, SpeechToText]]:
    with (
        s2t_runtime.load(digits_int8_bundle, precision="fp32", threads=1) as full,
        s2t_runtime.load(digits_int8_bundle, precision="int8", threads=1) as small,
    ):
        yield full, small


def exactly_right(
    model: SpeechToText, utterances: list[corpus.Utterance], languages: list[str]
) -> tuple[list[bool], list[float]]:
    """Whether each text is right, and the log-probabilities of its tokens, end token included."""
    right, log_probs = [], []
    for language in languages:
        for utterance in utterances:
            result = model.generate(utterance.audio, sampling_rate=RATE, language=language, num_beams=1)
            right.append(result.text == corpus.words(utterance.number, language))
            log_probs += result.hypotheses[0].log_probs
    return right, log_probs


def compare(
    both: tuple[SpeechToText, SpeechToText], utterances: list[corpus.Utterance], languages: list[str]
) -> None:
    full, small = (exactly_right(model, utterances, languages) for model in both)
    # At most one point of exact match is lost.
    assert np.mean(small[0]) >= np.mean(full[0]) - 0.01
    assert np.mean(full[0]) > 0.9
    if len(full[1]) == len(small[1]):
        differences = np.abs(np.subtract(full[1], small[1]))
        assert np.quantile(differences, 0.99) <= 0.1
        assert differences.max() > 0  # it is another model


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

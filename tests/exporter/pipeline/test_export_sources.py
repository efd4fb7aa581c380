"""A pair and a configuration alone, exported for real: parity holds, the manifest tells, check-s2t finds them again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from support.tiny.pairs import decoder_config, encoder_config, save_decoder, save_encoder
from transformers import AutoModelForCausalLM, SpeechEncoderDecoderConfig

import s2t_runtime
from exporter.commands import check as cli_check
from exporter.commands import export as cli_export
from exporter.reference.probe_audio import probe_utterance

Once = Callable[[str, Callable[[Path], None]], Path]


def export(*arguments: object) -> None:
    result = CliRunner(catch_exceptions=False).invoke(cli_export.main, [str(one) for one in arguments])
    assert result.exit_code == 0, result.output
    # What must not be overlooked is on the console.
    assert "export-s2t: note: " in result.stderr


@pytest.fixture(scope="module")
def pair(once: Once) -> Path:
    """A directory with both halves and their bundle."""

    def make(path: Path) -> None:
        save_encoder(path / "speech")
        save_decoder(path / "text", "gpt2", AutoModelForCausalLM, bos_token="</s>", eos_token="</s>")  # noqa: S106
        halves = ["--encoder", path / "speech", "--decoder", path / "text", "--seed", 5]
        export(*halves, "-o", path / "bundle")

    return once("exported-pair", make)


@pytest.fixture(scope="module")
def random(once: Once) -> Path:
    """A directory with a configuration and its bundle."""

    def make(path: Path) -> None:
        roles = {"is_decoder": True, "add_cross_attention": True}
        config = SpeechEncoderDecoderConfig.from_encoder_decoder_configs(
            encoder_config(), decoder_config("mbart", **roles), decoder_start_token_id=2
        )
        config.save_pretrained(path / "geometry")
        export("--random-weights", path / "geometry", "-o", path / "bundle")

    return once("exported-configuration", make)


def check(bundle: Path, *against: object) -> tuple[int, str]:
    options = [text for one in against for text in ("--against", str(one))]
    result = CliRunner(catch_exceptions=False).invoke(cli_check.main, [str(bundle), *options])
    return result.exit_code, result.output


@pytest.mark.broad
def test_a_pair(pair: Path) -> None:
    with s2t_runtime.load(pair / "bundle", threads=1) as model:
        found = model.generate(probe_utterance(0.5, 16000, 1), sampling_rate=16000, max_new_tokens=6)
        manifest = model.manifest
    assert found.tokens[0] == 2
    assert (manifest.model.id, manifest.model.encoder, manifest.model.decoder) == (
        "speech + text",
        "wav2vec2",
        "gpt2",
    )
    assert manifest.generation["pad_token_id"] == 2
    recorded = manifest.provenance
    assert (recorded["seed"], recorded["parity"], recorded["neutral"]) == (5, "passed", [])
    assert "decoder.transformer.h.*.crossattention.c_attn.weight" in list(recorded["untrained"])  # type: ignore[call-overload]


@pytest.mark.broad
def test_a_pair_is_checked_again(pair: Path) -> None:
    assert check(pair / "bundle", pair / "speech", pair / "text")[0] == 0
    code, output = check(pair / "bundle")
    assert code == 1
    assert "give it with --against ENCODER --against DECODER" in output


@pytest.mark.broad
def test_a_configuration_alone(random: Path) -> None:
    with s2t_runtime.load(random / "bundle", threads=1) as model:
        found = model.generate(np.zeros(4000, np.float32), sampling_rate=16000, max_new_tokens=6)
        manifest = model.manifest
    # Neutral words are the ids.
    special = {0, 1, 2}
    assert found.text == " ".join(str(token) for token in found.tokens if token not in special)
    assert manifest.model.id == "geometry (random weights)"
    assert manifest.provenance["untrained"] == ["*"]
    assert manifest.provenance["neutral"] == ["feature_extractor", "tokenizer"]
    assert manifest.provenance["parity"] == "passed"


@pytest.mark.broad
def test_a_configuration_alone_is_checked_again(random: Path) -> None:
    assert check(random / "bundle", random / "geometry")[0] == 0

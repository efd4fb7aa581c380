"""Random models, recordings and decoding options: everything that one seed of the soak stands for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from support.tiny.decoders import BOS, ENDS, EOS, FAMILIES, PAD, VOCAB
from support.tiny.encoders import ENCODERS, SAMPLING_RATE
from support.tiny.models import save_checkpoint, tiny_model
from support.tiny.weights import louder

from exporter.reference.probe_audio import probe_utterance
from s2t_runtime.sessions.protocol import Float32

Generator = np.random.Generator

SPECIAL = {BOS, PAD, *ENDS}
ORDINARY = [token for token in range(VOCAB) if token not in SPECIAL]
LONGEST_S = 2.5


@dataclass(frozen=True)
class DrawnModel:
    """A checkpoint of the matrix with other weights, another feature extractor and other defaults than there."""

    encoder: str
    decoder: str
    hidden: int
    """Of the encoder; another than the decoder's gives an enc_to_dec_proj."""
    return_attention_mask: bool
    do_normalize: bool
    padding_value: float
    gain: float
    """By which all matrices are multiplied: the larger, the more a rounding error matters."""
    generation: dict[str, Any]

    @property
    def has_log_mel(self) -> bool:
        """Whether its encoder takes log-mel features."""
        return ENCODERS[self.encoder][0] == "wav2vec2-bert"

    @classmethod
    def of(cls, rng: Generator) -> DrawnModel:
        """One of all that there are."""
        generation: dict[str, Any] = {}
        if rng.random() < 0.4:
            generation["decoder_start_token_id"] = int(rng.choice((PAD, EOS, BOS)))
        if rng.random() < 0.3:
            generation["forced_bos_token_id"] = _token(rng)
        if rng.random() < 0.3:
            generation["forced_eos_token_id"] = EOS
        if rng.random() < 0.5:
            generation["num_beams"] = int(rng.integers(2, 6))
        return cls(
            encoder=str(rng.choice(list(ENCODERS))),
            decoder=str(rng.choice(list(FAMILIES))),
            hidden=int(rng.choice((16, 24))),
            return_attention_mask=bool(rng.random() < 0.6),
            do_normalize=bool(rng.random() < 0.7),
            padding_value=float(rng.choice((0.0, 0.0, 0.25))),
            gain=float(rng.choice((1.0, 1.0, 1.5, 2.0))),
            generation=generation,
        )

    def save(self, directory: Path) -> None:
        """Write the checkpoint."""
        model = tiny_model(self.encoder, self.decoder, self.hidden)
        louder(model, self.gain)
        model.generation_config.update(**self.generation)
        save_checkpoint(
            model,
            directory,
            return_attention_mask=self.return_attention_mask,
            do_normalize=self.do_normalize,
            padding_value=self.padding_value,
        )


def _token(rng: Generator) -> int:
    return int(rng.choice(ORDINARY))


def _tokens(rng: Generator, most: int) -> list[int]:
    return [int(token) for token in rng.choice(ORDINARY, size=int(rng.integers(1, most + 1)), replace=False)]


def waveform(rng: Generator, shortest: int, *, steady: bool = True) -> Float32:
    """Stand-ins for speech, noise, tones, silence, clipped, off zero, loud or faint; float32 [samples].

    Args:
        rng: what is drawn.
        shortest: samples that the model takes.
        steady: whether there are tones and silence, or faint noise in their place. Log-mel features are normalised by
            how each bin changes over time: where hardly anything does, eager's own are its rounding errors.
    """
    length_s = max(float(rng.uniform(0.02, LONGEST_S)), shortest / SAMPLING_RATE)
    samples = np.array(probe_utterance(length_s, SAMPLING_RATE, int(rng.integers(1 << 30))), dtype=np.float32)
    kind = rng.random()
    if kind < 0.15:
        samples = rng.normal(0, 0.3, samples.shape).astype(np.float32)
    elif kind < 0.25:
        samples = (0.5 * np.sin(np.arange(len(samples)) * rng.uniform(0.01, 1.0))).astype(np.float32)
    elif kind < 0.3:
        samples = np.zeros_like(samples)
    elif kind < 0.4:
        samples[len(samples) // 2 :] = 0  # half of it digital silence
    elif kind < 0.5:
        samples = np.clip(samples * 40, -1, 1)
    elif kind < 0.6:
        samples = samples + np.float32(rng.uniform(-0.5, 0.5))
    elif kind < 0.7:
        samples = samples * np.float32(10 ** rng.uniform(-4, 2))
    if not steady and 0.15 <= kind < 0.3:
        samples = rng.normal(0, 1e-3, samples.shape).astype(np.float32)
    return samples


def _search(rng: Generator) -> dict[str, Any]:
    beams = int(rng.integers(1, 9))
    options: dict[str, Any] = {"num_beams": beams, "max_new_tokens": int(rng.integers(1, 31))}
    if beams > 1:
        options["num_return_sequences"] = int(rng.integers(1, beams + 1))
        options["early_stopping"] = (True, False, "never")[int(rng.integers(3))]
        options["length_penalty"] = float(rng.choice((1.0, 1.0, 0.0, -1.0, 0.6, 2.0)))
    return options


def _beginning(rng: Generator) -> dict[str, Any]:
    options: dict[str, Any] = {}
    start = int(rng.choice((BOS, PAD, EOS, _token(rng))))
    if rng.random() < 0.3:
        options["decoder_start_token_id"] = start
    if rng.random() < 0.3:
        options["forced_bos_token_id"] = _token(rng)
    elif rng.random() < 0.3:
        # eager puts the start token in front of a prompt without it, and so does the runtime: both are drawn.
        begins = [options.get("decoder_start_token_id", start)] if rng.random() < 0.7 else []
        padding = [PAD] if rng.random() < 0.3 else []
        options["decoder_prompt_ids"] = [*begins, *padding, *_tokens(rng, 3)]
    return options


def _rules(rng: Generator) -> dict[str, Any]:
    pool: dict[str, Any] = {
        "forced_eos_token_id": EOS,
        "eos_token_id": _tokens(rng, 4),
        "suppress_tokens": _tokens(rng, 6),
        "begin_suppress_tokens": _tokens(rng, 6),
        "no_repeat_ngram_size": int(rng.integers(1, 4)),
        "repetition_penalty": float(rng.choice((0.6, 1.2, 2.0))),
        "bad_words_ids": [_tokens(rng, 2) for _ in range(int(rng.integers(1, 4)))],
        "sequence_bias": [[_tokens(rng, 2), float(rng.normal(0, 3))] for _ in range(int(rng.integers(1, 3)))],
        "exponential_decay_length_penalty": [int(rng.integers(1, 6)), float(rng.choice((0.7, 1.3)))],
        "renormalize_logits": True,
        "min_new_tokens": int(rng.integers(1, 10)),
    }
    return {name: value for name, value in pool.items() if rng.random() < 0.12}


def options(rng: Generator) -> dict[str, Any]:
    """Decoding options that both sides take, as JSON holds them."""
    drawn = {**_search(rng), **_beginning(rng), **_rules(rng)}
    if drawn.get("min_new_tokens", 0) > drawn["max_new_tokens"]:
        drawn["max_new_tokens"] = drawn["min_new_tokens"] + 4
    return drawn

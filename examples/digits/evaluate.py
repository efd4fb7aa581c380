"""Measure the digits model: the share of test-split utterances that it writes exactly right.

    python examples/digits/evaluate.py RECORDINGS_DIRECTORY [--checkpoint DIRECTORY]

Greedy, eager PyTorch, 240 utterances of recordings that training never saw, each in all twelve languages.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
import torch
from corpus import (
    LANGUAGES,
    SAMPLING_RATE,
    Utterance,
    add_noise,
    synthesise_randomly,
    test_utterances,
    words,
)
from transformers import AutoFeatureExtractor, AutoTokenizer, SpeechEncoderDecoderModel


def exactly_right(checkpoint: Path, utterances: Sequence[Utterance]) -> dict[str, float]:
    """Per language the share of utterances whose whole number is right, each decoded alone."""
    model = SpeechEncoderDecoderModel.from_pretrained(checkpoint).eval()
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    extractor = AutoFeatureExtractor.from_pretrained(checkpoint)
    tags = [tokenizer.convert_tokens_to_ids(f"{language}_XX") for language in LANGUAGES]
    right = np.zeros((len(utterances), len(LANGUAGES)), dtype=bool)
    for row, utterance in enumerate(utterances):
        features = extractor(utterance.audio, sampling_rate=SAMPLING_RATE, return_tensors="pt")
        # The tag is the first generated token, so one batch answers in every language.
        prompts = torch.tensor([[model.config.decoder_start_token_id, tag] for tag in tags])
        with torch.no_grad():
            states = model.encoder(features.input_values, attention_mask=features.attention_mask)
            states["last_hidden_state"] = states.last_hidden_state.expand(len(tags), -1, -1).contiguous()
            answers = model.generate(
                encoder_outputs=states,
                attention_mask=features.attention_mask.expand(len(tags), -1),
                decoder_input_ids=prompts,
                num_beams=1,
                early_stopping=False,
            )
        texts = tokenizer.batch_decode(answers, skip_special_tokens=True)
        wanted = [words(utterance.number, language) for language in LANGUAGES]
        right[row] = [text == want for text, want in zip(texts, wanted, strict=True)]
    return dict(zip(LANGUAGES, right.mean(axis=0).tolist(), strict=True))


def show(name: str, shares: dict[str, float]) -> None:
    """One line: the average over languages, then each."""
    each = "  ".join(f"{language} {share:.1%}" for language, share in shares.items())
    click.echo(f"{name}: {np.mean(list(shares.values())):.1%} exactly right  ({each})")


@click.command()
@click.argument("recordings", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--checkpoint",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(__file__).parent / "checkpoint",
    show_default="the one beside this file",
)
@click.option("--count", type=int, default=240, show_default=True, help="utterances")
@click.option("--voices/--no-voices", default=False, help="also with noise, and with espeak-ng voices")
def main(*, recordings: Path, checkpoint: Path, count: int, voices: bool) -> None:
    """Evaluate on the test split of RECORDINGS, the directory of the Free Spoken Digit Dataset."""
    utterances = test_utterances(recordings, count=count)
    show("test split", exactly_right(checkpoint, utterances))
    if voices:
        rng = np.random.default_rng(11)
        noisy = [Utterance(add_noise(one.audio, rng, 20.0), one.digits) for one in utterances]
        show("test split with noise at 20 dB", exactly_right(checkpoint, noisy))
        show(
            "espeak-ng voices",
            exactly_right(checkpoint, synthesise_randomly(count // 2, rng, room_tone=True)),
        )


if __name__ == "__main__":
    main()

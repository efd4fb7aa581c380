"""Train the digits model: spoken English digits -> the number in words in one of twelve languages.

    python examples/digits/train.py RECORDINGS_DIRECTORY --output examples/digits/checkpoint

The model is a SpeechEncoderDecoderModel of the xls-r-300m-en-to-15 family in miniature: wav2vec2
with layer norm, stable layer norm and an adapter, joined to an mBART decoder whose first generated
token is the language. Connectionist temporal classification over the digits helps the encoder to
find its alignment early on; its head is dropped afterwards.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import torch
from corpus import (
    LANGUAGES,
    SAMPLING_RATE,
    Recordings,
    Utterance,
    disturb,
    draw_digits,
    synthesise_randomly,
    words,
)
from model import EOS, PAD, build_model, build_tokenizer
from recipe import Recipe, Stage
from torch import nn
from transformers import PreTrainedTokenizerFast, SpeechEncoderDecoderModel, Wav2Vec2FeatureExtractor

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CTC_BLANK = 10
MODEL_CARD = """\
---
license: cc-by-sa-4.0
---

# digits

Spoken English digits to the number in words, in twelve languages: the example model of export-s2t. Trained on the
Free Spoken Digit Dataset (CC BY-SA 4.0) and on espeak-ng voices.
"""
STATE_INTERVAL = 500  # a multiple of the batches per pool, so that no drawn batch is lost
IGNORED_LABEL = -100


class UtteranceSource:
    """An endless supply of varied training utterances."""

    def __init__(self, directory: Path, recipe: Recipe, stage: Stage, rng: np.random.Generator) -> None:
        self.batch = recipe.batch
        self.stage = stage
        self.rng = rng
        self.recordings = Recordings.read(directory, test=False)
        room_tone = stage.variation.room_tone
        self.synthetic = synthesise_randomly(recipe.synthetic_pool, rng, room_tone=room_tone)

    def draw(self) -> Utterance:
        if self.rng.random() < self.stage.synthetic_share:
            utterance = self.synthetic[self.rng.integers(len(self.synthetic))]
        else:
            utterance = self.recordings.speak(draw_digits(self.rng), self.rng, self.stage.variation)
        return disturb(utterance, self.rng, self.stage.variation)

    def batches(self) -> Iterator[list[Utterance]]:
        """Batches of like lengths, in random order: half as much padding as drawing them one by one."""
        size = self.batch
        while True:
            pool = sorted((self.draw() for _ in range(4 * size)), key=lambda utterance: len(utterance.audio))
            for start in self.rng.permutation(range(0, len(pool), size)):
                yield pool[start : start + size]


def target_rows(
    utterances: list[Utterance], tokenizer: PreTrainedTokenizerBase, languages: list[str]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Decoder inputs and labels, int64 [batch * languages, tokens], utterance-major.

    A row reads ``</s> tag w1 ... wn`` and is to answer ``tag w1 ... wn </s>``.
    """
    rows = []
    for utterance in utterances:
        for language in languages:
            tag = tokenizer.convert_tokens_to_ids(f"{language}_XX")
            rows.append([tag, *tokenizer(words(utterance.number, language)).input_ids, EOS])
    length = max(map(len, rows))
    labels = torch.tensor([row + [IGNORED_LABEL] * (length - len(row)) for row in rows])
    inputs = torch.tensor([[EOS, *row[:-1]] + [PAD] * (length - len(row)) for row in rows])
    return inputs, labels


def ctc_loss(logits: torch.Tensor, frames: torch.Tensor, utterances: list[Utterance]) -> torch.Tensor:
    """CTC over the digits; logits float32 [batch, frames, 11], ``frames`` int64 [batch] valid ones."""
    log_probs = logits.log_softmax(-1).transpose(0, 1)
    targets = torch.tensor([digit for utterance in utterances for digit in utterance.digits])
    lengths = torch.tensor([len(utterance.digits) for utterance in utterances])
    return nn.functional.ctc_loss(log_probs, targets, frames, lengths, blank=CTC_BLANK, zero_infinity=True)


class Training:
    """The recipe's progress; everything that it depends on can be saved and loaded."""

    def __init__(
        self, model: SpeechEncoderDecoderModel, tokenizer: PreTrainedTokenizerBase, recipe: Recipe
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.recipe = recipe

    def run(self, recordings: Path, state_file: Path) -> None:
        """All stages in place, printing the losses every 50 steps.

        Every 500 steps everything goes to ``state_file``; where it exists, training goes on from there.
        """
        state = torch.load(state_file, weights_only=True) if state_file.exists() else None
        for number, stage in enumerate(self.recipe.stages):
            if state is not None and number < state["stage"]:
                continue
            resumed = state if state is not None and number == state["stage"] else None
            self.run_stage(number, stage, recordings, state_file, resumed)
        self.model.eval()

    def run_stage(
        self, number: int, stage: Stage, recordings: Path, state_file: Path, resumed: dict[str, Any] | None
    ) -> None:
        """One stage, with a new optimiser, a new CTC head and draws of its own."""
        model, recipe, seed = self.model, self.recipe, self.recipe.seed + number
        torch.manual_seed(seed)
        source = UtteranceSource(recordings, recipe, stage, np.random.default_rng(seed))
        ctc_head = nn.Linear(model.encoder.config.output_hidden_size, CTC_BLANK + 1)
        parameters = [*model.parameters(), *ctc_head.parameters()]
        optimiser = torch.optim.AdamW(parameters, lr=stage.learning_rate, weight_decay=recipe.weight_decay)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, stage.learning_rate_factor)
        parts = {"model": model, "ctc_head": ctc_head, "optimiser": optimiser, "schedule": schedule}
        first_step = 0 if resumed is None else load_state(resumed, parts, source.rng)
        # In this model nothing but dropout tells training mode from evaluation mode.
        model.train(stage.dropout)
        started_s = time.monotonic()
        for step, utterances in zip(range(first_step, stage.steps), source.batches(), strict=False):
            if step % STATE_INTERVAL == 0 and step > first_step:
                save_state(state_file, parts, source.rng, {"stage": number, "step": step})
            count = stage.languages_per_utterance
            languages = [str(language) for language in source.rng.permutation(LANGUAGES)[:count]]
            text_loss, alignment_loss = losses(model, ctc_head, self.tokenizer, utterances, languages)
            optimiser.zero_grad()
            (text_loss + stage.weight_of_ctc(step) * alignment_loss).backward()
            nn.utils.clip_grad_norm_(parameters, recipe.clip_norm)
            optimiser.step()
            schedule.step()
            if step % 50 == 0 or step == stage.steps - 1:
                took_s = time.monotonic() - started_s
                figures = f"text {text_loss:.4f}  ctc {alignment_loss:.4f}  {took_s:.0f} s"
                click.echo(f"stage {number + 1}  step {step:5d}  {figures}")


def save_state(path: Path, parts: dict[str, Any], rng: np.random.Generator, place: dict[str, int]) -> None:
    """Write all that the next steps depend on, whole or not at all."""
    state = {name: part.state_dict() for name, part in parts.items()}
    unfinished = path.with_suffix(".unfinished")
    torch.save(
        {**state, "rng": rng.bit_generator.state, "torch_rng": torch.get_rng_state(), **place}, unfinished
    )
    unfinished.replace(path)


def load_state(state: dict[str, Any], parts: dict[str, Any], rng: np.random.Generator) -> int:
    """Go on where ``save_state`` left off, and say at which step."""
    for name, part in parts.items():
        part.load_state_dict(state[name])
    rng.bit_generator.state = state["rng"]
    torch.set_rng_state(state["torch_rng"])
    click.echo(f"going on at stage {state['stage'] + 1}, step {state['step']}")
    return int(state["step"])


def losses(
    model: SpeechEncoderDecoderModel,
    ctc_head: nn.Linear,
    tokenizer: PreTrainedTokenizerBase,
    utterances: list[Utterance],
    languages: list[str],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy of the text and CTC loss of the digits for one batch."""
    features = Wav2Vec2FeatureExtractor(return_attention_mask=True)(
        [utterance.audio for utterance in utterances],
        sampling_rate=SAMPLING_RATE,
        padding=True,
        return_tensors="pt",
    )
    states = model.encoder(features.input_values, attention_mask=features.attention_mask).last_hidden_state
    mask = model.encoder._get_feature_vector_attention_mask(states.shape[1], features.attention_mask)
    inputs, labels = target_rows(utterances, tokenizer, languages)
    logits = model.decoder(
        input_ids=inputs,
        encoder_hidden_states=states.repeat_interleave(len(languages), 0),
        encoder_attention_mask=mask.repeat_interleave(len(languages), 0),
        use_cache=False,
    ).logits
    text_loss = nn.functional.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED_LABEL
    )
    return text_loss, ctc_loss(ctc_head(states), mask.sum(-1), utterances)


def save(
    model: SpeechEncoderDecoderModel, tokenizer: PreTrainedTokenizerFast, output: Path, recipe: Recipe
) -> None:
    """Write the plain Hugging Face layout, and the recipe beside it."""
    model.save_pretrained(output)
    tokenizer.save_pretrained(output)
    Wav2Vec2FeatureExtractor(return_attention_mask=True, do_normalize=True).save_pretrained(output)
    (output / "README.md").write_text(MODEL_CARD, encoding="utf-8")
    (output / "recipe.json").write_text(
        json.dumps(dataclasses.asdict(recipe), indent=2) + "\n", encoding="utf-8"
    )


@click.command()
@click.argument("recordings", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), default="checkpoint", show_default=True)
@click.option("--threads", type=int, default=2, show_default=True, help="torch threads")
@click.option("--state", type=click.Path(path_type=Path), default="training.pt", show_default=True,
              help="where to save, and go on from, an unfinished training")  # fmt: skip
def main(recordings: Path, output: Path, threads: int, state: Path) -> None:
    """Train on RECORDINGS, the directory of the Free Spoken Digit Dataset."""
    recipe = Recipe()
    torch.manual_seed(recipe.seed)
    torch.set_num_threads(threads)
    tokenizer = build_tokenizer()
    model = build_model(len(tokenizer))
    click.echo(f"{sum(parameter.numel() for parameter in model.parameters()):,} parameters")
    Training(model, tokenizer, recipe).run(recordings, state)
    save(model, tokenizer, output, recipe)


if __name__ == "__main__":
    main()

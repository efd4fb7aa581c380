"""Train the digits model: spoken English digits -> the number in words in one of twelve languages.

    python examples/digits/train.py RECORDINGS_DIRECTORY --output examples/digits/checkpoint

The model is a SpeechEncoderDecoderModel of the xls-r-300m-en-to-15 family in miniature: wav2vec2
with layer norm, stable layer norm and an adapter, joined to an mBART decoder whose first generated
token is the language. Connectionist temporal classification over the digits helps the encoder to
find its alignment early on; its head is dropped afterwards.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
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
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import nn
from transformers import (
    GenerationConfig,
    MBartConfig,
    MBartForCausalLM,
    PreTrainedTokenizerFast,
    SpeechEncoderDecoderConfig,
    SpeechEncoderDecoderModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Model,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

BOS, PAD, EOS, UNK = 0, 1, 2, 3
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


@dataclass(frozen=True)
class Recipe:
    """What the published checkpoint was trained with."""

    steps: int = 4800
    """Optimiser steps."""
    batch: int = 16
    """Utterances per step; each one's encoder states serve several target languages."""
    languages_per_utterance: int = 4
    """Decoder rows per utterance."""
    synthetic_share: float = 0.25
    """Share of utterances spoken by espeak-ng voices."""
    synthetic_pool: int = 1500
    """Distinct synthetic utterances, synthesised before training starts."""
    learning_rate: float = 1.2e-3
    warm_up_steps: int = 200
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    ctc_only_steps: int = 400
    """Steps with the full CTC weight; later ones use ``ctc_weight``."""
    ctc_weight: float = 0.3
    seed: int = 0


def build_tokenizer(size: int = 400) -> PreTrainedTokenizerFast:
    """BPE with Metaspace over the words of every number in every language; tags are special tokens."""
    tags = [f"{language}_XX" for language in LANGUAGES]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A", pair="$A $B", special_tokens=[])
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=["<s>", "<pad>", "</s>", "<unk>", *tags], show_progress=False
    )
    sentences = [words(number, language) for language in LANGUAGES for number in range(10_000)]
    tokenizer.train_from_iterator(sentences, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        extra_special_tokens=tags,
    )


def build_model(vocab_size: int) -> SpeechEncoderDecoderModel:
    """The miniature of xls-r-300m-en-to-15: 2.6 million parameters."""
    encoder = Wav2Vec2Config(
        hidden_size=160,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=448,
        conv_dim=(32, 48, 64, 64, 96, 96, 96),
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        # A narrower positional convolution never learns the order of the digits.
        num_conv_pos_embeddings=128,
        num_conv_pos_embedding_groups=16,
        add_adapter=True,
        num_adapter_layers=1,
        output_hidden_size=160,
        vocab_size=vocab_size,
        apply_spec_augment=False,
        mask_time_prob=0.0,
        layerdrop=0.0,
        hidden_dropout=0.05,
        attention_dropout=0.0,
        activation_dropout=0.0,
    )
    decoder = MBartConfig(
        vocab_size=vocab_size,
        d_model=160,
        decoder_layers=3,
        # transformers sizes the decoder's cache by encoder_layers: it must not be smaller.
        encoder_layers=3,
        decoder_attention_heads=4,
        decoder_ffn_dim=448,
        max_position_embeddings=128,
        scale_embedding=True,
        dropout=0.1,
        is_decoder=True,
        is_encoder_decoder=False,
        add_cross_attention=True,
    )
    config = SpeechEncoderDecoderConfig.from_encoder_decoder_configs(
        encoder, decoder, decoder_start_token_id=EOS, pad_token_id=PAD, eos_token_id=EOS, bos_token_id=BOS
    )
    model = SpeechEncoderDecoderModel(
        encoder=Wav2Vec2Model(encoder), decoder=MBartForCausalLM(decoder), config=config
    )
    model.generation_config = GenerationConfig(
        bos_token_id=BOS,
        pad_token_id=PAD,
        eos_token_id=EOS,
        decoder_start_token_id=EOS,
        forced_eos_token_id=EOS,
        max_length=64,
        num_beams=5,
        early_stopping=True,
    )
    return model


class UtteranceSource:
    """An endless supply of varied training utterances."""

    def __init__(self, directory: Path, recipe: Recipe, rng: np.random.Generator) -> None:
        self.recipe = recipe
        self.rng = rng
        self.recordings = Recordings.read(directory, test=False)
        self.synthetic = synthesise_randomly(recipe.synthetic_pool, rng)

    def draw(self) -> Utterance:
        if self.rng.random() < self.recipe.synthetic_share:
            utterance = self.synthetic[self.rng.integers(len(self.synthetic))]
        else:
            utterance = self.recordings.speak(draw_digits(self.rng), self.rng, vary=True)
        return disturb(utterance, self.rng)

    def batches(self) -> Iterator[list[Utterance]]:
        """Batches of like lengths, in random order: half as much padding as drawing them one by one."""
        size = self.recipe.batch
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


def learning_rate_factor(step: int, recipe: Recipe) -> float:
    """Linear warm-up, then half a cosine down to zero."""
    if step < recipe.warm_up_steps:
        return (step + 1) / recipe.warm_up_steps
    progress = (step - recipe.warm_up_steps) / max(1, recipe.steps - recipe.warm_up_steps)
    return 0.5 * (1 + math.cos(math.pi * progress))


def train(
    model: SpeechEncoderDecoderModel,
    tokenizer: PreTrainedTokenizerBase,
    source: UtteranceSource,
    recipe: Recipe,
    state_file: Path,
) -> None:
    """Run the recipe in place, printing the losses every 50 steps.

    Every 500 steps everything that training depends on goes to ``state_file``; where it exists,
    training goes on from there.
    """
    ctc_head = nn.Linear(model.encoder.config.output_hidden_size, CTC_BLANK + 1)
    parameters = [*model.parameters(), *ctc_head.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: learning_rate_factor(step, recipe))
    parts = {"model": model, "ctc_head": ctc_head, "optimiser": optimiser, "schedule": schedule}
    first_step = load_state(state_file, parts, source.rng)
    model.train()
    started_s = time.monotonic()
    for step, utterances in zip(range(first_step, recipe.steps), source.batches(), strict=False):
        if step % STATE_INTERVAL == 0 and step > first_step:
            save_state(state_file, parts, source.rng, step)
        languages = [
            str(language) for language in source.rng.permutation(LANGUAGES)[: recipe.languages_per_utterance]
        ]
        text_loss, alignment_loss = losses(model, ctc_head, tokenizer, utterances, languages)
        ctc_weight = 1.0 if step < recipe.ctc_only_steps else recipe.ctc_weight
        optimiser.zero_grad()
        (text_loss + ctc_weight * alignment_loss).backward()
        nn.utils.clip_grad_norm_(parameters, recipe.clip_norm)
        optimiser.step()
        schedule.step()
        if step % 50 == 0 or step == recipe.steps - 1:
            took_s = time.monotonic() - started_s
            click.echo(f"step {step:5d}  text {text_loss:.4f}  ctc {alignment_loss:.4f}  {took_s:.0f} s")
    model.eval()


def save_state(path: Path, parts: dict[str, Any], rng: np.random.Generator, step: int) -> None:
    """Write all that the next steps depend on, whole or not at all."""
    state = {name: part.state_dict() for name, part in parts.items()}
    unfinished = path.with_suffix(".unfinished")
    torch.save(
        {**state, "rng": rng.bit_generator.state, "torch_rng": torch.get_rng_state(), "step": step},
        unfinished,
    )
    unfinished.replace(path)


def load_state(path: Path, parts: dict[str, Any], rng: np.random.Generator) -> int:
    """Go on where ``save_state`` left off, and say at which step; 0 where there is nothing to go on from."""
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(state[name])
    rng.bit_generator.state = state["rng"]
    torch.set_rng_state(state["torch_rng"])
    click.echo(f"going on at step {state['step']}")
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
    (output / "recipe.json").write_text(json.dumps(vars(recipe), indent=2) + "\n", encoding="utf-8")


@click.command()
@click.argument("recordings", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), default="checkpoint", show_default=True)
@click.option("--steps", type=int, default=Recipe.steps, show_default=True)
@click.option("--threads", type=int, default=2, show_default=True, help="torch threads")
@click.option("--state", type=click.Path(path_type=Path), default="training.pt", show_default=True,
              help="where to save, and go on from, an unfinished training")  # fmt: skip
def main(recordings: Path, output: Path, steps: int, threads: int, state: Path) -> None:
    """Train on RECORDINGS, the directory of the Free Spoken Digit Dataset."""
    recipe = Recipe(steps=steps)
    torch.manual_seed(recipe.seed)
    torch.set_num_threads(threads)
    rng = np.random.default_rng(recipe.seed)
    tokenizer = build_tokenizer()
    model = build_model(len(tokenizer))
    click.echo(f"{sum(parameter.numel() for parameter in model.parameters()):,} parameters")
    source = UtteranceSource(recordings, recipe, rng)
    train(model, tokenizer, source, recipe, state)
    save(model, tokenizer, output, recipe)


if __name__ == "__main__":
    main()

"""What the published checkpoint was trained with: two stages, each with its own data and learning rate."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from corpus import Variation


@dataclass(frozen=True)
class Stage:
    """One course of the learning rate: linear warm-up, then half a cosine down to zero."""

    steps: int
    """Optimiser steps."""
    learning_rate: float
    warm_up_steps: int
    languages_per_utterance: int
    """Decoder rows per utterance, which share its encoder states."""
    synthetic_share: float
    """Share of utterances spoken by espeak-ng voices."""
    ctc_only_steps: int
    """Steps with a CTC weight of 1; later ones use ``ctc_weight``."""
    ctc_weight: float
    dropout: bool
    """Whether the dropout of the configuration acts."""
    variation: Variation

    def learning_rate_factor(self, step: int) -> float:
        """Of the learning rate, 0 to 1."""
        if step < self.warm_up_steps:
            return (step + 1) / self.warm_up_steps
        progress = (step - self.warm_up_steps) / max(1, self.steps - self.warm_up_steps)
        return 0.5 * (1 + math.cos(math.pi * progress))

    def weight_of_ctc(self, step: int) -> float:
        """Of the CTC loss beside the text's."""
        return 1.0 if step < self.ctc_only_steps else self.ctc_weight


# Everything at once: all languages (a third more time a step than four, and three times the lessons), noise, pauses.
_BROAD = Stage(
    steps=4500,
    learning_rate=1.2e-3,
    warm_up_steps=200,
    languages_per_utterance=12,
    synthetic_share=0.2,
    ctc_only_steps=400,
    ctc_weight=0.3,
    dropout=True,
    variation=Variation(
        speed=0.1,
        long_pause_share=0.15,
        long_pause_s=0.7,
        room_tone=False,
        noise_share=1 / 2,
        noise_snr_db=(15, 35),
    ),
)
# Then what is left to learn is the encoder's: more utterances in fewer languages, as they will be heard.
_FINE = Stage(
    steps=1400,
    learning_rate=8e-4,
    warm_up_steps=50,
    languages_per_utterance=4,
    synthetic_share=0.15,
    ctc_only_steps=50,
    ctc_weight=0.5,
    dropout=False,
    variation=Variation(
        speed=0.05,
        long_pause_share=0.1,
        long_pause_s=0.5,
        room_tone=True,
        noise_share=1 / 3,
        noise_snr_db=(15, 30),
    ),
)


@dataclass(frozen=True)
class Recipe:
    """The whole training."""

    stages: tuple[Stage, ...] = field(default=(_BROAD, _FINE))
    batch: int = 16
    """Utterances per step."""
    synthetic_pool: int = 1500
    """Distinct synthetic utterances, synthesised before each stage."""
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    seed: int = 0
    """Of the first stage; each further one takes the next."""

"""A bundle decodes as far as eager does: a token for each position, and one that needs none."""

from __future__ import annotations

import re

import numpy as np
import pytest
from support.tiny.encoders import SAMPLING_RATE
from support.tiny.models import MARKED_PAIRS, Once, Pair, bundle, load

import s2t_runtime
from exporter.reference.eager import EagerReference
from exporter.reference.probe_audio import probe_utterance

# Families that number their positions in other ways: sinusoids, and tables that begin behind the padding token's.
OTHERS = [
    pytest.param(Pair("wav2vec2-group", name, return_attention_mask=False), marks=pytest.mark.broad, id=name)
    for name in ("marian", "roberta", "roberta-late-padding", "electra", "roformer")
]


@pytest.mark.parametrize("pair", [*MARKED_PAIRS, *OTHERS], ids=lambda pair: pair.name)
def test_the_longest_text_is_eagers(once: Once, pair: Pair) -> None:
    reference = EagerReference(load(once, pair))
    audio = probe_utterance(0.6, SAMPLING_RATE, 3).astype(np.float32)
    with s2t_runtime.load(bundle(once, pair), threads=1) as model:
        positions = model.manifest.decoder.max_positions
        assert positions is not None
        for width in (1, 3):
            options = {"num_beams": width, "max_length": positions + 1, "min_length": positions + 1}
            (wanted,) = reference.generate([audio], max_new_tokens=None, **options)
            found = model.generate(audio, sampling_rate=SAMPLING_RATE, **options)
            assert len(found.tokens) == positions + 1
            assert found.tokens == wanted.tokens[0]
            assert found.score == pytest.approx(wanted.scores[0], abs=1e-4)
        # A prompt of several tokens, fed at once.
        prompt = list(found.tokens[:4])
        again = model.generate(
            audio,
            sampling_rate=SAMPLING_RATE,
            decoder_prompt_ids=prompt,
            max_new_tokens=positions - 3,
            num_beams=1,
        )
        assert again.tokens[:4] == tuple(prompt)
        beyond = re.escape(
            f"max_length {positions + 2} is beyond the {positions + 1} tokens that the decoder's"
        )
        with pytest.raises(s2t_runtime.OptionError, match=f"^{beyond}"):
            model.generate(audio, sampling_rate=SAMPLING_RATE, max_length=positions + 2)
        # Eager ends in an error of PyTorch's.
        too_long = {**options, "max_length": positions + 2, "min_length": positions + 2, "num_beams": 1}
        with pytest.raises((IndexError, RuntimeError)):
            reference.generate([audio], max_new_tokens=None, **too_long)

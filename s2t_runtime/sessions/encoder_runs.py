"""The runs of the encoder that a batch of utterances takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from s2t_runtime.sessions.protocol import Float32, Int64


def encoder_runs(waveforms: Sequence[Float32], *, padding_safe: bool) -> list[tuple[Float32, Int64]]:
    """What the encoder is run on, so that each utterance is encoded as if it were alone.

    Where padding changes an utterance's states, utterances of different lengths are encoded one by one.

    Returns:
        Audio [batch, samples], zero behind each utterance's end, and lengths [batch], of each run.
    """
    lengths = np.array([len(waveform) for waveform in waveforms], dtype=np.int64)
    if padding_safe or len(set(lengths.tolist())) == 1:
        audio = np.zeros((len(waveforms), int(lengths.max())), dtype=np.float32)
        for row, waveform in enumerate(waveforms):
            audio[row, : len(waveform)] = waveform
        return [(audio, lengths)]
    return [(waveform[None, :], length[None]) for waveform, length in zip(waveforms, lengths, strict=True)]

"""A short decoding in eager, before anything is exported: what it cannot do there is said in a sentence."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from exporter.checkpoints.checkpoint import Checkpoint
from exporter.errors import CheckpointError, brief_error
from exporter.parity.decodings import eager_options
from exporter.reference.eager import EagerReference
from exporter.reference.probe_audio import probe_utterance

_NEW_TOKENS: Final = 2
_DURATION_S: Final = 0.5


def require_generation(
    checkpoint: Checkpoint,
    *,
    min_samples: int,
    max_positions: int | None,
    ignored: Collection[str],
    file: str,
) -> None:
    """Let ``generate()`` run with the checkpoint's own options, two tokens long.

    Args:
        checkpoint: the loaded model.
        min_samples: shortest audio that the encoder takes.
        max_positions: of the decoder; None: any number.
        ignored: generation options that the bundle leaves out.
        file: where the options stand, for the message.

    Raises:
        CheckpointError: it fails.
    """
    reference, rate = EagerReference(checkpoint), checkpoint.features.sampling_rate
    audio = probe_utterance(max(_DURATION_S, min_samples / rate), rate, 1)
    # As many as forced first and last tokens need, which are looked up then.
    length = _NEW_TOKENS if max_positions is None else min(_NEW_TOKENS, max_positions)
    options = {**eager_options(reference, ignored), "max_new_tokens": length}
    try:
        reference.generate([audio], **options)
    except Exception as error:  # options of the wrong type end in any builtin error
        raise CheckpointError(
            f"{checkpoint.files.source}: eager PyTorch cannot decode with the options of {file}: {brief_error(error)}; "
            "correct the option, or leave it out with --ignore-generation-option"
        ) from error

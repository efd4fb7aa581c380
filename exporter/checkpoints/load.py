"""Any source -> a loaded Checkpoint."""

from __future__ import annotations

from collections.abc import Collection

from exporter.checkpoints.checkpoint import Checkpoint, load_checkpoint
from exporter.checkpoints.pair import load_pair
from exporter.checkpoints.random_weights import make_checkpoint
from exporter.checkpoints.sources.files import OnStage, locate_checkpoint
from exporter.checkpoints.sources.kinds import CheckpointSource, PairSource, RandomWeightsSource, Source


def load_source(
    source: Source,
    *,
    ignored_generation_options: Collection[str] | None = None,
    on_stage: OnStage = lambda _: None,
) -> Checkpoint:
    """Load what an export starts from.

    Args:
        source: a saved checkpoint, a pair, or a configuration alone.
        ignored_generation_options: refuse generation options that are neither neutral nor supported,
            but for these; None does not look at them.
        on_stage: told the name of each stage as it starts.

    Raises:
        CheckpointError: it is missing, unreadable or incomplete.
        UnsupportedModelError: it cannot be exported; every reason is listed.
    """
    match source:
        case CheckpointSource():
            files = locate_checkpoint(source.name, source.revision, on_stage=on_stage)
            return load_checkpoint(
                files, ignored_generation_options=ignored_generation_options, on_stage=on_stage
            )
        case RandomWeightsSource():
            files = locate_checkpoint(source.name, source.revision, on_stage=on_stage)
            return make_checkpoint(
                files, source.seed, ignored_generation_options=ignored_generation_options, on_stage=on_stage
            )
        case PairSource():
            encoder = locate_checkpoint(source.encoder, source.encoder_revision, on_stage=on_stage)
            decoder = locate_checkpoint(source.decoder, source.decoder_revision, on_stage=on_stage)
            return load_pair(
                encoder,
                decoder,
                source.seed,
                ignored_generation_options=ignored_generation_options,
                on_stage=on_stage,
            )

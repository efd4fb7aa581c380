"""Any source -> a loaded Checkpoint."""

from __future__ import annotations

from exporter.checkpoints.checkpoint import Checkpoint, load_checkpoint
from exporter.checkpoints.options import LoadOptions
from exporter.checkpoints.pair import load_pair
from exporter.checkpoints.random_weights import make_checkpoint
from exporter.checkpoints.sources.files import OnStage, locate_checkpoint
from exporter.checkpoints.sources.kinds import CheckpointSource, PairSource, RandomWeightsSource, Source

_AS_IT_IS = LoadOptions()


def load_source(
    source: Source, options: LoadOptions = _AS_IT_IS, *, on_stage: OnStage = lambda _: None
) -> Checkpoint:
    """Load what an export starts from.

    Args:
        source: a saved checkpoint, a pair, or a configuration alone.
        options: what is to be taken in another way than it is stored.
        on_stage: told the name of each stage as it starts.

    Raises:
        CheckpointError: it is missing, unreadable or incomplete.
        UnsupportedModelError: it cannot be exported; every reason is listed.
    """
    match source:
        case CheckpointSource():
            files = locate_checkpoint(source.name, source.revision, on_stage=on_stage)
            return load_checkpoint(files, options, on_stage=on_stage)
        case RandomWeightsSource():
            files = locate_checkpoint(source.name, source.revision, on_stage=on_stage)
            return make_checkpoint(files, source.seed, options, on_stage=on_stage)
        case PairSource():
            encoder = locate_checkpoint(source.encoder, source.encoder_revision, on_stage=on_stage)
            decoder = locate_checkpoint(source.decoder, source.decoder_revision, on_stage=on_stage)
            return load_pair(encoder, decoder, source.seed, options, on_stage=on_stage)

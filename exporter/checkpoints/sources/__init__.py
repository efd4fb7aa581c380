"""Where a checkpoint's files are: what can be named, found on disk, or fetched from the hub.

Given: names, directories, hub ids.
Open to: benchmarks, exporter.checkpoints, exporter.checkpoints.companions, exporter.checkpoints.weights,
    exporter.commands, exporter.pipeline.

Goes out:
    damage: damage
    files: CheckpointFiles, OnStage, fetch_weights, locate_checkpoint, read_licence
    kinds: CheckpointSource, DEFAULT_SEED, FETCH_STAGES, PairSource, RandomWeightsSource, Source
    recorded: load_options_of, source_of
    strange_weights: strange_weights
    weight_files: WEIGHT_FILES
"""

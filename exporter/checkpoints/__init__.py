"""Loads what an export starts from, completely or not at all: saved checkpoints, pairs, random weights.

Given: a source. A Checkpoint in memory leaves.
Open to: benchmarks, exporter.commands, exporter.onnx, exporter.parity, exporter.pipeline,
    exporter.precisions, exporter.reference.

Goes out:
    checkpoint: Checkpoint
    configuration: options_of_config, read_generation_config
    load: load_source
    options: LoadOptions
    pair: SPECIAL_TOKENS
"""

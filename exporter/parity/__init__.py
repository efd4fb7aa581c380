"""Proves a bundle equal to eager PyTorch: graph by graph, step by step, decoding by decoding.

Given: a checkpoint and its bundle.
Open to: benchmarks, exporter.commands, exporter.pipeline.

Goes out:
    check: check_parity, check_same_model
    decodings: eager_options
    report: ParityReport, records_json, render_markdown
    trial: require_generation
"""

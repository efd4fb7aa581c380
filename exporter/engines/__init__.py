"""A bundle's graphs to TensorRT engines; tensorrt_builder alone imports TensorRT, in a process of its own.

Given: an opened bundle and options.
Open to: benchmarks, exporter.commands.

Goes out:
    build: Census, CompileResult, census_of_bundle, compile_bundle
    options: DEFAULT_PRECISION, DEFAULT_TARGETS, EngineOptions, PORTABLE, parse_spans, parse_targets
    process: choose_flavour
"""

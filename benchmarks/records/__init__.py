"""The record of a measurement, as JSON: raw samples, environment, and what follows from them.

Given: what was measured.
Open to: benchmarks.bench, benchmarks.commands, benchmarks.gpu.

Goes out:
    environment: describe_environment
    ratios: with_ratios
    read: read_record
    record: record_of, with_floor, write_record
"""

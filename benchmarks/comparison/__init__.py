"""Two records of the same cases: what changed, and whether it is more than noise.

Given: records.
Open to: benchmarks.commands, benchmarks.records.

Goes out:
    compare: LEAST_REPETITIONS, compare, ratio_interval, repetition_values
    report: comparison_text, passes
"""

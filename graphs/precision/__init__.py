"""Runs a model with some blocks in float16 and the others in float32, in eager and under a trace alike.

Given: modules, and an assignment of precisions to their blocks.
Open to: exporter.

Goes out:
    blocks: BlockCalls, Crossing, LARGEST_HALF, PrecisionAssignment, blocks_of, in_precisions, is_norm,
        model_roots
    weights: FULL, HALF, named_modules, own_parameters
"""

"""Finds what must stay in float32 when the rest computes in float16 or int8, and makes the int8 graphs.

Given: a loaded checkpoint, audio that tries it, and a budget.
Open to: exporter.commands, exporter.pipeline.

Goes out:
    int8_check: Int8Check
    int8_graphs: write_int8_graphs
    policy: Base, FIXED_BLOCKS, FoundPolicy, allowed, fp16_policy, search_policy
"""

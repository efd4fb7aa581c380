"""Loads what an export starts from, completely or not at all: saved checkpoints, pairs, random weights.

Comes in: a source. A Checkpoint in memory leaves.

Goes out:
    checkpoint: Checkpoint
    load: load_source
    prompt: usual_prompt
"""

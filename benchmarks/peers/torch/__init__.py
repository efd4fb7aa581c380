"""Peer: the checkpoint in PyTorch, eager or compiled.

Given: settings, through ``peers.protocol.open_peer``.
Open to: benchmarks.gpu, benchmarks.measuring.

Goes out:
    peer: torch_problem
"""

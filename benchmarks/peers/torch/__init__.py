"""Peer: the checkpoint in PyTorch, eager or compiled.

Comes in: settings, through ``peers.protocol.open_peer``.

Goes out:
    peer: torch_problem
"""

"""Peer: a bundle in s2t_runtime.

Comes in: settings, through ``peers.protocol.open_peer``.

Goes out: nothing that another module imports.
"""

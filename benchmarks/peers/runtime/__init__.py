"""Peer: a bundle in s2t_runtime.

Given: settings, through ``peers.protocol.open_peer``.
Open to: nobody.

Goes out: nothing that another module imports.
"""

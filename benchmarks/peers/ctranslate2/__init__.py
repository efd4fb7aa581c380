"""Peer: the checkpoint's encoder and decoder in CTranslate2.

Comes in: settings, through ``peers.protocol.open_peer``.

Goes out: nothing that another module imports.
"""

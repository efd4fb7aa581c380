"""Peer: the checkpoint's encoder and decoder in CTranslate2.

Given: settings, through ``peers.protocol.open_peer``.
Open to: nobody.

Goes out: nothing that another module imports.
"""

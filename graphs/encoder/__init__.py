"""The encoder graph: raw audio in, encoder states, mask and cross-attention keys and values out."""

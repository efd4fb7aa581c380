"""The two decoder graphs, what a decoder is told to be able to, and its shape."""

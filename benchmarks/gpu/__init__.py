"""``python -m benchmarks.gpu``: the same for a GPU, with engines that it builds where they are missing.

Comes in: a command line.

Goes out: nothing that another module imports.
"""

"""``python -m benchmarks.gpu``: the same for a GPU, with engines that it builds where they are missing.

Given: a command line.
Open to: nobody.

Goes out: nothing that another module imports.
"""

"""The command line bench-s2t; the programs ``python -m benchmarks.NAME`` lie where that name says.

Comes in: a command line.

Goes out: nothing that another module imports.
"""

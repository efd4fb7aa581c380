"""The command line bench-s2t; the programs ``python -m benchmarks.NAME`` lie where that name says.

Given: a command line.
Open to: nobody.

Goes out: nothing that another module imports.
"""

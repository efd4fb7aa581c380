"""The command lines run-s2t and doctor-s2t: parse, run and main, each callable alone.

Given: a command line. Nobody below imports a command; what it computes with is imported inside run.
Open to: benchmarks.

Goes out:
    doctor: diagnose
"""

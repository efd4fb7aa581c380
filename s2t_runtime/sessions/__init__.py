"""Runs the graphs of a bundle: what a session must do (protocol), and the one that a provider names (open).

Given: an opened bundle. The search sees the protocol alone; who loads a model asks open.
Open to: benchmarks, s2t_runtime, s2t_runtime.search.

Goes out:
    encoder_runs: encoder_runs
    open: ENGINES, PROVIDERS, open_session
    protocol: Candidates, EncodedT, Float32, Int64, Request, Session, StepFunction, TimedStep
"""

"""Runs the graphs of a bundle: what a session must do (protocol), and the one that a provider names (open).

Comes in: an opened bundle. The search sees the protocol alone; who loads a model asks open.

Goes out:
    open: ENGINES, PROVIDERS, open_session
    protocol: Candidates, EncodedT, Float32, Int64, Request, Session, StepFunction, TimedStep
"""

"""Optimisation profiles."""

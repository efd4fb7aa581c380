"""Runs the graphs."""

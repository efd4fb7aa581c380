"""Command lines of the runtime: run-s2t and doctor-s2t."""

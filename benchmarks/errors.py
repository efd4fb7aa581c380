"""Errors of the benchmarks; they hang under the runtime's tree, so that one handler serves every command.

S2TError
└── BenchmarkError   (RuntimeError)  nothing can be measured here, or not as it was asked for
    └── PeerError                    one peer cannot be opened or failed; the others go on
"""

from __future__ import annotations

from s2t_runtime.errors import S2TError


class BenchmarkError(S2TError, RuntimeError):
    """Nothing can be measured here, or not as it was asked for."""


class PeerError(BenchmarkError):
    """One peer cannot be opened, or failed while it was measured."""

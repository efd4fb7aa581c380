"""What the exporter runs graphs with."""

from __future__ import annotations

import pytest

from exporter.onnx import session
from s2t_runtime.default_threads import DefaultThreads


def test_it_computes_with_the_threads_of_the_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "default_threads", lambda: DefaultThreads(3, 3, 3, None))
    assert session._options().intra_op_num_threads == 3

"""Reads a record that was written before, whoever wrote it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from benchmarks.errors import BenchmarkError
from benchmarks.records.record import RECORD_VERSION

_NEEDED: Final = ("environment", "cases", "workloads", "rows", "footprints", "left_out")


def read_record(path: Path) -> dict[str, Any]:
    """The record in a file.

    Raises:
        BenchmarkError: the file cannot be read, is no record, or is one of another version.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BenchmarkError(
            f"{path} cannot be read ({error.strerror}): give a latency.json that bench-s2t wrote"
        ) from error
    except ValueError as error:
        raise BenchmarkError(
            f"{path} is not JSON ({error}): give a latency.json that bench-s2t wrote"
        ) from error
    if not isinstance(record, dict) or "record_version" not in record:
        raise BenchmarkError(
            f"{path} is no record of a measurement: give a latency.json that bench-s2t wrote"
        )
    version = record["record_version"]
    if version != RECORD_VERSION:
        raise BenchmarkError(
            f"{path} has record_version {version}, this bench-s2t reads {RECORD_VERSION}: measure again"
        )
    missing = [name for name in _NEEDED if name not in record]
    if missing:
        raise BenchmarkError(f"{path} lacks {', '.join(missing)}: it was altered; measure again")
    return record

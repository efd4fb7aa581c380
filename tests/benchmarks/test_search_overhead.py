from __future__ import annotations

from benchmarks.search_overhead import CASES, STEPS, own_time_ms
from click.testing import CliRunner


def test_own_time_ms_gives_one_positive_value_per_decoding():
    values = own_time_ms(CASES[1], repeats=2)

    assert len(values) == 2
    assert all(value > 0 for value in values)


def test_main_prints_one_line_per_case():
    from benchmarks.search_overhead import main

    result = CliRunner().invoke(main, ["--repeats", "1"])

    assert result.exit_code == 0, result.output
    assert f"{STEPS} steps" in result.output
    assert len(result.output.splitlines()) == 2 + len(CASES)

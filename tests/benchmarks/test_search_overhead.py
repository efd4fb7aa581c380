from __future__ import annotations

from click.testing import CliRunner

from benchmarks.search_overhead import CASES, STEPS, main, own_time_ms


def test_own_time_ms_gives_one_positive_value_per_decoding() -> None:
    values = own_time_ms(CASES[1], repeats=2)

    assert len(values) == 2
    assert all(value > 0 for value in values)


def test_main_prints_one_line_per_case() -> None:
    result = CliRunner().invoke(main, ["--repeats", "1"])

    assert result.exit_code == 0, result.output
    assert f"{STEPS} steps" in result.output
    assert len(result.output.splitlines()) == 2 + len(CASES)

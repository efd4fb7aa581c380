"""What two records say of quality, and which cases one of them has lost: a faster row with less of it is no gain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

_SCORE_NOISE: Final = 0.01
"""Differences of scores that move by less say nothing: float32 makes a millionth, a rounding of int8 a thousandth."""
_ERROR_RATES: Final = {
    "word_error_rate": "word error rate",
    "character_error_rate": "character error rate",
}

Key = tuple[str, str]
"""Case and workload."""
Rows = Mapping[Key, Mapping[str, Any]]
_Pair = tuple[Mapping[str, Any], Mapping[str, Any]]


@dataclass(frozen=True)
class Finding:
    """What is told of a row.

    Attributes:
        sentence: of it.
        loss: whether less is there than before, which no speed makes up for.
    """

    sentence: str
    loss: bool


def quality_changes(new: Mapping[str, Any], before: Rows, after: Rows) -> list[Finding]:
    """Of every row that both records have.

    Args:
        new: the new record.
        before: rows of the old one.
        after: rows of the new one.
    """
    found = []
    for key in [key for key in before if key in after]:
        name, rows = _name(key), (before[key], after[key])
        found += [
            *_agreement(name, rows, new),
            *_tokens(name, rows),
            *_steadiness(name, rows),
            *_errors(name, rows, new),
        ]
    return found


def one_sided_rows(new: Mapping[str, Any], before: Rows, after: Rows) -> list[Finding]:
    """Rows that one record alone has; one that the new run was asked for and did not give is a loss.

    Args:
        new: the new record.
        before: rows of the old one.
        after: rows of the new one.
    """
    cases = {case["name"] for case in new["cases"]} | set(new["left_out"])
    workloads = {one["name"] for one in new["workloads"]}
    found = []
    for case, task in [key for key in before if key not in after]:
        said = f"{_name((case, task))} is in the old record alone"
        if case in cases and task in workloads:
            reason = new["left_out"].get(case, "the new one gives no reason")
            found.append(Finding(f"{said}, though the new run was asked for it: {reason}", loss=True))
        else:
            found.append(Finding(f"{said}: the new run was not asked for it", loss=False))
    extra = [key for key in after if key not in before]
    return found + [Finding(f"{_name(key)} is in the new record alone", loss=False) for key in extra]


def _agreement(name: str, rows: _Pair, new: Mapping[str, Any]) -> Iterator[Finding]:
    for reference, before in rows[0]["parity"].items():
        after = rows[1]["parity"].get(reference)
        old_share = f"{before['agreeing']}/{before['tokens']}"
        if after is None:
            # Where the reference itself was not measured, that is told with the rows that are gone.
            there = reference in new["footprints"]
            yield Finding(f"{name}: tokens as {reference} {old_share} -> not compared", loss=there)
            continue
        new_share = f"{after['agreeing']}/{after['tokens']}"
        if old_share != new_share:
            fell = after["agreeing"] * before["tokens"] < before["agreeing"] * after["tokens"]
            yield Finding(f"{name}: tokens as {reference} {old_share} -> {new_share}", loss=fell)
        yield from _scores(f"{name}: difference of scores from {reference}", before, after)


def _scores(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Finding]:
    # None: not finite.
    old, new = before["score_difference"], after["score_difference"]
    if new is None and old is not None:
        yield Finding(f"{name} {old:.2g} -> not a finite number", loss=True)
    elif new is not None and old is not None and abs(new - old) > _SCORE_NOISE:
        yield Finding(f"{name} {old:.2g} -> {new:.2g}", loss=new > old)


def _tokens(name: str, rows: _Pair) -> Iterator[Finding]:
    if rows[0].get("tokens") != rows[1].get("tokens"):
        yield Finding(f"{name}: other tokens than before", loss=False)


def _steadiness(name: str, rows: _Pair) -> Iterator[Finding]:
    before, after = (row.get("steady", True) for row in rows)
    if before and not after:
        yield Finding(f"{name}: no longer the same tokens in every repetition", loss=True)


def _errors(name: str, rows: _Pair, new: Mapping[str, Any]) -> Iterator[Finding]:
    before, after = (row.get("word_errors") for row in rows)
    if before is None:
        return
    if after is None:
        # Of a run without references no row has any.
        lost = any("word_errors" in row for row in new["rows"])
        yield Finding(f"{name}: word error rate {before['word_error_rate']:.2%} -> none", loss=lost)
        return
    for rate, called in _ERROR_RATES.items():
        if before.get(rate) != after.get(rate):
            said = f"{name}: {called} {before[rate]:.2%} -> {after[rate]:.2%}"
            yield Finding(said, loss=after[rate] > before[rate])


def _name(key: Key) -> str:
    return f"{key[0]} ({key[1]})"

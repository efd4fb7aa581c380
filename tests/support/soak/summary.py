"""What a soak tried and found, counted from its record alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from support.soak.outcome import Round


def summary(rounds: Sequence[Round], processor: str, versions: str) -> str:
    """A page of Markdown."""
    tried: Counter[str] = Counter()
    for one in rounds:
        tried.update(one.outcome.tried)
    found = [(one, sentence) for one in rounds for sentence in one.outcome.found]
    lines = [
        f"{sum(one.seconds for one in rounds) / 60:.0f} minutes of rounds on {processor}; {versions}.",
        "",
        "| rounds | number | minutes | found |",
        "|---|---|---|---|",
    ]
    for kind in dict.fromkeys(one.kind for one in rounds):
        own = [one for one in rounds if one.kind == kind]
        minutes = sum(one.seconds for one in own) / 60
        lines.append(
            f"| {kind} | {len(own)} | {minutes:.0f} | {sum(len(one.outcome.found) for one in own)} |"
        )
    lines += ["", "| tried | number |", "|---|---|"]
    lines += [f"| {name} | {count:,} |" for name, count in sorted(tried.items())]
    lines += ["", *_figures(rounds), ""]
    lines += [f"- {one.kind} {one.number} (seed {one.seed}): {sentence}" for one, sentence in found] or [
        "Nothing was found."
    ]
    return "\n".join(lines) + "\n"


def _figures(rounds: Sequence[Round]) -> list[str]:
    worst: dict[str, float] = {}
    for one in rounds:
        for name, value in one.outcome.figures.items():
            if isinstance(value, float):
                worst[name] = max(value, worst.get(name, -1e300))
    if not worst:
        return []
    return [
        "| figure | worst |",
        "|---|---|",
        *(f"| {name} | {value:.3g} |" for name, value in sorted(worst.items())),
    ]

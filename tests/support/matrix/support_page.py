"""The results of the support matrix, and docs/support.md made from them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.parity.decodings import LOG_MEL_SCORE_TOLERANCE, SCORE_TOLERANCE

ROUNDING_FACTOR = 3
"""Two computations in float32 may be so many times as far from each other as one of them is from float64."""
PUBLISHED = Path(__file__).with_name("published.md")
"""The part that is written by hand."""
_HEADLINE = "# Supported models\n\n"
_OPENING = """Made by `make matrix`, not by hand: every encoder variant below with every decoder family of transformers
that decodes encoder states with a cache. Weights are random and tiny, those of the encoders as usual, 1.5 or 2 times as
large, in turns; each pair decodes {decodings} times (one beam and
three, every utterance alone and in a padded batch, at lengths that were not traced) and is compared with eager
`generate()`.

A cell gives the largest difference of a hypothesis' score where all tokens are identical: {allowed:.0e} is allowed,
and {log_mel:.0e} behind log-mel features, which eager computes in float64, or {factor} times what eager's own scores
are off from its float64 ones, where a random model is so sensitive. `too far`, `tokens differ` and `failed` (an error)
name failures, `not run` a pair without a result. **Cross-attention** says whether the beams of an utterance share one
copy of the encoder's keys and values, or the graph expands them.

"""


@dataclass(frozen=True)
class Result:
    """What came of one pair."""

    encoder: str
    decoder: str
    cross_attention: str
    versions: Mapping[str, str]
    decodings: int = 0
    identical: int = 0
    score_difference: float = 0.0
    allowed_score_difference: float = SCORE_TOLERANCE
    eager_rounding: float = 0.0
    """How far eager's own scores are from its float64 ones; looked at where a difference is not allowed."""
    error: str = ""

    def with_decoding(self, *, identical: bool, score_difference: float) -> Result:
        """One more decoding."""
        return dataclasses.replace(
            self,
            decodings=self.decodings + 1,
            identical=self.identical + identical,
            score_difference=max(self.score_difference, score_difference),
        )

    def with_rounding(self, eager_rounding: float) -> Result:
        """A difference that is not allowed, next to eager's own rounding errors."""
        return dataclasses.replace(self, eager_rounding=max(self.eager_rounding, eager_rounding))

    def failed(self, error: str) -> Result:
        """It raised."""
        return dataclasses.replace(self, error=error)

    @property
    def passed(self) -> bool:
        """All tokens identical, all scores within tolerance, and something was compared."""
        same = 0 < self.decodings == self.identical
        allowed = max(self.allowed_score_difference, ROUNDING_FACTOR * self.eager_rounding)
        return not self.error and same and self.score_difference <= allowed

    def cell(self) -> str:
        """As the page shows it."""
        if self.error:
            return "failed"
        if self.identical < self.decodings:
            return f"tokens differ in {self.decodings - self.identical} of {self.decodings}"
        rounding = f" (eager's own rounding {self.eager_rounding:.0e})" if self.eager_rounding else ""
        return f"{self.score_difference:.0e}{rounding}" + ("" if self.passed else ", too far")

    def record(self) -> dict[str, Any]:
        """One line of the results file."""
        return dataclasses.asdict(self)


Results = dict[tuple[str, str], Result]


def read_results(directory: Path) -> Results:
    """The last result of every pair, from all shards."""
    found: Results = {}
    for path in sorted(directory.glob("results-*.jsonl"), key=lambda file: file.stat().st_mtime):
        for line in path.read_text(encoding="utf-8").splitlines():
            result = Result(**json.loads(line))
            found[result.encoder, result.decoder] = result
    return found


def render(
    encoders: Sequence[tuple[str, tuple[str, Any]]], decoders: Sequence[str], results: Mapping[Any, Result]
) -> str:
    """The page: one table per encoder family, a row per decoder, a column per variant."""
    decodings = max((result.decodings for result in results.values()), default=16)
    run = sum(
        (encoder, decoder) in results for encoder, _ in encoders for decoder in decoders
    )  # results of variants that are gone do not count
    text = _OPENING.format(
        decodings=decodings, allowed=SCORE_TOLERANCE, log_mel=LOG_MEL_SCORE_TOLERANCE, factor=ROUNDING_FACTOR
    )
    text = _HEADLINE + PUBLISHED.read_text(encoding="utf-8") + text
    text += f"{run} of {len(encoders) * len(decoders)} pairs run{_versions(results)}.\n"
    families = dict.fromkeys(kind for _, (kind, _) in encoders)
    for family in families:
        variants = [name for name, (kind, _) in encoders if kind == family]
        text += f"\n## {family}\n\n"
        text += "| decoder | cross-attention | " + " | ".join(variants) + " |\n"
        text += "|---|---|" + "---|" * len(variants) + "\n"
        text += "".join(_row(decoder, variants, results) for decoder in decoders)
    return text


def _row(decoder: str, variants: Sequence[str], results: Mapping[Any, Result]) -> str:
    cells = [results.get((variant, decoder)) for variant in variants]
    modes = {result.cross_attention for result in results.values() if result.decoder == decoder}
    shown = ["not run" if cell is None else cell.cell() for cell in cells]
    return f"| {decoder} | {', '.join(sorted(modes)) or 'not run'} | " + " | ".join(shown) + " |\n"


def _versions(results: Mapping[Any, Result]) -> str:
    sets = {tuple(sorted(result.versions.items())) for result in results.values()}
    listed = [", ".join(f"{name} {version}" for name, version in versions) for versions in sorted(sets)]
    return "; versions: " + "; earlier: ".join(listed) if listed else ""

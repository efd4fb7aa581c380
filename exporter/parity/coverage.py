"""How much of a model the parity check decodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from exporter.reference.probe_audio import probe_utterance
from exporter.reference.utterance import Utterance
from s2t_runtime.model import SpeechToText

_LARGE_MODEL_PARAMETERS = 150_000_000
"""Above this, eager takes minutes for what a small model does in seconds, and its depth shows every fault as well."""


@dataclass(frozen=True)
class Coverage:
    """What is decoded by the bundle and by eager."""

    durations_s: tuple[float, ...]
    """Of the built-in probes."""
    max_new_tokens: int
    searches: tuple[dict[str, Any], ...]
    """Decoding options, each with every utterance, alone and in one batch."""
    longest_default: int
    """New tokens up to which the bundle's untouched defaults are decoded; of longer ones no more than so many."""

    def probes(self, model: SpeechToText) -> list[Utterance]:
        """Seeded stand-ins for recordings, as long as the bundle takes them."""
        audio = model.manifest.audio
        rate = audio.sampling_rate
        shortest_s, longest_s = audio.min_samples / rate, audio.max_samples / rate
        durations_s = [min(max(duration, shortest_s), longest_s) for duration in self.durations_s]
        return [
            Utterance(f"probe-{seed} ({duration:.2f} s)", probe_utterance(duration, rate, 100 + seed))
            for seed, duration in enumerate(durations_s)
        ]

    def option_sets(self, model: SpeechToText) -> list[dict[str, Any]]:
        """The searches within the decoder's positions, other languages where there are any."""
        languages = sorted(model.manifest.languages.items())
        positions = model.manifest.decoder.max_positions
        # The last token is never fed, so that behind a start token there is one for each position.
        length = self.max_new_tokens if positions is None else min(self.max_new_tokens, positions)
        # Spelled out: the bundle's own beam count may have been chosen at export.
        own_beams = {"num_beams": model.manifest.generation.get("num_beams", 1)}
        sets = [{**own_beams, **search, "max_new_tokens": length} for search in self.searches]
        for number, options in enumerate(sets):
            if languages:
                options["forced_bos_token_id"] = languages[number * 5 % len(languages)][1]
        return sets


def beginnings(model: SpeechToText, padding: int | None) -> list[dict[str, Any]]:
    """Short searches that begin as few recipes do: what a decoder makes of its padding token is seen nowhere else.

    A forced token behind each kind of start token, and prompts with padding in them.

    Args:
        model: the bundle.
        padding: the decoder's own padding token; None: it has none.
    """
    plan = model.plan()
    if padding is not None and not 0 <= padding < plan.vocab_size:
        padding = None
    start, positions = plan.prompt[0], model.manifest.decoder.max_positions
    special = {start, padding, *plan.eos_token_ids, *plan.suppress_tokens}
    written = range(plan.vocab_size) if plan.output_ids is None else plan.output_ids.tolist()
    forced = next((token for token in written if token not in special), None)
    new = _FEW_TOKENS if positions is None else min(_FEW_TOKENS, positions - 2)
    if forced is None or new < 1:
        return []
    starts = [start, *plan.eos_token_ids[:1], *([] if padding is None else [padding])]
    sets: list[dict[str, Any]] = [
        {"decoder_start_token_id": token, "forced_bos_token_id": forced} for token in dict.fromkeys(starts)
    ]
    if padding is not None and padding in written:
        sets += [
            {"decoder_start_token_id": start, "decoder_prompt_ids": (start, padding, forced)},
            {"decoder_start_token_id": padding, "decoder_prompt_ids": (padding, forced)},
        ]
    return [{**options, "num_beams": 2, "max_new_tokens": new} for options in sets]


_FEW_TOKENS = 4
_GREEDY: dict[str, Any] = {"num_beams": 1}
_FIVE_BEAMS: dict[str, Any] = {
    "num_beams": 5,
    "num_return_sequences": 5,
    "early_stopping": False,
    "length_penalty": 0.7,
}
_WHOLE = Coverage(
    durations_s=(1.4, 0.45, 2.7),
    max_new_tokens=40,
    longest_default=300,
    searches=(
        _GREEDY,
        {},  # the bundle's own
        _FIVE_BEAMS,
        {"num_beams": 3, "num_return_sequences": 2, "early_stopping": "never"},
    ),
)
_LARGE = Coverage(
    durations_s=(1.4, 2.7), max_new_tokens=20, longest_default=40, searches=(_GREEDY, _FIVE_BEAMS)
)


def coverage_for(parameters: int) -> Coverage:
    """The coverage for a model of this many parameters: greedy and five beams always, more where it is quick."""
    return _LARGE if parameters > _LARGE_MODEL_PARAMETERS else _WHOLE

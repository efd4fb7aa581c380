"""What a few decoder families need beyond the common interfaces, each with its reason; all others need no entry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True)
class EagerFault:
    """Why a family that takes encoder states cannot decode with them in eager PyTorch."""

    attribute: str
    """Where the fault is."""
    reason: str


# Told before weights are read; a probing run finds the same after loading. Measured with transformers 5.23:
# tests/graphs/decoder/test_support.py runs each of them, so that an entry goes when its family works.
UNUSABLE: dict[str, EagerFault] = {
    "big_bird": EagerFault(
        "BigBirdSelfAttention.forward",
        "stores keys in the pair of caches instead of the self-attention's own, so every step with a cache raises",
    ),
    "gpt_bigcode": EagerFault(
        "GPTBigCodeAttention.forward",
        "cannot project encoder states: it splits them by the width of one head, and multi_query=true has no "
        "cross-attention at all",
    ),
    "megatron-bert": EagerFault(
        "MegatronBertSelfAttention.forward",
        "shapes the encoder's keys like the tokens' queries, so any other number of frames than tokens raises",
    ),
    "musicgen": EagerFault("num_codebooks", "it writes several audio codes per step, not one token of text"),
    "musicgen_melody": EagerFault(
        "num_codebooks", "it writes several audio codes per step, not one token of text"
    ),
    "prophetnet": EagerFault(
        "ProphetNetDecoder.forward", "rejects its own position_ids in every step with a cache"
    ),
}


def missing_setting(config: Any) -> str | None:
    """A setting without which eager cannot run the decoder, as a reason; None where nothing is missing.

    X-MOD keeps one adapter per language; without ``default_language`` its forward raises.
    """
    languages = getattr(config, "languages", None)
    if languages is None or getattr(config, "default_language", languages) is not None:
        return None
    return (
        f"decoder {config.model_type!r} has decoder.default_language null, so it does not know which of its "
        f"language adapters to use and eager PyTorch cannot run it: set it to one of {', '.join(languages)}"
    )


@contextmanager
def traceable(decoder: Any) -> Iterator[None]:
    """Make traceable, for a time, what a decoder's own code leaves to the data. Results stay the same."""
    with ExitStack() as stack:
        for module in decoder.modules():
            if hasattr(module, "lang_adapter"):
                stack.enter_context(_default_language_only(module, decoder.config.default_language))
        yield


class _EveryRow:
    """Stands for a row-wise tensor of languages that are all the same: any comparison selects every row."""

    def __eq__(self, other: object) -> slice:  # type: ignore[override]
        return slice(None)

    __hash__ = None  # type: ignore[assignment]


@contextmanager
def _default_language_only(layer_output: Any, language: str) -> Iterator[None]:
    """X-MOD: only the default language's adapter is run, and exported.

    Its forward selects the rows of each language by a boolean index, which traces to NonZero, and would
    carry the adapters of all languages (81 in xmod-base) into the graph.
    """
    adapters, lang_adapter = layer_output.adapter_modules, layer_output.lang_adapter

    def default_adapter(_lang_ids: Tensor, hidden_states: Tensor) -> Tensor:
        return lang_adapter(_EveryRow(), hidden_states)

    layer_output.adapter_modules = nn.ModuleDict({language: adapters[language]})
    layer_output.lang_adapter = default_adapter
    try:
        yield
    finally:
        layer_output.adapter_modules = adapters
        del layer_output.lang_adapter

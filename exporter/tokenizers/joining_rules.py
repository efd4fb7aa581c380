"""The decoder of a tokenizer.json -> the joining rule of a manifest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from s2t_runtime.bundles.manifest import Detokenizer, JoiningStep
from s2t_runtime.text.detokenizer import TEXT_CLEANUP

Decoder = Mapping[str, Any] | None
"""The "decoder" of a tokenizer.json; None: tokens are joined with spaces."""

WHITE_SPACE: Final = "".join(character for character in map(chr, range(0x3001)) if character.isspace())
"""What Python's str.strip() drops: 29 characters, the last of them U+3000."""
_ANY_SPACE: Final = "[" + "".join(rf"\x{{{ord(character):x}}}" for character in WHITE_SPACE) + "]+"
TRIM_PATTERN: Final = rf"\A{_ANY_SPACE}|{_ANY_SPACE}\z"
"""str.strip() as the regular expression of a Replace; the tokenizers library has no decoder for it."""


def joining_rule(decoder: Decoder, *, cleanup: bool) -> Detokenizer | None:
    """How the tokens of a tokenizer are joined.

    Args:
        decoder: of its tokenizer.json.
        cleanup: whether transformers cleans the whole text up afterwards.

    Returns:
        The rule; None where it is none that a manifest can state.
    """
    steps: list[JoiningStep] = []
    for part in _flat(decoder):
        step = _step(part)
        if step is None:
            return None
        steps.append(step)
    # Tokens are put together at the end anyway.
    while len(steps) > 1 and steps[-1] == JoiningStep("join", content=""):
        steps.pop()
    return _shortest(steps, cleanup)


def _flat(decoder: Decoder) -> list[Mapping[str, Any]]:
    if decoder is None:
        return [{"type": "Spaces"}]
    if decoder.get("type") != "Sequence":
        return [decoder]
    return [part for inner in decoder["decoders"] for part in _flat(inner)]


def _shortest(steps: list[JoiningStep], cleanup: bool) -> Detokenizer:  # noqa: FBT001
    """The kinds that have a name are stated by it: hosts of format version 1 know no steps."""
    only = steps[0] if len(steps) == 1 else None
    if only is not None and only.step == "metaspace":
        return Detokenizer(
            "metaspace",
            replacement=only.pattern,
            prepend_scheme=only.prepend_scheme,
            clean_up_tokenization_spaces=cleanup,
        )
    if only is not None and only.step == "wordpiece":
        return Detokenizer(
            "wordpiece", prefix=only.pattern, cleanup=only.cleanup, clean_up_tokenization_spaces=cleanup
        )
    if only is not None and only.step == "byte_level":
        return Detokenizer("byte_level", clean_up_tokenization_spaces=cleanup)
    return Detokenizer("steps", steps=tuple(steps), clean_up_tokenization_spaces=cleanup)


def _step(part: Mapping[str, Any]) -> JoiningStep | None:
    convert = _CONVERSIONS.get(str(part.get("type")))
    return convert(part) if convert else None


def _replace(part: Mapping[str, Any]) -> JoiningStep | None:
    if part["pattern"].get("Regex") == TRIM_PATTERN and part["content"] == "":
        return JoiningStep("trim", content=WHITE_SPACE)
    pattern = part["pattern"].get("String")
    # A regular expression is nothing that every host could follow.
    return JoiningStep("replace", pattern=pattern, content=part["content"]) if pattern else None


def _strip(part: Mapping[str, Any]) -> JoiningStep | None:
    if part["stop"]:  # the library itself panics on tokens shorter than this
        return None
    return JoiningStep("strip", content=part["content"], count=int(part["start"]))


_CONVERSIONS: Final[dict[str, Callable[[Mapping[str, Any]], JoiningStep | None]]] = {
    "Spaces": lambda _: JoiningStep("join", content=" "),
    "Fuse": lambda _: JoiningStep("join", content=""),
    "ByteFallback": lambda _: JoiningStep("byte_fallback"),
    "ByteLevel": lambda _: JoiningStep("byte_level"),
    "Metaspace": lambda part: JoiningStep(
        "metaspace", pattern=part["replacement"], prepend_scheme=part["prepend_scheme"]
    ),
    "Replace": _replace,
    "Strip": _strip,
    "WordPiece": lambda part: JoiningStep("wordpiece", pattern=part["prefix"], cleanup=bool(part["cleanup"])),
    "BPEDecoder": lambda part: JoiningStep("suffix", pattern=part["suffix"]) if part["suffix"] else None,
    "CTC": lambda part: (
        JoiningStep(
            "ctc",
            pattern=part["pad_token"],
            content=part["word_delimiter_token"],
            cleanup=bool(part["cleanup"]),
        )
        if part["pad_token"]
        else None
    ),
}


def fuse() -> dict[str, Any]:
    """The decoder that joins all tokens to one."""
    return {"type": "Fuse"}


def replace(pattern: str, content: str) -> dict[str, Any]:
    """The decoder that replaces a text in each token."""
    return {"type": "Replace", "pattern": {"String": pattern}, "content": content}


def trim() -> dict[str, Any]:
    """The decoder that does str.strip() to each token."""
    return {"type": "Replace", "pattern": {"Regex": TRIM_PATTERN}, "content": ""}


def beginning_of_none(tokens: Iterable[str]) -> str:
    """A text that no token begins with."""
    longest = max((len(token) - len(token.lstrip("\n")) for token in tokens), default=0)
    return "\n" * (longest + 1)


def spaces(never: str) -> dict[str, Any]:
    """The decoder that puts a space before each token but the first; ``never`` begins no token."""
    return {"type": "WordPiece", "prefix": never, "cleanup": False}


def with_text_cleanup(decoder: Decoder, never: str) -> dict[str, Any]:
    """The decoder with transformers' clean-up of the whole text after it.

    The tokenizers library knows only decoders, so that tokenizer.json alone gives transformers' text.
    ``never`` begins no token.
    """
    first = spaces(never) if decoder is None else dict(decoder)
    return {"type": "Sequence", "decoders": [first, fuse(), *(replace(*pair) for pair in TEXT_CLEANUP)]}

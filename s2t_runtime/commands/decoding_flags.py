"""The decoding options as flags of a command line."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, TypeAlias

import click


def _ids(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> tuple[int, ...] | None:
    """Token ids by commas or repetition; an empty text is an empty list, which switches a default off."""
    parts = [part for text in texts if text.strip() for part in text.split(",")]
    try:
        return tuple(map(int, parts)) if texts else None
    except ValueError as error:
        raise click.BadParameter(f"{','.join(parts)!r} is no list of token ids such as 5,6,7") from error


def _id_lists(_: click.Context, __: click.Parameter, text: str | None) -> list[list[int]] | None:
    if not text:
        return None if text is None else []
    with suppress(ValueError):
        if isinstance(lists := json.loads(text), list):
            return lists
    raise click.BadParameter(f"{text!r} is no JSON list of lists of token ids such as [[5,6],[7]]")


def _biases(_: click.Context, __: click.Parameter, text: str | None) -> list[object] | None:
    if not text:
        return None if text is None else []
    with suppress(ValueError):
        if isinstance(pairs := json.loads(text), list):
            return pairs
    raise click.BadParameter(f"{text!r} is no JSON list of biases such as [[[5,6],-2.5],[[7],1]]")


def _decay(_: click.Context, __: click.Parameter, text: str | None) -> tuple[int, float] | tuple[()] | None:
    if not text:
        return None if text is None else ()
    with suppress(ValueError):
        start, factor = text.split(",")
        return int(start), float(factor)
    raise click.BadParameter(f"{text!r} is no START,FACTOR such as 20,1.1")


_Settings: TypeAlias = Mapping[str, Any]
_COUNT: Final[_Settings] = {"type": int, "metavar": "N"}
_NUMBER: Final[_Settings] = {"type": float, "metavar": "X"}
_ID: Final[_Settings] = {"type": int, "metavar": "ID"}
_IDS: Final[_Settings] = {"metavar": "ID,...", "multiple": True, "callback": _ids}
_ID_LISTS: Final[_Settings] = {"metavar": "JSON", "callback": _id_lists}
_STOPPING: Final[Mapping[str, bool | str]] = {"true": True, "false": False, "never": "never"}
# Before click 8.2 choices are texts.
_CHOICE: Final[_Settings] = {
    "type": click.Choice(list(_STOPPING), case_sensitive=False),
    "callback": lambda _context, _parameter, text: None if text is None else _STOPPING[text],
}
_SWITCH: Final[_Settings] = {"default": None}
DECODING_FLAGS: Final[dict[str, tuple[_Settings, str]]] = {
    "language": ({"metavar": "CODE"}, "Language to write: a code that the bundle knows."),
    "num_beams": (_COUNT, "Beams; 1 decodes greedily, or samples."),
    "num_return_sequences": (_COUNT, "Hypotheses to return; in beam search at most one per beam."),
    "max_length": (_COUNT, "Most tokens in all, prompt included."),
    "max_new_tokens": (_COUNT, "Most tokens after the prompt, in place of --max-length."),
    "min_length": (_COUNT, "Fewest tokens in all, prompt included."),
    "min_new_tokens": (_COUNT, "Fewest tokens after the prompt, in place of --min-length."),
    "length_penalty": (_NUMBER, "A hypothesis scores its log-probability / new tokens ** X."),
    "early_stopping": (_CHOICE, "Stop once num-beams hypotheses have finished; false: later."),
    "do_sample": (_SWITCH, "Draw tokens by their probability; the flags down to --seed need it."),
    "temperature": (_NUMBER, "Divide scores by X: above 1 draws get more various."),
    "top_k": (_COUNT, "Draw among the N best; left out, 50; 0 switches it off."),
    "top_p": (_NUMBER, "Draw among the likeliest that make up the share X."),
    "min_p": (_NUMBER, "Draw among those at least X times as likely as the likeliest."),
    "typical_p": (_NUMBER, "Draw among the most typical that make up the share X."),
    "top_h": (_NUMBER, "Draw among the likeliest that hold the share X of the entropy."),
    "epsilon_cutoff": (_NUMBER, "Draw among those of a probability of at least X."),
    "eta_cutoff": (_NUMBER, "The same, with a bound that falls as the entropy grows."),
    "seed": (_COUNT, "Of the random numbers; left out, every run draws others."),
    "forced_bos_token_id": (_ID, "The first token after the start token."),
    "forced_eos_token_id": (_IDS, "The last token, where the maximum length is reached."),
    "eos_token_id": (_IDS, "Tokens that end a hypothesis."),
    "decoder_start_token_id": (_ID, "The first token of the prompt."),
    "decoder_prompt_ids": (_IDS, "Prompt; the start token is put in front where absent."),
    "suppress_tokens": (_IDS, "Tokens that are never chosen."),
    "begin_suppress_tokens": (_IDS, "Tokens that are never chosen first."),
    "no_repeat_ngram_size": (_COUNT, "No N tokens in a row occur twice; 0 switches it off."),
    "repetition_penalty": (_NUMBER, "Above 1 tokens that occurred become less likely."),
    "bad_words_ids": (_ID_LISTS, "Token sequences that never occur, such as [[5,6],[7]]."),
    "sequence_bias": (
        {"metavar": "JSON", "callback": _biases},
        "Add to scores, as in [[[5,6],-2.5],[[7],1]].",
    ),
    "exponential_decay_length_penalty": (
        {"metavar": "START,FACTOR", "callback": _decay},
        "Make an end likelier after START new tokens, by a growing factor.",
    ),
    "renormalize_logits": (_SWITCH, "Make scores log-probabilities again behind all rules."),
}
"""Each decoding option that is a flag of the same name: how click reads it, and its help."""


def decoding_flags(command: Callable[..., object]) -> Callable[..., object]:
    """A click command with all the flags."""
    for name in reversed(DECODING_FLAGS):  # click shows the last one first
        settings, text = DECODING_FLAGS[name]
        flag = f"--{name.replace('_', '-')}"
        if settings is _SWITCH:
            flag += f"/--no-{flag[2:]}"
        command = click.option(flag, name, help=text, **settings)(command)
    return command

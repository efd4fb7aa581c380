"""The part of export-s2t's command line that says what to export."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from exporter.checkpoints.sources.kinds import (
    DEFAULT_SEED,
    CheckpointSource,
    PairSource,
    RandomWeightsSource,
    Source,
)

_Command = TypeVar("_Command", bound=Callable[..., Any])
_OPTIONS = (
    click.argument("checkpoint", required=False),
    click.option("--encoder", metavar="MODEL", help="Speech encoder of a pair: a directory or a hub id."),
    click.option("--decoder", metavar="MODEL", help="Text decoder of a pair; the tokenizer comes from it."),
    click.option(
        "--random-weights",
        metavar="CONFIG_DIR",
        help="Build the model of CONFIG_DIR/config.json with random weights, to measure latency and memory.",
    ),
    click.option(
        "--seed",
        type=click.IntRange(min=0),
        help=f"Of random weights, those that a pair lacks included.  [default: {DEFAULT_SEED}]",
    ),
    click.option("--revision", help="Branch, tag or commit of CHECKPOINT's or CONFIG_DIR's hub id."),
    click.option("--encoder-revision", help="Branch, tag or commit of --encoder's hub id."),
    click.option("--decoder-revision", help="Branch, tag or commit of --decoder's hub id."),
)
OTHER_SOURCES = ("--encoder", "--decoder", "--random-weights")
"""Options that stand in the place of CHECKPOINT."""
_NAMES = (
    "checkpoint",
    "encoder",
    "decoder",
    "random_weights",
    "seed",
    "revision",
    "encoder_revision",
    "decoder_revision",
)


def source_options(command: _Command) -> _Command:
    """Give a command the argument CHECKPOINT and the options that may stand in its place."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def take_source(arguments: dict[str, Any]) -> Source:
    """What to export; its options are taken out of ``arguments``.

    Raises:
        click.UsageError: no source, several, half a pair, or an option of another kind of source.
    """
    given = {name: arguments.pop(name) for name in _NAMES}
    is_pair = given["encoder"] is not None or given["decoder"] is not None
    kinds = [given["checkpoint"] is not None, is_pair, given["random_weights"] is not None]
    if kinds.count(True) != 1:
        raise click.UsageError(
            "give one of: CHECKPOINT; a pair, --encoder MODEL --decoder MODEL; a configuration alone, "
            "--random-weights CONFIG_DIR"
        )
    seed = DEFAULT_SEED if given["seed"] is None else given["seed"]
    if is_pair:
        return _pair(given, seed)
    if given["encoder_revision"] is not None or given["decoder_revision"] is not None:
        raise click.UsageError("--encoder-revision and --decoder-revision go with --encoder and --decoder")
    if given["random_weights"] is not None:
        return RandomWeightsSource(given["random_weights"], given["revision"], seed)
    if given["seed"] is not None:
        raise click.UsageError("--seed goes with --random-weights or a pair: CHECKPOINT has its weights")
    return CheckpointSource(given["checkpoint"], given["revision"])


def _pair(given: dict[str, Any], seed: int) -> PairSource:
    if given["encoder"] is None or given["decoder"] is None:
        raise click.UsageError("--encoder and --decoder go together: give both halves of the pair")
    if given["revision"] is not None:
        raise click.UsageError(
            "--revision goes with one model: for a pair say --encoder-revision or --decoder-revision"
        )
    return PairSource(
        given["encoder"], given["decoder"], given["encoder_revision"], given["decoder_revision"], seed
    )

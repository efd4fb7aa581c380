"""Inputs of a bundle's graphs for NVIDIA's Polygraphy, whose own random ones mean nothing as masks, ids or caches.

As a script it is what Polygraphy's ``--data-loader-script`` takes; the environment variable ``S2T_INPUTS``
then holds the arguments. As a command, ``python -m exporter.polygraphy_inputs``, it writes the same inputs to a
file for ``--load-inputs``.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

# Nothing of ours or of others is imported here: while Polygraphy loads this file as a script, its directory
# stands first on the path, and modules of this package would hide others of the same name.
if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from s2t_runtime.bundles.bundle import Bundle
    from s2t_runtime.bundles.manifest import GraphInfo

    Array = NDArray[Any]
    Feeds = dict[str, Array]

VARIABLE: Final = "S2T_INPUTS"
_COMMAND: Final = "polygraphy_inputs"
_GRAPHS: Final = ("encoder", "decoder_first_step", "decoder_with_past")


@dataclass(frozen=True)
class InputSizes:
    """Sizes of the inputs, by the axes of the graphs' contract.

    Attributes:
        batch: utterances; the second is a little shorter than the first, and so on.
        seconds: length of the first utterance.
        beams: sequences per utterance; of decoder_with_past alone.
        past: tokens in the cache, 0 or more; of decoder_with_past alone.
        new: tokens fed at once; of decoder_first_step those of the prompt.
        candidates: continuations per sequence.
    """

    batch: int = 2
    seconds: float = 2.0
    beams: int = 3
    past: int = 8
    new: int = 1
    candidates: int = 6


def graph_inputs(bundle: Bundle, graph: str, precision: str | None, sizes: InputSizes, seed: int) -> Feeds:
    """Inputs that a decoding would give a graph: masks and caches are what the graphs themselves return.

    The audio is a seeded stand-in for speech. The default precision of the bundle computes whatever a graph
    has to compute, so that the inputs of all precisions are the same numbers, each in the types of its graph.

    Args:
        bundle: an opened bundle.
        graph: "encoder", "decoder_first_step" or "decoder_with_past".
        precision: one that the bundle holds; None takes its default.
        sizes: of the inputs.
        seed: of audio, tokens and beams.

    Returns:
        Name -> array, in the graph's order, with the types and shapes that the manifest states.

    Raises:
        OptionError: the bundle does not hold the precision, or take these sizes.
        GraphError: ONNX Runtime failed.
    """
    import numpy as np  # noqa: PLC0415

    chosen = bundle.precision(precision or bundle.manifest.default_precision)
    _check(bundle, graph, sizes)
    info: GraphInfo = getattr(chosen, graph)
    fed = _audio(bundle, sizes, seed)
    if graph != "encoder":
        fed = _decoder_inputs(bundle, fed, graph, sizes, np.random.default_rng(seed))
    return {tensor.name: fed[tensor.name].astype(tensor.dtype) for tensor in info.inputs}


def load_data() -> Iterator[Feeds]:
    """What Polygraphy calls: the inputs that ``S2T_INPUTS`` describes, one mapping an iteration."""
    arguments = os.environ.get(VARIABLE)
    if not arguments:
        _end(f'set {VARIABLE} to what the inputs are, for example {VARIABLE}="BUNDLE encoder"')
    try:
        values = main.make_context(VARIABLE, shlex.split(arguments)).params
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    if values["output"] is not None:
        _end(f"{VARIABLE} has --output, but Polygraphy takes the inputs itself: leave it out")
    yield from _iterations(**values)


def _end(message: str) -> NoReturn:
    click.echo(f"{_COMMAND}: error: {message}", err=True)
    sys.exit(1)


def _show_path(context: click.Context, _: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click's
    if wanted:
        click.echo(Path(__file__).resolve())
        context.exit()


@click.command(_COMMAND, context_settings={"show_default": True})
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("graph", type=click.Choice(_GRAPHS))
@click.option("--precision", metavar="NAME", help="One that the bundle holds; left out, its default.")
@click.option("--batch", type=click.IntRange(min=1), default=2, help="Utterances.")
@click.option("--seconds", type=click.FloatRange(min=0), default=2.0, help="Length of the longest.")
@click.option("--beams", type=click.IntRange(min=1), default=3, help="Sequences per utterance.")
@click.option("--past", type=click.IntRange(min=0), default=8, help="Tokens in the cache.")
@click.option("--new", type=click.IntRange(min=1), default=1, help="Tokens fed at once, or of the prompt.")
@click.option("--candidates", type=click.IntRange(min=1), default=6, help="Continuations per sequence.")
@click.option("--iterations", type=click.IntRange(min=1), default=1, help="Sets of inputs.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, help="Of the first set; the next has the next."
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="JSON file for --load-inputs.")
@click.option(
    "--path",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_path,
    help="Print where this script is.",
)
def main(output: Path | None, **values: Any) -> None:
    """Write inputs of GRAPH for `polygraphy run --load-inputs`."""
    if output is None:
        raise click.UsageError(
            "give --output FILE.json, or let Polygraphy call this script (--data-loader-script)"
        )
    feeds = list(_iterations(output=output, **values))
    try:
        from polygraphy.json import save_json  # noqa: PLC0415
    except ImportError:
        _end('polygraphy not installed; run: pip install "export-s2t[tensorrt-rtx]"')
    try:
        save_json(feeds, str(output))
    except OSError as error:
        _end(f"{output} cannot be written: {error.strerror or error}")
    shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in feeds[0].items() if array.ndim < 4)
    click.echo(f"{output}: {shapes}")


def _iterations(
    *,
    bundle: Path,
    graph: str,
    precision: str | None,
    iterations: int,
    seed: int,
    output: Path | None,  # noqa: ARG001 - the caller's
    **sizes: Any,
) -> Iterator[Feeds]:
    from exporter.commands.console import user_errors  # noqa: PLC0415
    from s2t_runtime.bundles.bundle import open_bundle  # noqa: PLC0415

    with user_errors(_COMMAND):
        opened = open_bundle(bundle)
        for number in range(iterations):
            yield graph_inputs(opened, graph, precision, InputSizes(**sizes), seed + number)


def _check(bundle: Bundle, graph: str, sizes: InputSizes) -> None:
    """Refuse sizes that the bundle does not take; the graphs would not say so."""
    from s2t_runtime.errors import OptionError  # noqa: PLC0415

    audio, decoder = bundle.manifest.audio, bundle.manifest.decoder
    shortest, longest = (samples / audio.sampling_rate for samples in (audio.min_samples, audio.max_samples))
    if not shortest <= sizes.seconds <= longest:
        raise OptionError(f"seconds is {sizes.seconds:g}, but the bundle takes {shortest:g} .. {longest:g}")
    if sizes.candidates > decoder.max_candidates:
        raise OptionError(
            f"candidates is {sizes.candidates}, but the bundle takes 1 .. {decoder.max_candidates}"
        )
    length = sizes.new + (sizes.past if graph == "decoder_with_past" else 0)
    if decoder.max_positions is not None and length > decoder.max_positions:
        raise OptionError(
            f"past and new are {length} tokens together, but the decoder has {decoder.max_positions} positions"
        )


def _audio(bundle: Bundle, sizes: InputSizes, seed: int) -> Feeds:
    """The encoder's inputs: float32 [batch, samples], zero behind each end, and int64 [batch]."""
    import numpy as np  # noqa: PLC0415

    from exporter.reference.probe_audio import probe_utterance  # noqa: PLC0415

    info = bundle.manifest.audio
    samples = round(sizes.seconds * info.sampling_rate)
    lengths = [max(info.min_samples, round(samples * 0.8**row)) for row in range(sizes.batch)]
    audio = np.zeros((sizes.batch, samples), dtype=np.float32)
    for row, length in enumerate(lengths):
        audio[row, :length] = probe_utterance(length / info.sampling_rate, info.sampling_rate, seed + row)[
            :length
        ]
    return {"audio": audio, "audio_lengths": np.array(lengths)}


def _decoder_inputs(
    bundle: Bundle, audio: Feeds, graph: str, sizes: InputSizes, generator: np.random.Generator
) -> Feeds:
    """What a decoder graph is given: the encoder's outputs, random tokens, and caches of other random tokens."""
    import numpy as np  # noqa: PLC0415

    manifest, utterances = bundle.manifest, np.arange(sizes.batch)[:, None]
    first = graph == "decoder_first_step"
    beams = 1 if first else sizes.beams

    def tokens(count: int) -> Array:
        return generator.integers(0, manifest.decoder.vocab_size, (sizes.batch, beams, count))

    shape = (sizes.batch, manifest.decoder.heads, 0, manifest.decoder.head_dim)
    fed = {
        **_run(bundle, "encoder", audio),
        "candidates": np.array(sizes.candidates),
        "input_ids": tokens(sizes.new),
        "beam_index": np.repeat(utterances, beams, axis=1),
    }
    if first:
        return fed
    names = [tensor.name for tensor in _default(bundle, graph).inputs if tensor.name.startswith("past_")]
    fed |= {name: np.zeros(shape, dtype=np.float32) for name in names}
    if not sizes.past:
        return fed
    cached = _run(bundle, graph, {**fed, "input_ids": tokens(sizes.past)})
    fed |= {name: cached[name.replace("past_", "present_", 1)] for name in names}
    # Beams are drawn with replacement, as a search keeps one twice and drops another.
    fed["beam_index"] = utterances * beams + generator.integers(0, beams, (sizes.batch, beams))
    return fed


def _default(bundle: Bundle, graph: str) -> GraphInfo:
    info: GraphInfo = getattr(bundle.precision(bundle.manifest.default_precision), graph)
    return info


def _run(bundle: Bundle, graph: str, feeds: Feeds) -> Feeds:
    """All outputs of a graph of the bundle's default precision."""
    from exporter.onnx.session import GraphRunner  # noqa: PLC0415

    info = _default(bundle, graph)
    path = bundle.path_of(info.path)
    runner = GraphRunner(path, bundle.weights_beside(path))
    return runner.run({tensor.name: feeds[tensor.name] for tensor in info.inputs})


if __name__ == "__main__":
    main(prog_name=f"python -m exporter.{_COMMAND}")

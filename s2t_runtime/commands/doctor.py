"""doctor-s2t: what this machine has, and what it can therefore do with a bundle."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

import click

from s2t_runtime.commands.doctor_abilities import EXPORT_PACKAGES, OTHER_PACKAGES, Ability, Found, abilities
from s2t_runtime.commands.weights_advice import weights_advice

if TYPE_CHECKING:
    from s2t_runtime.bundles.bundle import Bundle
    from s2t_runtime.machine import Machine
    from s2t_runtime.sessions.engines.engine_set import EngineSet

_GIB: Final = 2**30
_MIB: Final = 2**20

Section = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True)
class Diagnosis:
    """All that doctor-s2t found."""

    version: str | None
    machine: Machine
    onnxruntime: str | None
    providers: tuple[str, ...]
    packages: Mapping[str, str | None]
    tensorrt: Mapping[str, str]
    """Flavour -> its version, or why it cannot be used."""
    abilities: tuple[Ability, ...]
    bundle: Bundle | None
    engines: tuple[EngineSet, ...]


def diagnose(bundle_path: str | None) -> Diagnosis:
    """Look at this machine and, where a path is given, at a bundle, all of whose hashes are checked.

    Raises:
        BundleError: the bundle is missing, damaged or newer than this runtime.
    """
    from s2t_runtime.bundles.bundle import open_bundle  # noqa: PLC0415 - --help needs none of them
    from s2t_runtime.machine import describe_machine, installed_versions  # noqa: PLC0415
    from s2t_runtime.sessions.engines.choice import find_engines  # noqa: PLC0415

    bundle = None if bundle_path is None else open_bundle(bundle_path, verify="full")
    machine = describe_machine()
    packages = installed_versions((*EXPORT_PACKAGES, *OTHER_PACKAGES))
    version, providers, problem = _onnxruntime()
    flavours, missing, cuda_python = _tensorrt()
    found = Found(machine, packages, providers, problem, flavours, missing, cuda_python)
    own = installed_versions(("export-s2t",))["export-s2t"]
    return Diagnosis(
        version=own,
        machine=machine,
        onnxruntime=version,
        providers=providers,
        packages=packages,
        tensorrt={**flavours, **missing},
        abilities=abilities(found, bundle_path),
        bundle=bundle,
        engines=() if bundle is None else find_engines(bundle),
    )


def _tensorrt() -> tuple[dict[str, str], dict[str, str], str | None]:
    """Versions of the flavours, why the others are missing, and what is wrong with cuda-python."""
    from s2t_runtime.sessions.tensorrt.libraries import cuda_python_problem, tensorrt_versions  # noqa: PLC0415

    return (*tensorrt_versions(), cuda_python_problem())


def _onnxruntime() -> tuple[str | None, tuple[str, ...], str]:
    try:
        from s2t_runtime.sessions.onnxruntime.session import runtime_description  # noqa: PLC0415
    except ImportError as error:  # a doctor must be able to say so
        return (
            None,
            (),
            f"onnxruntime cannot be imported ({error}): pip install --force-reinstall onnxruntime",
        )
    from s2t_runtime.sessions.onnxruntime.providers import version_problem  # noqa: PLC0415

    description = runtime_description()
    providers = description["providers"]
    names = tuple(map(str, providers)) if isinstance(providers, (list, tuple)) else ()
    version = str(description["version"])
    return version, names, version_problem(version) or ""


def as_json(diagnosis: Diagnosis) -> str:
    """The diagnosis as one JSON object."""
    document = {
        "version": diagnosis.version,
        "machine": asdict(diagnosis.machine),
        "onnxruntime": {"version": diagnosis.onnxruntime, "providers": diagnosis.providers},
        "packages": dict(diagnosis.packages),
        "tensorrt": dict(diagnosis.tensorrt),
        "abilities": [asdict(ability) for ability in diagnosis.abilities],
    }
    if diagnosis.bundle is not None:
        document["bundle"] = _bundle_document(diagnosis.bundle)
        document["engines"] = [
            {"folder": engines.folder.name, "precision": engines.precision, "graphs": sorted(engines.records)}
            for engines in diagnosis.engines
        ]
    return json.dumps(document, indent=2)


def _bundle_document(bundle: Bundle) -> dict[str, object]:
    manifest = bundle.manifest
    return {
        "path": str(bundle.root),
        "verified": "full",
        "weights": weights_advice(bundle.root, bundle.manifest.files),
        "format_version": manifest.format_version,
        "model": asdict(manifest.model),
        "default_precision": manifest.default_precision,
        "precisions": {name: _size(bundle, f"{name}/") for name in manifest.graphs},
        "size": _size(bundle),
        "languages": sorted(manifest.languages),
        "audio": asdict(manifest.audio),
        "decoder": asdict(manifest.decoder),
    }


def sections(diagnosis: Diagnosis) -> tuple[Section, ...]:
    """The diagnosis as headings, each with its lines of name and text."""
    found = [("this machine", _machine_lines(diagnosis.machine)), ("software", _software_lines(diagnosis))]
    found.append(("what it can do", tuple((one.name, _verdict(one)) for one in diagnosis.abilities)))
    if diagnosis.bundle is not None:
        lines = (*_bundle_lines(diagnosis.bundle), ("engines", _engine_names(diagnosis.engines)))
        found.append((f"bundle {diagnosis.bundle.root}", lines))
    return tuple(found)


def _verdict(ability: Ability) -> str:
    command = f": {ability.command}" if ability.command else ""
    return f"{'yes' if ability.available else 'no'}: {ability.reason}{command}"


def _engine_names(engines: Sequence[EngineSet]) -> str:
    return ", ".join(one.folder.name for one in engines) or "none; compile-s2t builds them"


def _machine_lines(machine: Machine) -> tuple[tuple[str, str], ...]:
    cpu = machine.cpu
    memory = "unknown" if machine.memory_bytes is None else f"{machine.memory_bytes / _GIB:.1f} GiB"
    cores = (
        f"{cpu.physical_cores or '?'} physical, {cpu.logical_cores or '?'} logical, "
        f"{cpu.usable_cores or '?'} usable"
    )
    gpus = [
        f"{gpu.name}, {gpu.memory_mib or '?'} MiB, driver {gpu.driver}, "
        f"compute capability {gpu.compute_capability}"
        for gpu in machine.gpus
    ]
    return (
        ("system", machine.system),
        ("processor", cpu.model),
        ("cores", cores),
        ("threads", _threads(machine)),
        ("memory", memory),
        ("GPU", "; ".join(gpus) or f"none: {machine.gpu_problem}"),
        (
            "CUDA driver",
            f"CUDA {machine.cuda or 'unknown'}" if not machine.cuda_problem else machine.cuda_problem,
        ),
    )


def _threads(machine: Machine) -> str:
    default = machine.threads
    return "unknown" if default is None else f"{default.count} by default ({default.reason})"


def _software_lines(diagnosis: Diagnosis) -> tuple[tuple[str, str], ...]:
    providers = ", ".join(diagnosis.providers) or "no execution providers"
    runtime = (
        "cannot be imported" if diagnosis.onnxruntime is None else f"{diagnosis.onnxruntime} ({providers})"
    )
    return (
        ("export-s2t", diagnosis.version or "not installed, run from its source"),
        ("python", diagnosis.machine.python),
        ("onnxruntime", runtime),
        *((flavour, what) for flavour, what in diagnosis.tensorrt.items()),
        *((name, version or "not installed") for name, version in diagnosis.packages.items()),
    )


def _bundle_lines(bundle: Bundle) -> tuple[tuple[str, str], ...]:
    manifest = bundle.manifest
    model, audio, decoder = manifest.model, manifest.audio, manifest.decoder
    default = {manifest.default_precision: ", the default"}
    precisions = [
        f"{name} ({_size(bundle, f'{name}/') / _MIB:.1f} MiB{default.get(name, '')})"
        for name in manifest.graphs
    ]
    shortest_s, longest_s = (n / audio.sampling_rate for n in (audio.min_samples, audio.max_samples))
    padding = "may be padded" if audio.padding_safe else "are encoded without padding"
    written = "" if decoder.output_vocabulary is None else f", {decoder.written_tokens} of them written"
    limits = (
        f"{decoder.max_positions or 'any number of'} positions, {decoder.vocab_size} tokens{written}, "
        f"at most {decoder.max_candidates} candidates a beam"
    )
    return (
        ("verified", f"every hash of {len(manifest.files)} files, {_size(bundle) / _MIB:.1f} MiB"),
        ("weights", weights_advice(bundle.root, manifest.files)),
        ("model", f"{model.id}{f' at {model.revision}' if model.revision else ''}"),
        ("architecture", f"{model.encoder} + {model.decoder}, {model.parameters / 1e6:.1f} M parameters"),
        ("licence", model.licence or "not stated"),
        ("precisions", ", ".join(precisions)),
        ("languages", ", ".join(sorted(manifest.languages)) or "none to choose"),
        ("audio", f"{shortest_s:.3g} .. {longest_s:.6g} s at {audio.sampling_rate} Hz; batches {padding}"),
        ("decoder", limits),
    )


def _size(bundle: Bundle, prefix: str = "") -> int:
    """Bytes of the files whose path begins with ``prefix``."""
    return sum(file.size for path, file in bundle.manifest.files.items() if path.startswith(prefix))


def plain_text(found: Sequence[Section]) -> str:
    """Sections as lines for a pipe or a file."""
    lines: list[str] = []
    for heading, pairs in found:
        lines += ["", heading] if lines else [heading]
        lines += [f"  {name}: {text}" for name, text in pairs]
    return "\n".join(lines)


def print_tables(found: Sequence[Section]) -> None:
    """Sections as tables for a terminal."""
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console()
    for heading, pairs in found:
        table = Table(title=Text(heading), title_justify="left", show_header=False)
        for name, text in pairs:
            table.add_row(Text(name), Text(text))  # Text: a path may look like rich's markup
        console.print(table)


def run(bundle_path: str | None, *, json_output: bool) -> None:
    """Print the diagnosis to standard output.

    Raises:
        BundleError: the bundle cannot be used.
    """
    diagnosis = diagnose(bundle_path)
    if json_output:
        click.echo(as_json(diagnosis))
    elif sys.stdout.isatty():
        print_tables(sections(diagnosis))
    else:
        click.echo(_printable(plain_text(sections(diagnosis))))


def _printable(text: str) -> str:
    """Text without the halves of characters that a path may hold: no stream can encode them."""
    return text.encode(errors="replace").decode()


@click.command()
@click.argument("bundle", required=False, type=click.Path())
@click.option("--json", "json_output", is_flag=True, help="Print one JSON object.")
def main(bundle: str | None, *, json_output: bool) -> None:
    """Say what this machine has, and what it can therefore do.

    With BUNDLE: check every file of the bundle against its hash, and describe it.
    """
    from s2t_runtime.errors import S2TError  # noqa: PLC0415

    try:
        run(bundle, json_output=json_output)
    except S2TError as error:
        click.echo(_printable(f"doctor-s2t: error: {' '.join(str(error).split())}"), err=True)
        sys.exit(1)

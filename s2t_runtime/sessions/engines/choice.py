"""Which engine folder of a bundle fits this machine, and why the others do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from s2t_runtime.bundles.bundle import Bundle
from s2t_runtime.bundles.engine_record import ENGINES_DIRECTORY, EngineRecord
from s2t_runtime.bundles.links import leads_elsewhere
from s2t_runtime.bundles.verification import FAST_HASH_LIMIT, sha256_of
from s2t_runtime.errors import BundleError, SessionError
from s2t_runtime.sessions.engines.engine_set import EngineSet
from s2t_runtime.sessions.engines.targets import RTX_TARGETS, gpu_problem, rtx_supports
from s2t_runtime.sessions.profiles.limits import ENCODER, FIRST_STEP, WITH_PAST

_GRAPHS: Final = (ENCODER, WITH_PAST, FIRST_STEP)


@dataclass(frozen=True)
class EngineHost:
    """What decides which engines run here.

    Attributes:
        gpu: name of the GPU that is used.
        capability: its compute capability, (8, 6) for example.
        flavours: flavour -> version of the TensorRT that can be imported.
        missing: flavour -> why it cannot be.
    """

    gpu: str
    capability: tuple[int, int]
    flavours: Mapping[str, str]
    missing: Mapping[str, str]

    @property
    def target(self) -> str:
        """The compute capability as targets are written: "sm86"."""
        return "sm{}{}".format(*self.capability)


def find_engines(bundle: Bundle) -> tuple[EngineSet, ...]:
    """The engine folders of a bundle, by name; folders that no compile-s2t finished are passed over.

    Raises:
        BundleError: a record is damaged or newer than this runtime.
    """
    root = bundle.root / ENGINES_DIRECTORY
    folders = sorted(path for path in root.iterdir() if _is_engine(path)) if root.is_dir() else []
    return tuple(
        EngineSet(bundle.root, folder, _records(folder), bundle.manifest.audio.sampling_rate)
        for folder in folders
    )


def choose_engines(bundle: Bundle, precision: str | None, host: EngineHost) -> EngineSet:
    """The engines to run: of those that fit, the ones that take the most.

    "The most" is the longest audio, then the most utterances, beams and tokens; among equals those built
    for this GPU go before portable ones.

    Args:
        bundle: an opened bundle.
        precision: that of the engines; None prefers the bundle's default and takes any other.
        host: where they would run.

    Raises:
        BundleError: a record is damaged.
        OptionError: the bundle does not have this precision.
        SessionError: no engines fit; each folder is named with its reason, and the command to build some.
    """
    if precision is not None:
        bundle.precision(precision)
    found = find_engines(bundle)
    if not found:
        raise SessionError(
            f"{bundle.root} holds no engines: `{_command(bundle, precision, host)}` builds them; or use provider 'cpu'"
        )
    problems = {engines.folder.name: _problem(bundle, engines, precision, host) for engines in found}
    fitting = [engines for engines in found if problems[engines.folder.name] is None]
    if not fitting:
        reasons = "; ".join(f"{folder}: {problem}" for folder, problem in problems.items())
        raise SessionError(
            f"no engines in {bundle.root} run here ({reasons}): `{_command(bundle, precision, host)}` builds some that "
            "do; or use provider 'cpu'"
        )
    return max(fitting, key=lambda engines: _preference(bundle, engines))


def check_plans(engines: EngineSet, verify: Literal["fast", "full"]) -> None:
    """Compare the plans with their records, as ``open_bundle`` compares files with the manifest, links included.

    Raises:
        BundleError: a plan is missing or altered.
    """
    for graph, record in engines.records.items():
        path = engines.plan_path(graph)
        shown, problem = str(path), None
        try:
            real = leads_elsewhere(engines.bundle, path)
        except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
            problem = f"cannot be read ({error})"
        else:
            shown += f" (a link to {real})" if real else ""
            problem = _plan_problem(path, record, whole=verify == "full" or real is not None)
        if problem:
            raise BundleError(f"{shown} {problem}: `{engines.compile_line()} --force` builds it again")


def check_unreplaced(engines: EngineSet) -> None:
    """See that a folder whose plans were loaded is still the one whose records were read.

    Raises:
        BundleError: compile-s2t, or whoever else, has put another one in its place.
    """
    if _records(engines.folder) != engines.records:
        raise BundleError(
            f"{engines.folder} was replaced while it was loaded: load it again when nothing is written there"
        )


def _is_engine(path: Path) -> bool:
    finished = not path.name.startswith(".") and ".unfinished-" not in path.name
    return finished and path.is_dir() and (path / f"{WITH_PAST}.json").is_file()


def _records(folder: Path) -> dict[str, EngineRecord]:
    records = {}
    for graph in _GRAPHS:
        path = folder / f"{graph}.json"
        if path.is_file():
            try:
                text = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise BundleError(
                    f"{path} cannot be read ({error}): run compile-s2t BUNDLE --force"
                ) from error
            records[graph] = EngineRecord.from_json(text, str(path))
        elif graph != FIRST_STEP:
            raise BundleError(f"{folder} has no {path.name}: run compile-s2t BUNDLE --force")
    return records


def _problem(bundle: Bundle, engines: EngineSet, precision: str | None, host: EngineHost) -> str | None:
    """Why these engines cannot be used; None where they can."""
    record = engines.records[ENCODER]
    if precision not in (None, record.precision):
        return f"they are {record.precision}, not {precision}"
    if record.flavour not in host.flavours:
        return f"they need {record.flavour}, which {host.missing.get(record.flavour, 'is not installed')}"
    if record.version != host.flavours[record.flavour]:
        installed = host.flavours[record.flavour]
        return f"they were built by {record.flavour} {record.version}, and {installed} is installed"
    if (problem := gpu_problem(record.targets, host.gpu, host.target)) is not None:
        return problem
    changed = [other.source_path for other in engines.records.values() if _has_changed(bundle, other)]
    return f"they were built from another {changed[0]} than the bundle holds" if changed else None


def _has_changed(bundle: Bundle, record: EngineRecord) -> bool:
    folder = record.source_path.rpartition("/")[0]
    wanted = {record.source_path: record.source_sha256}
    wanted |= {f"{folder}/{name}": sha256 for name, sha256 in record.weights_sha256.items()}
    files = bundle.manifest.files
    return any(path not in files or files[path].sha256 != sha256 for path, sha256 in wanted.items())


def _preference(bundle: Bundle, engines: EngineSet) -> tuple[object, ...]:
    sizes = [engines.limits.largest(ENCODER, "samples")]
    sizes += [engines.limits.largest(WITH_PAST, name) for name in ("batch", "beams", "past")]
    default = engines.precision == bundle.manifest.default_precision
    return (default, *sizes, bool(engines.records[ENCODER].targets), engines.folder.name)


def _command(bundle: Bundle, precision: str | None, host: EngineHost) -> str:
    """A compile-s2t line that suits this machine."""
    able = [name for name in host.flavours if name != "tensorrt-rtx" or rtx_supports(host.target)]
    flavour = next(iter(able), "tensorrt")
    target = host.target if host.target in RTX_TARGETS else "portable"
    targets = f" --targets {target}" if flavour == "tensorrt-rtx" else ""
    chosen = precision or engine_precision(tuple(bundle.manifest.graphs))
    return f"compile-s2t {bundle.root} --flavour {flavour} --precision {chosen}{targets}"


def engine_precision(precisions: Sequence[str]) -> str:
    """The precision that engines are built in where nobody says: fp16 where the bundle has it."""
    return "fp16" if "fp16" in precisions else precisions[0]


def _plan_problem(path: Path, record: EngineRecord, *, whole: bool) -> str | None:
    """What is wrong with a plan; large ones are hashed only where they are looked at as a ``whole``."""
    try:
        size = path.stat().st_size
        if size != record.plan_size:
            return f"has {size} bytes, wanted {record.plan_size}"
        if whole or size < FAST_HASH_LIMIT:
            got = sha256_of(path)
            if got != record.plan_sha256:
                return f"has sha256 {got}, wanted {record.plan_sha256}"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return None

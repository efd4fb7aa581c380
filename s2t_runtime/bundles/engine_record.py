"""The one schema of the json beside each TensorRT engine: compile-s2t writes it, the runtime reads it.

An engine folder lies in the bundle at ``engines/FLAVOUR-VERSION-PRECISION-TARGETS-PROFILES/`` and holds
``GRAPH.plan`` with ``GRAPH.json`` for each of its graphs. A plan alone does not say what it was built
from, and cannot be asked without a GPU, so all that a host must know before it touches the plan stands
here. Reading ignores fields it does not know and refuses a newer ``record_version``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from s2t_runtime.bundles.json_records import OneOf, Reader, parse, shown, text_of
from s2t_runtime.errors import BundleError

RECORD_VERSION: Final = 1
"""What this release writes."""
ENGINES_DIRECTORY: Final = "engines"
"""Where a bundle keeps its engine folders; outside the manifest's hashes."""
FLAVOURS: Final = ("tensorrt", "tensorrt-rtx")
_REMEDY: Final = "run compile-s2t BUNDLE --force"


@dataclass(frozen=True)
class AxisRange:
    """The smallest, the usual (kernels are tuned for it) and the largest value, all inclusive."""

    min: int
    opt: int
    max: int


@dataclass(frozen=True)
class Profile:
    """What an engine accepts, by the names that the graphs' contract gives axes and shape tensors.

    Attributes:
        name: "default", or what the user called it ("short").
        axes: axis name -> its range, for every dynamic axis of the graph's inputs.
        values: shape tensor -> the range of its value (``candidates``).
    """

    name: str
    axes: Mapping[str, AxisRange]
    values: Mapping[str, AxisRange]


@dataclass(frozen=True)
class BoundTensor:
    """An input or output of an engine; a text in ``axes`` names a dynamic axis."""

    name: str
    dtype: Annotated[str, OneOf(("float32", "float16", "int64", "bool"))]
    axes: tuple[str | int, ...]


@dataclass(frozen=True)
class EngineRecord:
    """All that is known of one engine.

    Attributes:
        record_version: the version of this schema, 1 .. RECORD_VERSION.
        flavour: full TensorRT or TensorRT-RTX.
        version: of that TensorRT, for example "1.7.1.116".
        graph: "encoder", "decoder_with_past" or "decoder_first_step".
        precision: of the graph that it was built from; engines are strongly typed, so also its own.
        targets: compute capabilities ("sm86"); empty: TensorRT-RTX's portable plan. Full TensorRT names
            the one GPU that it was built on.
        source_path: the ONNX file, relative to the bundle with forward slashes.
        source_sha256: its SHA-256 in lower-case hex.
        weights_sha256: file name -> SHA-256, the external data of the source.
        plan_size: of ``GRAPH.plan`` in bytes.
        plan_sha256: its SHA-256.
        profiles: in the order of TensorRT's profile indices.
        inputs: in the engine's order.
        outputs: in the engine's order.
        census: layer type -> type of its first output -> how many, as the parsed network has them.
        options: what else decides whether the engine can be used again.
    """

    record_version: int
    flavour: Annotated[str, OneOf(FLAVOURS)]
    version: str
    graph: str
    precision: str
    targets: tuple[str, ...]
    source_path: str
    source_sha256: str
    weights_sha256: Mapping[str, str]
    plan_size: int
    plan_sha256: str
    profiles: tuple[Profile, ...]
    inputs: tuple[BoundTensor, ...]
    outputs: tuple[BoundTensor, ...]
    census: Mapping[str, Mapping[str, int]]
    options: Mapping[str, object]

    def to_json(self) -> str:
        """The text of the json: indented by 2, fields in order, mappings sorted by key, a final newline.

        Raises:
            BundleError: a field holds what ``from_json`` would refuse.
        """
        try:
            text = text_of(self)
        except (TypeError, ValueError) as error:
            raise BundleError(f"the record of {self.graph} cannot be written as JSON: {error}") from error
        EngineRecord.from_json(text, f"{self.graph}.json")
        return text

    @staticmethod
    def from_json(text: str, name: str = "the engine's json") -> EngineRecord:
        """Parse the text of an engine's json.

        Args:
            text: what the file holds.
            name: what messages call it, for example its path.

        Raises:
            BundleError: not JSON, a newer version, missing or wrongly typed fields, or a range whose
                minimum, optimum and maximum are out of order (all are named).
        """
        try:
            document = parse(text)
        except (ValueError, RecursionError) as error:
            raise BundleError(f"{name} is not JSON ({error}): {_REMEDY}") from error
        _check_version(document, name)
        reader = Reader("the record")
        record = reader.record(EngineRecord, document, "")
        problems = reader.problems or _range_problems(record)
        if problems:
            raise BundleError(f"{name} is malformed: {'; '.join(problems)}: {_REMEDY}")
        return record


def _check_version(document: object, name: str) -> None:
    if not isinstance(document, dict):
        raise BundleError(f"{name} holds {shown(document)}, wanted an object: {_REMEDY}")
    version = document.get("record_version")
    if type(version) is not int or version < 1:
        raise BundleError(f"{name} has record_version {shown(version)}, wanted 1 or more: {_REMEDY}")
    if version > RECORD_VERSION:
        raise BundleError(
            f"{name} has record_version {version}; this s2t_runtime reads up to {RECORD_VERSION}: install a newer "
            f"export-s2t or {_REMEDY}"
        )


def _range_problems(record: EngineRecord) -> list[str]:
    return [
        f"profile {profile.name}: {axis} has minimum {found.min}, optimum {found.opt}, maximum {found.max}, "
        "wanted 0 or more in ascending order"
        for profile in record.profiles
        for axis, found in (*profile.axes.items(), *profile.values.items())
        if not 0 <= found.min <= found.opt <= found.max
    ]

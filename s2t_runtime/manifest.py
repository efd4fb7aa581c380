"""The one schema of ``manifest.json``: the exporter writes through it, every host reads the same fields.

The JSON follows the dataclasses below field by field, in their order; mappings are written sorted by
key, so that the same export gives the same text. Reading ignores fields it does not know (they may be
added within a format version) and refuses a newer ``format_version`` before it looks at anything else.
A field without a default must be there.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, NoReturn, TypeVar

from s2t_runtime.errors import BundleError

FORMAT_VERSION: Final = 2
"""What this release writes; it reads every version from 1 on. docs/bundle.md says what each brought."""
_REMEDY: Final = "copy the bundle again or export again"
_WANTED: Final[dict[type, str]] = {int: "an integer", str: "a text", bool: "true or false"}
_T = TypeVar("_T")


@dataclass(frozen=True)
class OneOf:
    """The values that a text field may take; an annotation, so that writers pass plain ``str``."""

    values: tuple[str, ...]


@dataclass(frozen=True)
class ModelInfo:
    """Where the bundle comes from. ``encoder`` and ``decoder`` are transformers model types."""

    id: str
    revision: str | None
    architecture: str
    encoder: str
    decoder: str
    parameters: int
    licence: str | None
    card_url: str | None


@dataclass(frozen=True)
class AudioInfo:
    """What the encoder takes: mono float32 samples [min_samples .. max_samples] at ``sampling_rate``.

    ``padding_safe`` says that padding an utterance does not change its result (measured at export).
    """

    sampling_rate: int
    min_samples: int
    max_samples: int
    padding_safe: bool


@dataclass(frozen=True)
class TensorInfo:
    """An input or output of a graph; a text in ``shape`` names a dynamic axis."""

    name: str
    dtype: Annotated[str, OneOf(("float32", "float16", "int64", "bool"))]
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class GraphInfo:
    """One graph: its file, relative to the bundle with forward slashes, and its contract."""

    path: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]


@dataclass(frozen=True)
class PrecisionInfo:
    """The three graphs of one precision."""

    encoder: GraphInfo
    decoder_first_step: GraphInfo
    decoder_with_past: GraphInfo


@dataclass(frozen=True)
class FileInfo:
    """What a file of the bundle must be: its size in bytes and its SHA-256 in lower-case hex."""

    size: int
    sha256: str


@dataclass(frozen=True)
class DecoderInfo:
    """The decoder's shape: what a host needs to make empty caches and to check its options."""

    layers: int
    heads: int
    head_dim: int
    vocab_size: int
    max_positions: int | None
    cross_attention: Annotated[str, OneOf(("shared", "expanded"))]
    max_candidates: int


@dataclass(frozen=True)
class JoiningStep:
    """One step from tokens to text; ``detokenizer.py`` says what each does with its fields."""

    step: Annotated[
        str,
        OneOf(
            (
                "replace",
                "byte_fallback",
                "byte_level",
                "join",
                "strip",
                "trim",
                "metaspace",
                "wordpiece",
                "suffix",
                "ctc",
            )
        ),
    ]
    pattern: str | None = None
    content: str | None = None
    count: int = 0
    prepend_scheme: Annotated[str, OneOf(("always", "first", "never"))] | None = None
    cleanup: bool = False


@dataclass(frozen=True)
class Detokenizer:
    """How the tokens of vocabulary.bin are joined into text; ``detokenizer.py`` implements it.

    Attributes:
        kind: the joining rule.
        replacement: metaspace: the one character that stands for a space.
        prepend_scheme: metaspace: where encoding put a space that was not in the text.
        prefix: wordpiece: what a token that continues a word begins with.
        cleanup: wordpiece: the decoder's own clean-up.
        clean_up_tokenization_spaces: transformers' clean-up of the whole text, applied afterwards.
        steps: steps: what is done to the tokens, in order.
    """

    kind: Annotated[str, OneOf(("metaspace", "byte_level", "wordpiece", "steps"))]
    replacement: str | None = None
    prepend_scheme: Annotated[str, OneOf(("always", "first", "never"))] | None = None
    prefix: str | None = None
    cleanup: bool = False
    clean_up_tokenization_spaces: bool = False
    steps: tuple[JoiningStep, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """The whole of ``manifest.json``.

    Attributes:
        format_version: the version of this schema, 1 .. FORMAT_VERSION.
        model: where the bundle comes from.
        audio: what the encoder takes.
        graphs: precision -> its three graphs.
        files: path relative to the bundle, with forward slashes -> size and hash.
        default_precision: the precision that is loaded where none is asked for; a key of ``graphs``.
        decoder: the decoder's shape.
        generation: option name -> JSON value, the checkpoint's defaults; the options module parses them.
        languages: language code -> token id.
        detokenizer: how tokens become text; None: only through tokenizer.json.
        provenance: versions, opset, export options; for people.
    """

    format_version: int
    model: ModelInfo
    audio: AudioInfo
    graphs: Mapping[str, PrecisionInfo]
    files: Mapping[str, FileInfo]
    default_precision: str
    decoder: DecoderInfo
    generation: Mapping[str, object]
    languages: Mapping[str, int]
    detokenizer: Detokenizer | None
    provenance: Mapping[str, object]

    def to_json(self) -> str:
        """The text of manifest.json: indented by 2, fields in order, UTF-8 as it is, a final newline.

        Raises:
            BundleError: a field holds what ``from_json`` would refuse.
        """
        try:
            text = json.dumps(_plain(self), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        except (TypeError, ValueError) as error:  # a tensor, a dtype, NaN: JSON has no such value
            raise BundleError(f"the manifest cannot be written as JSON: {error}") from error
        Manifest.from_json(text)
        return text

    @staticmethod
    def from_json(text: str) -> Manifest:
        """Parse the text of manifest.json.

        Raises:
            BundleError: not JSON, a newer format, or missing or wrongly typed fields (all are named).
        """
        try:
            document = json.loads(text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise BundleError(f"manifest.json is not JSON ({error}): {_REMEDY}") from error
        _check_version(document)
        reader = _Reader()
        manifest = reader.record(Manifest, document, "")
        if not reader.problems and manifest.default_precision not in manifest.graphs:
            reader.wrong("default_precision", manifest.default_precision, f"one of {[*manifest.graphs]}")
        if reader.problems:
            raise BundleError(f"manifest.json is malformed: {'; '.join(reader.problems)}: {_REMEDY}")
        return manifest


def _refuse_constant(name: str) -> NoReturn:
    # Python's parser takes NaN and Infinity; JSON and the other readers of a bundle do not.
    raise ValueError(f"{name} is not a JSON number")


def _check_version(document: object) -> None:
    if not isinstance(document, dict):
        raise BundleError(f"manifest.json holds {_shown(document)}, wanted an object: {_REMEDY}")
    version = document.get("format_version")
    if type(version) is not int or version < 1:
        raise BundleError(f"manifest.json has format_version {_shown(version)}, wanted 1 or more: {_REMEDY}")
    if version > FORMAT_VERSION:
        raise BundleError(
            f"manifest.json has format_version {version}; this s2t_runtime reads up to "
            f"{FORMAT_VERSION}: install a newer export-s2t"
        )


def _plain(value: object) -> object:
    """A value as json.dumps takes it: records and mappings as dicts, sequences as lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _shown(value: object) -> str:
    """A JSON value in a message: what it is, and the value itself where it is short."""
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "an array"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:40] + "..."


class _Reader:
    """Builds records from parsed JSON by their annotations, and collects every problem on the way."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def record(self, wanted: type[_T], value: object, path: str) -> _T:
        """An instance of the dataclass ``wanted``; meaningless once ``problems`` is not empty."""
        if not isinstance(value, dict):
            self.wrong(path, value, "an object")
            return typing.cast("_T", None)
        hints = typing.get_type_hints(wanted, include_extras=True)
        read: dict[str, Any] = {}
        for field in dataclasses.fields(typing.cast("Any", wanted)):
            inside = f"{path}.{field.name}" if path else field.name
            if field.name in value:
                read[field.name] = self._value(hints[field.name], value[field.name], inside)
            elif field.default is dataclasses.MISSING:
                self.problems.append(f"{inside} is missing")
                read[field.name] = None
        return wanted(**read)

    def _value(self, wanted: Any, value: object, path: str) -> object:
        origin = typing.get_origin(wanted)
        if wanted is object:
            return value
        if dataclasses.is_dataclass(wanted):
            return self.record(typing.cast("type[object]", wanted), value, path)
        if origin is Mapping:
            return self._mapping(typing.get_args(wanted)[1], value, path)
        if origin is tuple:
            return self._sequence(typing.get_args(wanted)[0], value, path)
        if origin in {typing.Union, types.UnionType}:
            return self._union(typing.get_args(wanted), value, path)
        return self._scalar(wanted, value, path)

    def _mapping(self, wanted: object, value: object, path: str) -> dict[str, object]:
        if not isinstance(value, dict):
            self.wrong(path, value, "an object")
            return {}
        return {key: self._value(wanted, item, f"{path}.{key}") for key, item in value.items()}

    def _sequence(self, wanted: object, value: object, path: str) -> tuple[object, ...]:
        if not isinstance(value, list):
            self.wrong(path, value, "an array")
            return ()
        return tuple(self._value(wanted, item, f"{path}[{index}]") for index, item in enumerate(value))

    def _union(self, options: tuple[Any, ...], value: object, path: str) -> object:
        if value is None and types.NoneType in options:
            return None
        rest = [option for option in options if option is not types.NoneType]
        if len(rest) == 1:
            return self._value(rest[0], value, path)
        if type(value) not in rest:
            self.wrong(path, value, " or ".join(_WANTED[option] for option in rest))
        return value

    def _scalar(self, wanted: Any, value: object, path: str) -> object:
        allowed = getattr(wanted, "__metadata__", (None,))[0]
        kind = getattr(wanted, "__origin__", wanted)
        if type(value) is not kind:  # not isinstance: true is not an integer
            self.wrong(path, value, _WANTED[kind])
        elif isinstance(allowed, OneOf) and value not in allowed.values:
            self.wrong(path, value, "one of " + ", ".join(allowed.values))
        return value

    def wrong(self, path: str, value: object, wanted: str) -> None:
        """Note a problem."""
        self.problems.append(f"{path or 'the manifest'} is {_shown(value)}, wanted {wanted}")

"""The one schema of ``manifest.json``: the exporter writes through it, every host reads the same fields.

The JSON follows the dataclasses below field by field, in their order; mappings are written sorted by
key, so that the same export gives the same text. Reading ignores fields it does not know (they may be
added within a format version) and refuses a newer ``format_version`` before it looks at anything else.
A field without a default must be there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from s2t_runtime.bundles.json_records import OneOf, Reader, parse, shown, text_of
from s2t_runtime.errors import BundleError

FORMAT_VERSION: Final = 3
"""The newest version that this release writes; it reads every one from 1 on. docs/bundle.md says what each brought."""
_REMEDY: Final = "copy the bundle again or export again"


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
class BlockPrecision:
    """The type in which one block computes, why, and what that costs.

    ``extra_bytes`` counts how much larger the weights are than in the policy's own type.
    """

    precision: Annotated[str, OneOf(("float32", "float16", "int8"))]
    reason: str
    extra_bytes: int


@dataclass(frozen=True)
class PrecisionErrors:
    """What separates a lower precision from float32: measured, or at most allowed.

    ``log_prob_difference`` is the largest difference of a log-probability among each step's best tokens;
    ``token_agreement`` the share of steps whose best token is the same.
    """

    log_prob_difference: float
    token_agreement: float


@dataclass(frozen=True)
class PrecisionPolicy:
    """Block -> precision, as the export measured that it must be.

    Attributes:
        base: the type of every block that is not listed.
        blocks: the others. ``encoder...``, ``decoder...`` and ``enc_to_dec_proj...`` name a module of the
            checkpoint with all that it holds; ``NAME (residual)`` is what such a module computes itself,
            without the modules in it. ``features``, ``norms``, ``softmax`` and ``scores`` are the parts that
            compute in float32 in every graph. The graphs' nodes are called ``NAME/...`` after the innermost
            module that they come from (``features/...`` for those of ``features``).
        budget: what was allowed.
        measured: what the export's search found with these blocks, in the rounding of ``base``.
    """

    base: Annotated[str, OneOf(("float32", "float16", "int8"))]
    blocks: Mapping[str, BlockPrecision]
    budget: PrecisionErrors
    measured: PrecisionErrors

    @property
    def fp32_blocks(self) -> dict[str, str]:
        """The blocks that compute in float32, each with its reason."""
        return {name: block.reason for name, block in self.blocks.items() if block.precision == "float32"}


@dataclass(frozen=True)
class PrecisionInfo:
    """The three graphs of one precision; ``policy`` says which blocks of them have another one."""

    encoder: GraphInfo
    decoder_first_step: GraphInfo
    decoder_with_past: GraphInfo
    policy: PrecisionPolicy | None = None


@dataclass(frozen=True)
class FileInfo:
    """What a file of the bundle must be: its size in bytes and its SHA-256 in lower-case hex."""

    size: int
    sha256: str


@dataclass(frozen=True)
class OutputVocabularyInfo:
    """The file that lists the tokens of a restricted output projection, and how many they are."""

    path: str
    count: int


@dataclass(frozen=True)
class DecoderInfo:
    """The decoder's shape: what a host needs to make empty caches and to check its options.

    ``vocab_size`` counts the ids that the graphs take; ``output_vocabulary`` says which of them have a column in
    ``logits`` and can be written, None: all. ``alone_ids`` are those behind which no forced token may be fed in the
    same step, as the export measured it; None: nobody measured, so that none may.
    """

    layers: int
    heads: int
    head_dim: int
    vocab_size: int
    max_positions: int | None
    cross_attention: Annotated[str, OneOf(("shared", "expanded"))]
    max_candidates: int
    output_vocabulary: OutputVocabularyInfo | None = None
    alone_ids: tuple[int, ...] | None = None

    @property
    def written_tokens(self) -> int:
        """Tokens that the decoder can write: columns of its logits."""
        return self.vocab_size if self.output_vocabulary is None else self.output_vocabulary.count

    @property
    def format_version(self) -> int:
        """The lowest format version whose readers take such a decoder for what it is."""
        return 2 if self.output_vocabulary is None else 3


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
            text = text_of(self)
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
            document = parse(text)
        except (ValueError, RecursionError) as error:
            raise BundleError(f"manifest.json is not JSON ({error}): {_REMEDY}") from error
        _check_version(document)
        reader = Reader("the manifest")
        manifest = reader.record(Manifest, document, "")
        if not reader.problems and manifest.default_precision not in manifest.graphs:
            reader.wrong("default_precision", manifest.default_precision, f"one of {[*manifest.graphs]}")
        if not reader.problems and manifest.decoder.output_vocabulary and manifest.format_version < 3:
            reader.wrong("format_version", manifest.format_version, "3 with decoder.output_vocabulary")
        if reader.problems:
            raise BundleError(f"manifest.json is malformed: {'; '.join(reader.problems)}: {_REMEDY}")
        return manifest


def _check_version(document: object) -> None:
    if not isinstance(document, dict):
        raise BundleError(f"manifest.json holds {shown(document)}, wanted an object: {_REMEDY}")
    version = document.get("format_version")
    if type(version) is not int or version < 1:
        raise BundleError(f"manifest.json has format_version {shown(version)}, wanted 1 or more: {_REMEDY}")
    if version > FORMAT_VERSION:
        raise BundleError(
            f"manifest.json has format_version {version}; this s2t_runtime reads up to "
            f"{FORMAT_VERSION}: install a newer export-s2t"
        )

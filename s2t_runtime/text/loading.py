"""Token ids -> text, by the bundle's own vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from tokenizers import Tokenizer

from s2t_runtime.bundles.bundle import Bundle
from s2t_runtime.errors import BundleError
from s2t_runtime.text.vocabulary import Vocabulary

Detokenize = Callable[[Sequence[int]], str]


def load_detokenizer(bundle: Bundle) -> Detokenize:
    """The function that turns token ids into text without special tokens.

    The export has compared vocabulary.bin with the tokenizer; where the manifest states no joining
    rule, because the tokenizer follows none of the known ones, tokenizer.json itself decodes.

    Raises:
        BundleError: the file cannot be read.
    """
    detokenizer = bundle.manifest.detokenizer
    if detokenizer is not None:
        vocabulary = Vocabulary.read(bundle.path_of("vocabulary.bin"))
        return lambda ids: vocabulary.decode(ids, detokenizer)
    path = bundle.path_of("tokenizer.json")
    with _mapped_errors("be read"):
        tokenizer = Tokenizer.from_file(str(path))

    def decode(ids: Sequence[int]) -> str:
        with _mapped_errors("decode tokens"):
            return str(tokenizer.decode(list(ids), skip_special_tokens=True))

    return decode


@contextmanager
def _mapped_errors(doing: str) -> Iterator[None]:
    """Turn what the Rust library raises into BundleError: bare Exception, and for a panic not even that."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise BundleError(f"tokenizer.json cannot {doing}: {error}; export again") from error
        raise

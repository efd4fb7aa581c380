"""Token ids -> text, by the bundle's own vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the Rust library raises bare Exception
        raise BundleError(f"tokenizer.json cannot be read: {error}; export again") from error
    return lambda ids: str(tokenizer.decode(list(ids), skip_special_tokens=True))

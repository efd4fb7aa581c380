"""tokenizer.json for Python, vocabulary.bin for hosts without a tokenizer library."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from exporter.errors import UnsupportedModelError
from exporter.tokenizers.detokenizer_proof import Proof, first_difference, proof_sequences, vocabulary_size
from exporter.tokenizers.joining_rules import beginning_of_none, joining_rule, with_text_cleanup
from s2t_runtime.bundles.manifest import Detokenizer
from s2t_runtime.text.detokenizer import byte_level_bytes
from s2t_runtime.text.vocabulary import ABSENT, ADDED, SPECIAL, Vocabulary, write_vocabulary

TOKENIZER = "tokenizer.json"
VOCABULARY = "vocabulary.bin"


def write_tokenizer(tokenizer: PreTrainedTokenizerBase, directory: Path) -> Detokenizer | None:
    """Write both files, and prove that they give the tokenizer's own text.

    Returns:
        How the vocabulary's tokens are joined; None where that rule is none that a manifest can state, or
        does not give the tokenizer's own text. Hosts then need tokenizer.json.

    Raises:
        UnsupportedModelError: not even tokenizer.json gives the tokenizer's own text.
        OSError: a file cannot be written.
    """
    # Not backend_tokenizer.save(): a full disk would raise a bare Exception there, and no OSError.
    text = tokenizer.backend_tokenizer.to_str(pretty=True)
    document = json.loads(text)
    decoder, cleanup = document.get("decoder"), _cleans_up(tokenizer, document)
    if cleanup:
        # tokenizer.json holds no such setting: without this, it alone would not give transformers' text.
        document["decoder"] = with_text_cleanup(decoder, beginning_of_none(tokenizer.get_vocab()))
        text = json.dumps(document, ensure_ascii=False, indent=2)
    (directory / TOKENIZER).write_text(text, encoding="utf-8")
    rule = joining_rule(decoder, cleanup=cleanup)
    byte_level = rule is not None and rule.kind == "byte_level"
    vocabulary = _write_vocabulary(tokenizer, directory / VOCABULARY, byte_level=byte_level)
    proof = proof_sequences(tokenizer, range(vocabulary_size(tokenizer)))
    _check_tokenizer_json(tokenizer, directory / TOKENIZER, proof)
    return rule if rule is not None and _proved(tokenizer, vocabulary, rule, proof) else None


def _cleans_up(tokenizer: PreTrainedTokenizerBase, document: dict[str, Any]) -> bool:
    """Whether decode() cleans up: transformers 5 ignores the setting for BPE, whose spaces are exact."""
    wanted = bool(tokenizer.clean_up_tokenization_spaces)
    model = document.get("model")
    is_bpe = isinstance(model, dict) and model.get("type") == "BPE"
    forced = getattr(
        tokenizer, "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output", False
    )
    return wanted and (not is_bpe or bool(forced))


def _write_vocabulary(tokenizer: PreTrainedTokenizerBase, path: Path, *, byte_level: bool) -> Vocabulary:
    backend = tokenizer.backend_tokenizer
    added = backend.get_added_tokens_decoder()
    # decode() leaves out what the tokenizers library takes for special, by text; all_special_ids may differ.
    special = {token.content for token in added.values() if token.special}
    tokens, flags = [], []
    for index in range(vocabulary_size(tokenizer)):
        token = backend.id_to_token(index)
        if token is None:
            tokens.append(b"")
            flags.append(ABSENT)
            continue
        tokens.append(byte_level_bytes(token) if byte_level else token.encode())
        flags.append(SPECIAL * (token in special) | ADDED * (index in added))
    write_vocabulary(path, tokens, flags)
    return Vocabulary.read(path)


def _check_tokenizer_json(tokenizer: PreTrainedTokenizerBase, path: Path, proof: Proof) -> None:
    backend = Tokenizer.from_file(str(path))

    def texts(sequences: list[list[int]], *, skip_special_tokens: bool) -> Sequence[str]:
        return backend.decode_batch(sequences, skip_special_tokens=skip_special_tokens)

    difference = first_difference(tokenizer, texts, proof)
    if difference is not None:
        raise UnsupportedModelError(
            f"the tokenizer {type(tokenizer).__name__}",
            [
                f"it writes {difference.wanted!r} for the tokens {difference.ids}, where its tokenizer.json gives "
                f"{difference.got!r}: the class changes the text in Python code, which no bundle holds; use a "
                "tokenizer whose decode() is that of the tokenizers library"
            ],
        )


def _proved(
    tokenizer: PreTrainedTokenizerBase, vocabulary: Vocabulary, rule: Detokenizer, proof: Proof
) -> bool:
    def texts(sequences: list[list[int]], *, skip_special_tokens: bool) -> Sequence[str]:
        return [vocabulary.decode(ids, rule, skip_special_tokens=skip_special_tokens) for ids in sequences]

    return first_difference(tokenizer, texts, proof) is None

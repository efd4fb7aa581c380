"""Token ids to text, without a tokenizer library where a joining rule is known.

Comes in: an opened bundle, and ids.

Goes out:
    detokenizer: TEXT_CLEANUP, byte_level_bytes
    loading: load_detokenizer
    vocabulary: ABSENT, ADDED, SPECIAL, Vocabulary, write_vocabulary
"""

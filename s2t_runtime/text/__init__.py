"""Token ids to text, without a tokenizer library where a joining rule is known.

Given: an opened bundle, and ids.
Open to: benchmarks, exporter, s2t_runtime.

Goes out:
    detokenizer: TEXT_CLEANUP, byte_level_bytes
    loading: load_detokenizer
    vocabulary: ABSENT, ADDED, SPECIAL, Vocabulary, write_vocabulary
"""

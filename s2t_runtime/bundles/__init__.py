"""The files of a bundle: their one schema, how they are checked, and how they are opened.

Comes in: a directory. The exporter writes through the same records.

Goes out:
    bundle: Bundle, FAST_HASH_LIMIT, GRAPH_NAMES, MANIFEST_NAME, open_bundle, sha256_of
    engine_record: AxisRange, BoundTensor, ENGINES_DIRECTORY, EngineRecord, FLAVOURS, Profile,
        RECORD_VERSION
    manifest: AudioInfo, BlockPrecision, DecoderInfo, Detokenizer, FileInfo, GraphInfo, JoiningStep,
        Manifest, ModelInfo, OutputVocabularyInfo, PrecisionErrors, PrecisionInfo, PrecisionPolicy,
        TensorInfo
    output_vocabulary: Int64, OUTPUT_VOCABULARY, columns_of, outside, write_output_vocabulary
"""

"""The files of a bundle: their one schema, how they are checked, and how they are opened.

Given: a directory. The exporter writes through the same records.
Open to: benchmarks, exporter, s2t_runtime, s2t_runtime.commands, s2t_runtime.options, s2t_runtime.search,
    s2t_runtime.sessions, s2t_runtime.text.

Goes out:
    bundle: Bundle, GRAPH_NAMES, open_bundle
    engine_record: AxisRange, BoundTensor, ENGINES_DIRECTORY, EngineRecord, FLAVOURS, Profile,
        RECORD_VERSION
    links: leads_elsewhere
    manifest: AudioInfo, BlockPrecision, DecoderInfo, Detokenizer, FileInfo, GraphInfo, JoiningStep,
        Manifest, ModelInfo, OutputVocabularyInfo, PrecisionErrors, PrecisionInfo, PrecisionPolicy,
        TensorInfo
    output_vocabulary: Int64, OUTPUT_VOCABULARY, columns_of, outside, write_output_vocabulary
    replacement: load_whole
    verification: FAST_HASH_LIMIT, MANIFEST_NAME, sha256_of
"""

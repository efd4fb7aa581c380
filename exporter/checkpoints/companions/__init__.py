"""What comes beside a model's weights: feature extractor, tokenizer, generation options, languages.

Given: the files of a checkpoint.
Open to: exporter.checkpoints, exporter.parity, exporter.pipeline.

Goes out:
    chosen: adjusted, companion_files, load_companions
    generation_defaults: GENERATION_CONFIG, IDLE_WITHOUT_DO_SAMPLE, SUPPORTED, file_of, is_harmless,
        options_from, supported_values, unsupported_options
    languages: find_languages
    loading: feature_settings, load_extractor, load_tokenizer
    neutral: neutral_extractor, neutral_tokenizer
    special_tokens: with_special_tokens
"""

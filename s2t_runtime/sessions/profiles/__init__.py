"""Optimisation profiles: the one table of sizes behind them, and what they refuse.

Given: manifests and sizes; compile-s2t and the sessions that have profiles ask.
Open to: exporter, s2t_runtime.sessions.engines, s2t_runtime.sessions.onnxruntime.

Goes out:
    compile_flags: compile_flags
    limits: ENCODER, FIRST_STEP, ProfileLimits, WITH_PAST
    table: DEFAULT_MAX_AUDIO_S, DEFAULT_MAX_BATCH, DEFAULT_MAX_BEAMS, DEFAULT_MAX_LENGTH,
        DEFAULT_MAX_PROMPT, Sizes, bounds_of, default_samples, default_sizes, rows_of, samples_range,
        table_of
"""

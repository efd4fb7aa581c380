"""The judge, and what it is asked: eager PyTorch, audio that tries a model, and how far a bundle is off.

Given: a loaded checkpoint.
Open to: benchmarks, exporter, exporter.commands, exporter.parity, exporter.pipeline, exporter.precisions.

Goes out:
    audio_limits: min_samples, padding_is_safe
    eager: EagerEncoding, EagerHypotheses, EagerReference, Waveform
    hard_audio: AudioCase, hard_audio, recorded
    own_spread: own_spread
    probe_audio: probe_utterance
    prompt: prompt_ids, usual_prompt
    recordings: read_recordings
    step_errors: MEASURES, StepMeasure, counted_steps, end_tokens, log_softmax, step_count, step_errors
    utterance: Utterance
"""

"""The encoder graph: raw audio in; encoder states, their mask, and cross-attention keys and values out.

Given: an encoder of transformers, and its feature settings. Files and sessions are unknown here.
Open to: exporter, graphs.

Goes out:
    graph: EncoderGraph, FeatureSettings, feature_module, frame_lengths
    log_mel: LogMelSettings, STACKED
    support: encoder_reasons
    waveform: WaveformSettings
"""

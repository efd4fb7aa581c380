"""From files of weights to a model: whole, or refused by what is wrong.

Given: the files of a checkpoint, and its configuration.
Open to: exporter.checkpoints.

Goes out:
    blank: blank_model
    files: missing_weights
    load: Fit, load_weights
    record: WeightsRecord, by_layer
"""

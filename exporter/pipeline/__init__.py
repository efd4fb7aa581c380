"""From checkpoint to bundle, stage by stage; the only room that knows all others.

Comes in: a source and options.

Goes out:
    add_precision: AddResult, add_precision
    export_checkpoint: ExportResult, export_checkpoint
"""

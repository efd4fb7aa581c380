"""From checkpoint to bundle, stage by stage; the only room that knows all others.

Given: a source and options.
Open to: exporter, exporter.commands.

Goes out:
    add_precision: AddResult, add_precision
    export_checkpoint: ExportResult, export_checkpoint
"""

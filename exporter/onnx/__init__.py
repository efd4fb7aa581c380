"""From torch modules to checked ONNX files, and what runs one of them.

Given: a checkpoint in memory. export is the one place of tracing, session the one importer of onnxruntime.
Open to: exporter, exporter.engines, exporter.parity, exporter.pipeline, exporter.precisions,
    exporter.reference.

Goes out:
    block_names: OWN, in_blocks
    checks: check_graph
    export: OPSET
    session: Array, GraphRunner, output_shapes
    write_graphs: DECODER_WEIGHTS, ENCODER_WEIGHTS, OnStage, WrittenGraphs, require_decoding,
        write_graphs
"""

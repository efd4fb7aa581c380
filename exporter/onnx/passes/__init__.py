"""Graph edits after export, one a file: each a function ``model in, (model, changed) out``.

Given: models of onnx_ir. Passes do not import each other.
Open to: exporter.onnx, exporter.pipeline, exporter.precisions.

Goes out:
    apply_signature: apply_signature
    finite_constants: finite_constants
    fuse_attention: FUSED, fuse_attention
    fuse_log_softmax: fuse_log_softmax
    group_top_k: group_top_k
    join_qkv_products: join_qkv_products
    multiply_sample_windows: multiply_sample_windows
    name_blocks: name_blocks
    project_last_position: project_last_position
    quantise_convolutions: quantisable, quantise_convolutions
    quantise_products: constant_matrix, quantise_products
    quantise_tables: quantise_tables
    share_weights: share_weights
    split_gemms: split_gemms
    strip_metadata: strip_metadata
    fft_convolutions: fft_convolutions
"""

"""Graph edits after export, one a file: each a function ``model in, (model, changed) out``.

Comes in: models of onnx_ir. Passes do not import each other.

Goes out:
    apply_signature: apply_signature
    finite_constants: finite_constants
    fuse_attention: FUSED, fuse_attention
    fuse_log_softmax: fuse_log_softmax
    group_top_k: group_top_k
    join_products: join_products
    multiply_samples: multiply_samples
    name_blocks: name_blocks
    project_last: project_last
    quantise_convolutions: quantisable, quantise_convolutions
    quantise_products: constant_matrix, quantise_products
    quantise_tables: quantise_tables
    share_weights: share_weights
    split_gemms: split_gemms
    strip_metadata: strip_metadata
    transform_convolutions: transform_convolutions
"""

"""What several passes need: looking at a graph, replacing values, weights in int8, convolutions as products.

Given: models of onnx_ir. No pass is known here.
Open to: exporter.onnx.passes, exporter.precisions.

Goes out:
    convolutions: Convolution, convolution, geometry, windows
    graph_edits: constant, drop_unused, initializer, int64, made_by, only_reader, remove_unread,
        take_over
    int8_products: Int8Products, add_int8, scaled_product
    int8_weights: Roundings
    key_masks: key_mask
"""

"""Sessions over TensorRT engines."""

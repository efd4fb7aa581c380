"""Sessions over ONNX graphs."""

"""A model under a precision policy: which block computes in float16, which in float32."""

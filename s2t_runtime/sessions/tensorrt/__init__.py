"""NVIDIA libraries."""

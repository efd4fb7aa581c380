"""Reads what an export wrote."""

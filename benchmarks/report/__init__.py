"""Renders the record of a measurement as Markdown and as one page of HTML; every figure comes from the record alone."""

"""Renders a record as Markdown and as one page of HTML; every figure comes from the record alone.

Given: a record.
Open to: benchmarks.bench, benchmarks.gpu.

Goes out:
    markdown: markdown, summary_text
    page: page
"""

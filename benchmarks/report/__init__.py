"""Renders a record as Markdown and as one page of HTML; every figure comes from the record alone.

Comes in: a record.

Goes out:
    markdown: markdown, summary_text
    page: page
"""

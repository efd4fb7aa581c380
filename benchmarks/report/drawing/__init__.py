"""Plots as SVG, and the markup that pages are made of.

Given: figures. Records are unknown here.
Open to: benchmarks.report.

Goes out:
    axes: Axis, fitting_axis, linear_axis, log_axis
    bars: Bar, Stack, bar_chart, legend, stack_chart
    distributions: Distribution, distribution_chart
    frame: Label
    lines: Axes, Level, Line, Point, line_chart
    markup: Element, tag
"""

"""MEASURES bundles: ratios taken side by side in one run, and the search's own time."""

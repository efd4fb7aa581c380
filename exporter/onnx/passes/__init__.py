"""Graph edits after export: each a function ``model in, (model, changed) out``."""

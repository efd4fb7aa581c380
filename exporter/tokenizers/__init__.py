"""Any tokenizer to tokenizer.json and vocabulary.bin, proved against its own decode().

Given: a tokenizer of transformers.
Open to: exporter.checkpoints, exporter.pipeline.

Goes out:
    files: write_tokenizer
    python_tokenizers: with_backend
    speech2text2
"""

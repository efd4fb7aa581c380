"""Any tokenizer to tokenizer.json and vocabulary.bin, proved against its own decode().

Comes in: a tokenizer of transformers.

Goes out:
    files: write_tokenizer
    python_tokenizers: with_backend
"""

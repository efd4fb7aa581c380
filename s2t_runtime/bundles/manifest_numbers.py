"""Numbers of a manifest that no model has, found before memory is asked for by them."""

from __future__ import annotations

from s2t_runtime.bundles.json_records import Reader
from s2t_runtime.bundles.manifest import Manifest
from s2t_runtime.errors import BundleError


def check_numbers(manifest: Manifest) -> None:
    """See that counts are counts, and that the vocabulary is the one that the graphs have.

    Raises:
        BundleError: a count is below 1, or the logits have another number of columns; all are named.
    """
    reader = Reader("the manifest")
    audio, decoder = manifest.audio, manifest.decoder
    counts = {
        "audio.sampling_rate": audio.sampling_rate,
        "audio.min_samples": audio.min_samples,
        "audio.max_samples": audio.max_samples,
        "decoder.layers": decoder.layers,
        "decoder.heads": decoder.heads,
        "decoder.head_dim": decoder.head_dim,
        "decoder.vocab_size": decoder.vocab_size,
        "decoder.max_positions": decoder.max_positions,
        "decoder.max_candidates": decoder.max_candidates,
    }
    for path, count in counts.items():
        if count is not None and count < 1:
            reader.wrong(path, count, "an integer of at least 1")
    if decoder.output_vocabulary is None:  # else its file says what the columns are
        for precision in sorted(manifest.graphs):
            outputs = {
                tensor.name: tensor.shape for tensor in manifest.graphs[precision].decoder_with_past.outputs
            }
            columns = outputs.get("logits", ())[-1:]
            if columns and isinstance(columns[0], int) and columns[0] != decoder.vocab_size:
                wanted = f"{columns[0]}, the columns of the logits of {precision}"
                reader.wrong("decoder.vocab_size", decoder.vocab_size, wanted)
    if reader.problems:
        raise BundleError(
            f"manifest.json is malformed: {'; '.join(reader.problems)}: copy the bundle again or export again"
        )

"""Opens a bundle: a directory that ``manifest.json`` vouches for file by file."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from s2t_runtime.bundles.manifest import GraphInfo, Manifest, PrecisionInfo
from s2t_runtime.bundles.manifest_numbers import check_numbers
from s2t_runtime.bundles.output_vocabulary import Int64, read_output_vocabulary
from s2t_runtime.bundles.verification import MANIFEST_NAME, WEIGHTS_SUFFIX, check_files
from s2t_runtime.errors import BundleError, OptionError

GRAPH_NAMES: Final = ("encoder", "decoder_first_step", "decoder_with_past")
_REMEDY: Final = "copy the bundle again or export again"
_MODEL_ID: Final = re.compile(r"\w[\w.-]*/\w[\w.-]*")
"""What a name on the hub looks like: owner and model, nothing before, between or behind."""


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files were checked.

    Attributes:
        root: the bundle's directory.
        manifest: its parsed manifest.json.
    """

    root: Path
    manifest: Manifest

    def path_of(self, relative: str) -> Path:
        """Where a file of the manifest lies.

        Args:
            relative: a key of ``manifest.files``, for example ``vocabulary.bin``.

        Raises:
            BundleError: the manifest names no such file.
        """
        if relative not in self.manifest.files:
            raise BundleError(
                f"{self.root} holds no {relative}; its manifest names "
                f"{', '.join(self.manifest.files) or 'no files'}: export again"
            )
        return self.root / relative

    def precision(self, precision: str) -> PrecisionInfo:
        """The three graphs of a precision.

        Raises:
            OptionError: the bundle does not have this precision.
        """
        graphs = self.manifest.graphs
        if precision not in graphs:
            raise OptionError(
                f"precision {precision!r} is not in {self.root}, which has {', '.join(graphs) or 'none'}: "
                "choose one of these, or add it with export-s2t --add-precision"
            )
        return graphs[precision]

    def output_ids(self) -> Int64 | None:
        """The token id of each column of the logits, int64 [columns]; None: column and id are one.

        Raises:
            BundleError: the file that lists them holds something else than the manifest says.
        """
        decoder = self.manifest.decoder
        listed = decoder.output_vocabulary
        if listed is None:
            return None
        return read_output_vocabulary(
            self.path_of(listed.path), count=listed.count, vocab_size=decoder.vocab_size
        )

    def graph_path(self, precision: str, graph_name: str) -> Path:
        """Where the ONNX file of a graph lies.

        Args:
            precision: a key of ``manifest.graphs``.
            graph_name: "encoder", "decoder_first_step" or "decoder_with_past".

        Raises:
            OptionError: no such precision, or no such graph.
        """
        info = self.precision(precision)
        if graph_name not in GRAPH_NAMES:
            raise OptionError(f"graph {graph_name!r} does not exist: choose one of {', '.join(GRAPH_NAMES)}")
        graph: GraphInfo = getattr(info, graph_name)
        return self.path_of(graph.path)

    def weights_beside(self, graph: Path) -> tuple[Path, ...]:
        """The files of weights in a graph's folder, each of which the manifest vouches for.

        Args:
            graph: what ``graph_path`` gave.
        """
        paths = (self.root / name for name in self.manifest.files if name.endswith(WEIGHTS_SUFFIX))
        return tuple(path for path in paths if path.parent == graph.parent)


def open_bundle(path: str | os.PathLike[str], *, verify: Literal["fast", "full"] = "fast") -> Bundle:
    """Open a bundle and check its files against its manifest.

    Args:
        path: the bundle's directory.
        verify: "fast" checks every size and hashes files under 64 MiB and those behind links that leave the
            bundle; "full" hashes every file.

    Raises:
        BundleError: not a bundle, a newer or malformed manifest, a path that leaves the bundle, or files
            that are missing or altered, behind whatever links; the message names them.
        OptionError: ``verify`` is neither "fast" nor "full".
    """
    if verify not in ("fast", "full"):
        raise OptionError(f'verify is {verify!r}, wanted "fast" or "full"')
    root = Path(path)
    manifest = Manifest.from_json(_manifest_text(root))
    check_numbers(manifest)
    check_files(root, manifest, _graph_paths(manifest), verify)
    return Bundle(root, manifest)


def _manifest_text(root: Path) -> str:
    try:
        is_there, is_directory = root.exists(), root.is_dir()
    except OSError:  # a name that is too long, a folder that may not be looked into
        is_there = False
    if not is_there:
        raise BundleError(_does_not_exist(root))
    if not is_directory:
        raise BundleError(f"{root} is a file: pass the directory of a bundle, as export-s2t wrote it")
    path = root / MANIFEST_NAME
    if not path.is_file():
        # Inside an interrupted export and in a checkpoint there is all but a manifest.
        hint = "pass a directory that export-s2t wrote"
        if ".unfinished-" in root.name:
            hint = "its export was interrupted; delete it and export again"
        elif (root / "config.json").is_file():
            hint = f"it looks like a checkpoint, which `export-s2t {root} -o OUTPUT` turns into one"
        raise BundleError(f"{root} is not a bundle (it has no {MANIFEST_NAME}): {hint}")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{path} cannot be read ({error}): {_REMEDY}") from error


def _does_not_exist(root: Path) -> str:
    text = f"{root} does not exist: pass the directory of a bundle, as export-s2t wrote it"
    if _MODEL_ID.fullmatch(root.as_posix()) is None:
        return text
    return (
        f"{text}; nothing is downloaded here. For a checkpoint of this name on the Hugging Face hub: "
        f"`export-s2t {root} -o OUTPUT`, then pass OUTPUT; for a bundle there: "
        f"`hf download {root} --local-dir OUTPUT`, then pass OUTPUT"
    )


def _graph_paths(manifest: Manifest) -> list[str]:
    return [getattr(precision, name).path for precision in manifest.graphs.values() for name in GRAPH_NAMES]

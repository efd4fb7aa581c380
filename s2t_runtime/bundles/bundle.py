"""Opens a bundle: a directory that ``manifest.json`` vouches for file by file.

What each level of verification catches:

====================================================  ======  ======
alteration                                            "fast"  "full"
====================================================  ======  ======
file missing, truncated or grown                      yes     yes
path or link that leaves the bundle                   yes     yes
bytes changed, size kept, file under 64 MiB           yes     yes
bytes changed, size kept, file of 64 MiB or more      no      yes
====================================================  ======  ======

Files that the manifest does not name (compiled engines, notes) are not looked at. The manifest vouches
for the files and nothing vouches for the manifest: hashes tell damage, not forgery.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from s2t_runtime.bundles.manifest import FileInfo, GraphInfo, Manifest, PrecisionInfo
from s2t_runtime.bundles.output_vocabulary import Int64, read_output_vocabulary
from s2t_runtime.errors import BundleError, OptionError

MANIFEST_NAME: Final = "manifest.json"
FAST_HASH_LIMIT: Final = 64 * 2**20
"""Bytes; "fast" hashes the files below it: all but the weights, in well under a second."""

GRAPH_NAMES: Final = ("encoder", "decoder_first_step", "decoder_with_past")
_REMEDY: Final = "copy the bundle again or export again"
_SHOWN_PROBLEMS: Final = 5
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


def open_bundle(path: str | os.PathLike[str], *, verify: Literal["fast", "full"] = "fast") -> Bundle:
    """Open a bundle and check its files against its manifest.

    Args:
        path: the bundle's directory.
        verify: "fast" checks every size and hashes files under 64 MiB; "full" hashes every file.

    Raises:
        BundleError: not a bundle, a newer or malformed manifest, a path that leaves the bundle, or
            files that are missing or altered; the message names them.
        OptionError: ``verify`` is neither "fast" nor "full".
    """
    if verify not in ("fast", "full"):
        raise OptionError(f'verify is {verify!r}, wanted "fast" or "full"')
    root = Path(path)
    manifest = Manifest.from_json(_manifest_text(root))
    for relative in _paths(manifest):
        _check_inside(root, relative)
    unlisted = [name for name in _graph_paths(manifest) if name not in manifest.files]
    if unlisted:
        raise BundleError(
            f"{root / MANIFEST_NAME} names graphs that are not among its files: "
            f"{', '.join(unlisted)}: export again"
        )
    problems = _size_problems(root, manifest)
    if not problems:  # a file of a wrong size needs no hashing, and hashing may take long
        problems = _hash_problems(root, manifest, None if verify == "full" else FAST_HASH_LIMIT)
    if problems:
        more = len(problems) - _SHOWN_PROBLEMS
        shown = "; ".join(problems[:_SHOWN_PROBLEMS]) + (f"; and {more} more files" if more > 0 else "")
        raise BundleError(f"the bundle {root} is damaged: {shown}: {_REMEDY}")
    return Bundle(root, manifest)


def sha256_of(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file in lower-case hex, read in pieces.

    Raises:
        OSError: the file cannot be read.
    """
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _manifest_text(root: Path) -> str:
    if not root.exists():
        raise BundleError(_does_not_exist(root))
    if not root.is_dir():
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
    _check_inside(root, MANIFEST_NAME)
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


def _graph_paths(manifest: Manifest) -> Iterator[str]:
    for precision in manifest.graphs.values():
        for name in GRAPH_NAMES:
            yield getattr(precision, name).path


def _paths(manifest: Manifest) -> Iterator[str]:
    yield from manifest.files
    yield from _graph_paths(manifest)


def _check_inside(root: Path, relative: str) -> None:
    """Refuse a path of the manifest that is not plainly a path below the bundle."""
    reason = ""
    if "\\" in relative or re.match(r"[A-Za-z]:", relative):
        reason = "has a backslash or a drive letter"  # elsewhere it would mean another file
    elif any(ord(character) < 32 for character in relative):
        reason = "has a control character"
    elif relative.startswith("/"):
        reason = "is absolute"
    elif any(part in {"", ".", ".."} for part in relative.split("/")):
        reason = 'has an empty, "." or ".." part'
    if reason:
        raise BundleError(
            f"{root / MANIFEST_NAME} names the path {relative!r}, which {reason}; wanted a path below "
            "the bundle with forward slashes: export again"
        )
    try:
        real = _resolved(root / relative)
        inside = real.is_relative_to(root.resolve())
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
        raise BundleError(f"{root / relative} cannot be followed ({error}): {_REMEDY}") from error
    if not inside:
        raise BundleError(
            f"{root / relative} is a link that leaves the bundle, to {real}; wanted a file inside: "
            "copy the bundle with links followed (cp -rL)"
        )


def _resolved(path: Path) -> Path:
    """With all links followed; a loop of them raises, which Python itself leaves out from 3.13 on."""
    real = path.resolve()
    if real.is_symlink():
        raise OSError(errno.ELOOP, f"a loop of links at {real}")
    return real


def _size_problems(root: Path, manifest: Manifest) -> list[str]:
    problems = []
    for relative, wanted in manifest.files.items():
        path = root / relative
        if not path.exists():
            problems.append(f"{relative} is missing")
        elif not path.is_file():
            problems.append(f"{relative} is not a regular file")
        elif (size := path.stat().st_size) != wanted.size:
            problems.append(f"{relative} has {size} bytes, wanted {wanted.size}")
    return problems


def _hash_problems(root: Path, manifest: Manifest, limit: int | None) -> list[str]:
    """Hash the files below ``limit`` bytes, or all where it is None."""
    return [
        problem
        for relative, wanted in manifest.files.items()
        if limit is None or wanted.size < limit
        if (problem := _hash_problem(root / relative, relative, wanted))
    ]


def _hash_problem(path: Path, relative: str, wanted: FileInfo) -> str | None:
    try:
        got = sha256_of(path)
    except OSError as error:
        return f"{relative} cannot be read ({error.strerror})"
    if got == wanted.sha256.lower():
        return None
    return f"{relative} has sha256 {got}, wanted {wanted.sha256}"

"""TensorRT-RTX's runtime caches: what it compiled for this GPU, kept from one process to the next."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Final

from s2t_runtime.bundles.engine_record import EngineRecord
from s2t_runtime.cache_directory import cache_directory, write_whole

_LOGGER: Final = logging.getLogger("s2t_runtime.tensorrt")


class RuntimeCacheFile:
    """One engine's cache and its file in the user's cache directory.

    A cache only saves time: one that cannot be read or written is logged and passed over.
    """

    def __init__(self, cache: Any, record: EngineRecord, target: str) -> None:
        """Fill a cache from its file, where there is one.

        Args:
            cache: TensorRT-RTX's IRuntimeCache.
            record: of the engine; another plan has another file.
            target: the GPU's compute capability, "sm89".
        """
        self._cache = cache
        self._name = f"{record.version}-{target}-{record.plan_sha256[:16]}.cache"
        self._read = b""
        try:
            path = self._path()
            self._read = path.read_bytes() if path.is_file() else b""
        except OSError as error:
            _LOGGER.warning("the runtime cache %s cannot be read (%s)", self._name, error)
        if self._read and not cache.deserialize(self._read):
            _LOGGER.info("TensorRT-RTX rejected its runtime cache %s, which is made anew", self._name)

    def save(self) -> None:
        """Write the cache back where it has grown."""
        blob = self._cache.serialize()
        data = b"" if blob is None else bytes(memoryview(blob))
        if data in {b"", self._read}:
            return
        try:
            write_whole(self._path(), data)
        except OSError as error:
            _LOGGER.warning("the runtime cache %s cannot be written (%s)", self._name, error)

    def _path(self) -> Path:
        return cache_directory("tensorrt-rtx") / self._name

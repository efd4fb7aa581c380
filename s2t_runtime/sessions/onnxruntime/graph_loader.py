"""Loads ONNX graphs with one of ONNX Runtime's providers, and makes sure that it is the one that computes.

The module ``onnxruntime`` is handed in by ``onnxruntime.session``, which alone imports it.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from s2t_runtime.bundles.bundle import Bundle
from s2t_runtime.cache_directory import VARIABLE
from s2t_runtime.default_threads import default_threads
from s2t_runtime.errors import OptionError, SessionError
from s2t_runtime.sessions.onnxruntime.int8_overflow import EXACT_PRODUCTS, products_overflow
from s2t_runtime.sessions.onnxruntime.linked_weights import linked_weights, read_weights
from s2t_runtime.sessions.onnxruntime.providers import (
    EXECUTION_PROVIDERS,
    PRODUCTS,
    ExecutionProvider,
    provider_limits,
    provider_options,
    version_problem,
)
from s2t_runtime.sessions.onnxruntime.spinning import session_entries, spinning
from s2t_runtime.sessions.profiles.limits import ENCODER, ProfileLimits

_TELLS: Final = "get_provider_graph_assignment_info"
"""Of an InferenceSession: which provider computes what; onnxruntime 1.24 brought it."""
_MOST_THREADS: Final = 1024  # of more ONNX Runtime makes none, or none that help
_LOOK: Final = "doctor-s2t says what this machine has; use provider 'cpu'"


@contextlib.contextmanager
def mapped_errors(doing: str) -> Iterator[None]:
    """Turn onnxruntime's exceptions, which share no base class of their own, into SessionError."""
    try:
        yield
    except SessionError:
        raise
    except Exception as error:
        raise SessionError(f"ONNX Runtime failed while {doing}: {error}") from error


class GraphLoader:
    """Loads the graphs of one precision with one provider.

    Attributes:
        device: where states and caches stay between runs: "cpu" or "cuda".
        limits: what a TensorRT provider is built for; None where every shape is taken.
    """

    def __init__(
        self,
        ort: Any,
        provider: str,
        bundle: Bundle,
        precision: str,
        threads: int | None,
        *,
        spin: bool | None = None,
        weights: Literal["mapped", "memory"] = "mapped",
    ) -> None:
        """Look for the provider.

        Args:
            ort: the module onnxruntime.
            provider: a key of ``EXECUTION_PROVIDERS``.
            bundle: whose graphs.
            precision: one that the bundle holds.
            threads: for one operator; None takes the cores that this process may use.
            spin: whether they wait for the next operator by spinning; None takes the default.
            weights: how ONNX Runtime gets them.

        Raises:
            OptionError: an unknown provider, or an impossible number of threads.
            SessionError: this onnxruntime is too old, does not have the provider, or cannot start it.
        """
        if provider not in EXECUTION_PROVIDERS:
            raise OptionError(f"provider {provider!r} is unknown; known: {', '.join(EXECUTION_PROVIDERS)}")
        whole = isinstance(threads, int | np.integer) and not isinstance(threads, bool)
        if threads is not None and not (whole and 1 <= threads <= _MOST_THREADS):
            huge = isinstance(threads, int) and threads.bit_length() > 64  # too long to be written
            raise OptionError(
                f"threads is {'huge' if huge else repr(threads)}; it must be from 1 to {_MOST_THREADS}, or unset for "
                "the cores that this process may use"
            )
        problem = version_problem(ort.__version__)
        if problem is not None:
            raise SessionError(problem)
        self._ort, self._bundle, self._precision = ort, bundle, precision
        self._threads = default_threads().count if threads is None else int(threads)
        self._spinning = spinning(ort.__version__, asked=spin)
        self._held = weights
        self._provider = EXECUTION_PROVIDERS[provider]
        policy = bundle.precision(precision).policy
        self._int8 = policy is not None and policy.base == "int8"
        if self._provider.device != "cpu" and self._int8:
            raise OptionError(
                f"precision {precision!r} is made for CPUs and provider {provider!r} would compute little of it on the "
                "GPU; use another precision, or provider 'cpu'"
            )
        _check_available(ort, provider, self._provider)
        if self._provider.device == "cuda" and self._provider.plugin is None:
            _preload(ort)
        self.device = self._provider.device
        self.limits: ProfileLimits | None = None
        if self._provider.prefix is not None:
            self.limits = provider_limits(provider, bundle, precision, self._frames)

    def load(self, graph: str) -> Any:
        """Load a graph.

        Returns:
            An onnxruntime.InferenceSession.

        Raises:
            SessionError: the graph cannot be loaded, or another provider would compute it.
        """
        provider, options = self._provider, self._options()
        path = self._bundle.graph_path(self._precision, graph)
        if hasattr(self._ort.InferenceSession, _TELLS):
            options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        told = self._told(graph)
        with mapped_errors(f"loading {path.name}"), self._weights(options, path):
            if provider.plugin is None:
                asked = [(provider.name, told), *((name, {}) for name in provider.behind)]
                session = self._ort.InferenceSession(str(path), options, providers=asked)
            else:
                options.add_provider_for_devices(_devices(self._ort, provider)[:1], told)
                session = self._ort.InferenceSession(str(path), options)
        # onnxruntime falls back to the CPU with a mere warning when a provider's libraries are missing.
        if provider.name not in session.get_providers():
            raise SessionError(
                f"onnxruntime could not start {provider.name} for {path.name} and fell back to "
                f"{', '.join(session.get_providers())}; doctor-s2t says what is missing"
            )
        if hasattr(session, _TELLS):
            _check_assignment(session, provider, path)
        elif provider.device != "cpu":  # the CPU's provider is alone in its session
            _warn_unverified(self._ort, provider, path)
        return session

    def _told(self, graph: str) -> dict[str, str]:
        profile = None if self.limits is None else self.limits.profiles[graph][0]
        try:
            return provider_options(self._provider, self._bundle, self._precision, graph, profile)
        except OSError as error:
            raise SessionError(
                f"no directory for {self._provider.name}'s cache can be made ({error}): set {VARIABLE} to one that "
                "can be written"
            ) from error

    def _weights(self, options: Any, path: Path) -> AbstractContextManager[None]:
        beside = self._bundle.weights_beside(path)
        if self._held == "mapped":
            return linked_weights(options, path, beside)
        return read_weights(options, beside, self._ort.__version__)

    def _options(self) -> Any:
        options = self._ort.SessionOptions()
        options.intra_op_num_threads = self._threads
        for name, value in session_entries(self._spinning).items():
            options.add_session_config_entry(name, value)
        # It would keep a plan of the memory for every shape, each length of audio and of text: 1 MB in 100 calls.
        options.enable_mem_pattern = False
        options.log_severity_level = 4  # what fails is raised; a loading that is begun again is to be quiet
        if self._int8:
            with mapped_errors("trying a product of uint8 with int8"):
                overflow = products_overflow(self._ort)
            if overflow:
                options.add_session_config_entry(*EXACT_PRODUCTS)
        return options

    def _frames(self, samples: int) -> int:
        """Frames that the encoder makes of so many samples; nothing is computed.

        ONNX Runtime folds the sizes into the graph while it loads it, by ONNX's own rules for shapes.
        """
        options = self._options()
        options.graph_optimization_level = self._ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.add_free_dimension_override_by_name("batch", 1)
        options.add_free_dimension_override_by_name("samples", samples)
        path = self._bundle.graph_path(self._precision, ENCODER)
        with (
            mapped_errors(f"asking {path.name} for the frames of {samples} samples"),
            self._weights(options, path),
        ):
            session = self._ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            shapes = {output.name: output.shape for output in session.get_outputs()}
            return int(shapes["encoder_mask"][1])


def _check_available(ort: Any, name: str, provider: ExecutionProvider) -> None:
    if provider.plugin is not None:
        _register(ort, name, provider)
    elif provider.name not in (available := ort.get_available_providers()):
        raise SessionError(
            f"provider {name!r} needs {provider.name}, but this onnxruntime offers {', '.join(available)}; "
            f"{provider.install}, or use provider 'cpu'"
        )


def _preload(ort: Any) -> None:
    """Load the CUDA libraries that pip installed, where onnxruntime itself does not look for them.

    What is missing shows as the provider does not start; onnxruntime prints it here, and nothing is printed.
    """
    if hasattr(ort, "preload_dlls"):
        with contextlib.redirect_stdout(io.StringIO()):
            ort.preload_dlls()


def _register(ort: Any, name: str, provider: ExecutionProvider) -> None:
    """Load the library of a provider that is not part of onnxruntime, once a process."""
    if not hasattr(ort, "register_execution_provider_library"):
        raise SessionError(
            f"provider {name!r} needs onnxruntime 1.23 or newer, this is {ort.__version__}: install a newer one, or "
            "use provider 'cpu'"
        )
    if _devices(ort, provider):
        return
    try:
        plugin = importlib.import_module(str(provider.plugin))
        ort.register_execution_provider_library(provider.name, plugin.get_library_path())
    except ModuleNotFoundError as error:
        raise SessionError(
            f"provider {name!r} needs {provider.name}, and {error.name} is not installed; {provider.install}, or "
            "use provider 'cpu'"
        ) from error
    except Exception as error:  # onnxruntime's exceptions share no base class of their own
        raise SessionError(f"provider {name!r} cannot be loaded ({error}); {_LOOK}") from error
    if not _devices(ort, provider):
        raise SessionError(f"provider {name!r} finds no GPU that it supports; {_LOOK}")


def _devices(ort: Any, provider: ExecutionProvider) -> list[Any]:
    return [device for device in ort.get_ep_devices() if device.ep_name == provider.name]


def _warn_unverified(ort: Any, provider: ExecutionProvider, path: Path) -> None:
    """Say what an older onnxruntime leaves open; that the provider started is known, and all that is."""
    warnings.warn(
        f"onnxruntime {ort.__version__} does not tell which provider computes what, so it was not verified that "
        f"{provider.name} takes all matrix products of {path.name}; onnxruntime 1.24 and newer tell",
        RuntimeWarning,
        stacklevel=2,
    )


def _check_assignment(session: Any, provider: ExecutionProvider, path: Path) -> None:
    """Refuse a graph whose matrix products another provider computes; onnxruntime would not say so."""
    elsewhere: dict[str, int] = {}
    for part in session.get_provider_graph_assignment_info():
        if part.ep_name != provider.name:
            products = sum(node.op_type in PRODUCTS for node in part.get_nodes())
            elsewhere[part.ep_name] = elsewhere.get(part.ep_name, 0) + products
    lost = [f"{count} to {name}" for name, count in elsewhere.items() if count]
    if lost:
        raise SessionError(
            f"{provider.name} does not take all of {path.name}: onnxruntime gave {', '.join(lost)} of its matrix "
            "products; use another provider"
        )

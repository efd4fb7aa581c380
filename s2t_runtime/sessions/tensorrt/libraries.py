"""The only runtime file that imports TensorRT, of either flavour, and NVIDIA's bindings of CUDA.

Nothing of them is imported before engines are asked for, and every import that fails becomes a sentence.
What is called with them stands in ``tensorrt.executor``, and what is bound where in ``engines.session``.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from s2t_runtime.bundles.bundle import Bundle
from s2t_runtime.errors import SessionError
from s2t_runtime.machine import cuda_driver_problem
from s2t_runtime.sessions.engines.choice import EngineHost, check_plans, check_unreplaced, choose_engines
from s2t_runtime.sessions.engines.session import EngineSession
from s2t_runtime.sessions.tensorrt.cuda_calls import CudaCalls
from s2t_runtime.sessions.tensorrt.executor import TensorRtExecutor

_OTHERWISE: Final = "engines cannot run here; the same bundle runs with --provider cpu"


def open_engines(
    bundle: Bundle,
    precision: str | None,
    *,
    verify: Literal["fast", "full"],
    cuda_graphs: bool = False,
    flavour: str | None = None,
) -> EngineSession:
    """Open the engines of a bundle that fit this machine.

    Args:
        bundle: an opened bundle.
        precision: of the engines; None prefers the bundle's default.
        verify: "fast" hashes plans under 64 MiB, "full" all.
        cuda_graphs: as ``TensorRtExecutor`` takes it.
        flavour: of the engines; None takes any that can be imported.

    Raises:
        OptionError: the bundle does not have this precision.
        BundleError: an engine's json or plan is damaged, or the folder was replaced while it was loaded.
        SessionError: no driver, no GPU, no TensorRT or no engine that fits; one sentence says which.
    """
    problem = cuda_driver_problem()
    if problem is not None:
        raise SessionError(f"{problem}: {_OTHERWISE}")
    cuda = _cuda_calls()
    modules, missing = tensorrt_modules()
    if flavour is not None:
        modules = {name: module for name, module in modules.items() if name == flavour}
        missing = {name: reason for name, reason in missing.items() if name == flavour}
    if not modules:
        reasons = "; ".join(f"{flavour} {reason}" for flavour, reason in missing.items())
        raise SessionError(f"no TensorRT can be used ({reasons}): {_OTHERWISE}")
    gpu, capability = cuda.device()
    host = EngineHost(gpu, capability, {name: _version(trt) for name, trt in modules.items()}, missing)
    engines = choose_engines(bundle, precision, host)
    check_plans(engines, verify)
    executor = TensorRtExecutor(engines, host, modules[engines.flavour], cuda, cuda_graphs=cuda_graphs)
    try:
        session = EngineSession(engines, executor, padding_safe=bundle.manifest.audio.padding_safe)
        check_unreplaced(engines)
    except BaseException:
        executor.__exit__(None, None, None)
        raise
    return session


def tensorrt_modules() -> tuple[dict[str, Any], dict[str, str]]:
    """The module of each flavour that can be imported, and why each of the others cannot."""
    found, missing = {}, {}
    # The names are spelt out, so that a search for the imports finds them.
    for flavour, load in {"tensorrt": _import_tensorrt, "tensorrt-rtx": _import_tensorrt_rtx}.items():
        try:
            module = load()
            _ = module.Runtime, module.__version__
        except (ImportError, OSError, RuntimeError, AttributeError) as error:  # broken installs raise each
            missing[flavour] = _reason(flavour, error)
        else:
            found[flavour] = module
    return found, missing


def tensorrt_versions() -> tuple[dict[str, str], dict[str, str]]:
    """The version of each flavour that can be imported, and why each of the others cannot."""
    found, missing = tensorrt_modules()
    return {flavour: _version(module) for flavour, module in found.items()}, missing


def cuda_python_problem() -> str | None:
    """Why NVIDIA's bindings of CUDA cannot be used; None where they can."""
    try:
        _cuda_calls()
    except SessionError as error:
        return str(error)
    return None


def _import_tensorrt() -> Any:
    import tensorrt  # noqa: PLC0415

    return tensorrt


def _import_tensorrt_rtx() -> Any:
    import tensorrt_rtx  # noqa: PLC0415

    return tensorrt_rtx


def _cuda_calls() -> CudaCalls:
    try:
        from cuda.bindings import runtime  # noqa: PLC0415
    except (ImportError, OSError, RuntimeError) as error:
        raise SessionError(
            f"NVIDIA's bindings of CUDA cannot be imported ({error}): pip install cuda-python"
        ) from error
    return CudaCalls(runtime)


def _reason(flavour: str, error: Exception) -> str:
    module = flavour.replace("-", "_")
    if isinstance(error, ModuleNotFoundError) and error.name == module:
        return f'is not installed (pip install "export-s2t[{flavour}]")'
    return f"cannot be imported ({' '.join(str(error).split())})"


def _version(module: Any) -> str:
    return str(module.__version__)

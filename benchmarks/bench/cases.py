"""Which cases bench-s2t measures, and which of them the others are compared with."""

from __future__ import annotations

import functools
import pkgutil
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from benchmarks import peers as peers_room
from benchmarks.peers.protocol import OWN, Case, Offer, peer_module
from s2t_runtime.sessions.open import ENGINES

EAGER: Final = "eager"
_BEST: Final = "fp32"


@functools.cache
def offered_peers() -> Mapping[str, tuple[tuple[str, Offer], ...]]:
    """Name after --peers -> (kind, offer) of each of its cases: whatever the folders of ``benchmarks/peers`` offer."""
    found: dict[str, tuple[tuple[str, Offer], ...]] = {}
    for folder in pkgutil.iter_modules(peers_room.__path__):
        if folder.ispkg:
            offers: Mapping[str, Sequence[Offer]] = getattr(peer_module(folder.name), "OFFERS", {})
            found |= {name: tuple((folder.name, one) for one in several) for name, several in offers.items()}
    return MappingProxyType(dict(sorted(found.items(), key=lambda item: (item[0] != EAGER, item[0]))))


def choose_cases(
    bundle: str,
    providers: Sequence[str],
    precisions: Sequence[str],
    *,
    peers: Sequence[str] = (),
    against: Sequence[str] = (),
    threads: int | None = None,
    spin: bool | None = None,
) -> tuple[Case, ...]:
    """The cases in the order of their turns: peers, then every provider with every precision.

    Args:
        bundle: its directory.
        providers: keys of ``s2t_runtime.sessions.open.PROVIDERS``.
        precisions: that the bundle holds.
        peers: keys of ``offered_peers``.
        against: the checkpoint that peers run, as ``check-s2t --against`` takes it.
        threads: of each case on the CPU; None leaves it to each.
        spin: whether threads of the bundle's cases spin between operators; None leaves it to the runtime.
    """
    device = "cpu" if "cpu" in providers else "cuda"
    shared: dict[str, Any] = {
        "bundle": bundle,
        "against": list(against),
        "device": device,
        "threads": threads,
    }
    cases = [
        Case(offer.name, kind, {**offer.settings, **shared}, offer.precision)
        for name in peers
        for kind, offer in offered_peers()[name]
    ]
    for provider in providers:
        # Engines have no threads, and say so where they are given any.
        asked = None if provider == ENGINES else threads
        told = {} if provider == ENGINES or spin is None else {"spin": spin}
        for precision in precisions:
            settings = {"bundle": bundle, "provider": provider, "precision": precision, "threads": asked}
            cases.append(Case(case_name(provider, precision), OWN, settings | told, precision))
    return tuple(cases)


def case_name(provider: str, precision: str) -> str:
    """Of a bundle's own case."""
    return f"tensorrt {precision}" if provider == ENGINES else f"onnxruntime {provider} {precision}"


def reference_order(cases: Sequence[Case]) -> list[str]:
    """Names of the cases, the best one to compare with first.

    Eager, then torch.compile, then the bundle itself: fp32 on the CPU, fp32, any; other peers last.
    """

    def rank(case: Case) -> tuple[bool, bool, bool, bool, bool]:
        on_cpu, compiled = case.settings.get("provider") == "cpu", "mode" in case.settings
        own = case.kind == OWN
        return (not is_checkpoint(case), compiled, not own, case.precision != _BEST, not on_cpu)

    return [case.name for case in sorted(cases, key=rank)]


def is_checkpoint(case: Case) -> bool:
    """Whether it is the checkpoint in PyTorch, which the bundle was made from."""
    return case.kind == "torch"


def with_reference(
    cases: Sequence[Case], bundle: str, held: Sequence[str], threads: int | None = None
) -> tuple[Case, ...]:
    """The cases, and the bundle's own fp32, untimed, where nothing else says what their answers are worth.

    Args:
        cases: of ``choose_cases``.
        bundle: its directory.
        held: precisions that the bundle has, those that are not measured among them.
        threads: of each case on the CPU.
    """
    told = any(is_checkpoint(case) or (case.kind == OWN and case.precision == _BEST) for case in cases)
    return tuple(cases) if told or _BEST not in held else (*cases, answering_case(bundle, held, threads))


def answering_case(bundle: str, held: Sequence[str], threads: int | None = None) -> Case:
    """The bundle on the CPU, in fp32 where it has that: it only answers, so that others can be compared with it."""
    precision = _BEST if _BEST in held else held[0]
    settings: dict[str, Any] = {"bundle": bundle, "provider": "cpu", "precision": precision}
    settings |= {} if threads is None else {"threads": threads}
    return Case(case_name("cpu", precision), OWN, settings, precision, timed=False)


def basis_sentence(basis: Case, cases: Sequence[Case], *, against: bool) -> str:
    """What parity means in a record, said once for all its rows.

    Args:
        basis: what answers are compared with.
        cases: all that were to be measured.
        against: whether there is a checkpoint for peers to run.
    """
    said = f"tokens and scores are compared with {basis.name}"
    if is_checkpoint(basis):
        return f"{said}, which runs the checkpoint in PyTorch"
    own = basis.kind == OWN
    is_what = "the bundle itself, not with" if own else "neither the bundle nor"
    # A bundle's own case comes before any other peer: here it failed where that one is the basis.
    failed = [case.name for case in cases if is_checkpoint(case) or (case.kind == OWN and not own)]
    if failed:
        reason = f"{', '.join(failed)} could not be measured"
    elif against:
        reason = f"--peers {EAGER} runs the checkpoint in PyTorch"
    else:
        reason = "--against CHECKPOINT compares with eager PyTorch"
    return f"{said}, {is_what} the checkpoint in PyTorch: {reason}"

"""A peer in a process of its own: its memory is nobody else's, and its failure ends no other case."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from benchmarks.errors import PeerError
from benchmarks.measuring.process_memory import process_memory
from benchmarks.peers.protocol import Answer, Case, Run, Task, open_peer, peer_module
from s2t_runtime.errors import S2TError

_PATIENCE_S: Final = 30
_LOOK_S: Final = 0.003
_QUIET_SHARE: Final = 0.1
_LONGEST_S: Final = 1.0


class PeerProcess:
    """See ``peer.Peer``; all times are taken in the process that decodes."""

    def __init__(self, case: Case) -> None:
        """Open a case's peer in a new process.

        Raises:
            PeerError: it cannot be opened; the message is its own.
        """
        self._name = case.name
        # Spawned: a fork would inherit this process's threads, and CUDA does not survive one.
        context = multiprocessing.get_context("spawn")
        self._pipe, end = context.Pipe()
        self._process = context.Process(target=_serve, args=(end, case), daemon=True)
        self._process.start()
        end.close()
        try:
            self.load_s: float
            self.threads: int | None
            self.load_s, self.threads = self._answer()
        except PeerError:
            self.close()
            raise

    def run(self, task: Task) -> Run:
        """See ``Peer``.

        Raises:
            PeerError: it failed.
        """
        result: Run = self._ask("run", task)
        return result

    def answer(self, task: Task) -> Answer:
        """See ``Peer``.

        Raises:
            PeerError: it failed.
        """
        result: Answer = self._ask("answer", task)
        return result

    def memory(self) -> Mapping[str, int]:
        """The process's memory in bytes, by name of ``process_memory.FIELDS``.

        Raises:
            PeerError: the process is gone.
        """
        result: dict[str, int] = self._ask("memory")
        return result

    def close(self) -> None:
        """End the process."""
        self._pipe.close()  # it reads the end of the pipe, closes the peer and ends
        self._process.join(_PATIENCE_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _ask(self, *message: object) -> Any:
        try:
            self._pipe.send(message)
        except OSError as error:
            raise self._gone() from error
        return self._answer()

    def _answer(self) -> Any:
        try:
            succeeded, value = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise self._gone() from error
        if not succeeded:
            raise PeerError(value)
        return value

    def _gone(self) -> PeerError:
        self._process.join(_PATIENCE_S)
        return PeerError(f"the process of {self._name} ended with exit code {self._process.exitcode}")


def has_preparation(case: Case) -> bool:
    """Whether there is something to do before it can be opened."""
    return hasattr(peer_module(case.kind), "prepare")


def prepared(case: Case, tasks: Sequence[Task], directory: Path) -> Case:
    """The case with the settings that its peer's ``prepare`` gives, which runs in a process of its own.

    Args:
        case: as it was chosen.
        tasks: that it will be asked.
        directory: an empty one, for what is made; it lives as long as the case.

    Raises:
        PeerError: it cannot be prepared; the message is its own.
    """
    context = multiprocessing.get_context("spawn")
    pipe, end = context.Pipe()
    process = context.Process(target=_prepare, args=(end, case, tasks, str(directory)), daemon=True)
    process.start()
    end.close()
    try:
        succeeded, value = pipe.recv()
    except EOFError:
        process.join(_PATIENCE_S)
        succeeded, value = False, f"preparing {case.name} ended with exit code {process.exitcode}"
    process.join(_PATIENCE_S)
    if not succeeded:
        raise PeerError(value)
    return replace(case, settings=value)


def _prepare(pipe: Connection, case: Case, tasks: Sequence[Task], directory: str) -> None:
    try:
        pipe.send((True, peer_module(case.kind).prepare(directory, tasks, **case.settings)))
    except Exception as error:  # noqa: BLE001 - of any library; the case is reported with it
        pipe.send((False, _sentence(error)))


def settle() -> None:
    """Wait until no thread of this process computes, a second at most.

    Pools of threads wait for more work by spinning (OpenMP of Intel's kind for 0.2 s), and would take the cores from
    the case whose turn is next.
    """
    end_s = time.perf_counter() + _LONGEST_S
    while time.perf_counter() < end_s:
        began_s, used_s = time.perf_counter(), time.process_time()
        time.sleep(_LOOK_S)
        if time.process_time() - used_s < _QUIET_SHARE * (time.perf_counter() - began_s):
            return


def _serve(pipe: Connection, case: Case) -> None:
    """Answer until the pipe is closed; each answer is (True, value) or (False, sentence)."""
    began_s = time.perf_counter()
    try:
        peer = open_peer(case)
    except Exception as error:  # noqa: BLE001 - of any library; the case is reported with it
        pipe.send((False, _sentence(error)))
        return
    pipe.send((True, (time.perf_counter() - began_s, peer.threads)))
    tasks = {"run": peer.run, "answer": peer.answer}
    while True:
        try:
            what, *arguments = pipe.recv()
        except EOFError:
            break
        try:
            value = process_memory() if what == "memory" else tasks[what](*arguments)
            settle()
            pipe.send((True, value))
        except Exception as error:  # noqa: BLE001
            pipe.send((False, _sentence(error)))
    peer.close()


def _sentence(error: Exception) -> str:
    said = " ".join(str(error).split())
    return said if isinstance(error, S2TError) else f"{type(error).__name__}: {said[:300]}"

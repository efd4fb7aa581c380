"""bench-s2t from a bundle to its reports: once for real, and with peers whose times are drawn."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.places import ROOT
from support.records.latency_records import SMALL, DrawnPeer

from benchmarks.bench import bench, recorded_run
from benchmarks.bench.bench import measure_bundle
from benchmarks.bench.request import BenchRequest
from benchmarks.errors import BenchmarkError, PeerError
from benchmarks.measuring import bandwidth_floor
from benchmarks.measuring.bandwidth_floor import Bandwidth
from benchmarks.peers.protocol import Answer, Case, Task
from exporter.errors import CheckpointError
from s2t_runtime import SpeechToText
from s2t_runtime.errors import OptionError

RECORDINGS = ROOT / "examples" / "digits" / "recordings"
OWN = "onnxruntime cpu fp32"


@pytest.fixture(autouse=True)
def _bandwidth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bandwidth_floor, "measured_bandwidth", lambda *_: Bandwidth(1e10, "for the test"))


def started(monkeypatch: pytest.MonkeyPatch, fails: tuple[str, ...] = ()) -> list[Case]:
    """Put drawn peers in the place of processes; the cases that were opened."""
    opened: list[Case] = []

    def start(case: Case) -> DrawnPeer:
        opened.append(case)
        if case.name in fails:
            raise PeerError("no memory")
        return DrawnPeer(case, np.random.default_rng(1), 0.01, 1.0)

    monkeypatch.setattr(recorded_run, "PeerProcess", start)
    return opened


def small_request(bundle: Path, output: Path, **further: Any) -> BenchRequest:
    usual: dict[str, Any] = {
        "durations_s": (1.0,),
        "beams": (2,),
        "tokens": 4,
        "warmups": 1,
        "repetitions": 2,
    }
    return BenchRequest(bundle, output=output, **{**usual, **further})


def measured(request: BenchRequest) -> tuple[str, dict[str, Any]]:
    said = measure_bundle(request)
    record: dict[str, Any] = json.loads((request.output / "latency.json").read_text(encoding="utf-8"))
    return said, record


def test_a_bundle_is_measured(digits_bundle: Path, tmp_path: Path, model: SpeechToText) -> None:
    recording = RECORDINGS / "one_digit_7.wav"
    references = tmp_path / "references.tsv"
    references.write_text(f"{recording.name}\tSieben!\n", encoding="utf-8")
    request = small_request(
        digits_bundle,
        tmp_path / "out",
        audio=(recording,),
        references=references,
        language="de",
        threads=1,
        batches=(1, 2),
        tokens=12,
    )
    said, record = measured(request)
    names = ["1 s, 2 beams", "1 s, batch 2, 2 beams", "1 recording, 2 beams"]
    assert [(row["case"], row["task"]) for row in record["rows"]] == [(OWN, name) for name in names]
    text = model.generate(recording, language="de", num_beams=2).text
    assert record["rows"][2]["texts"] == [text]
    assert record["rows"][2]["word_errors"]["word_error_rate"] == float(text != "sieben")
    assert [len(run) for run in record["rows"][0]["samples_s"]["step"]] == [9, 9]  # two of twelve are forced
    assert len(record["rows"][1]["tokens"]) == 2
    footprint = record["footprints"][OWN]
    assert 20e6 < footprint["warm"]["VmHWM"] <= footprint["host"]["VmHWM"]
    assert footprint["load_s"] > 0
    assert record["environment"]["threads"]["asked"] == 1
    assert record["floor"]["device"] == "cpu"
    assert record["floor"]["step_s"]["fp32"] > 0
    out = request.output
    assert said.endswith(f"written: {out}/latency.json, {out}/latency.md, {out}/latency.html\n")
    table = re.search(rf"^\| {OWN} \| .*$", said, re.MULTILINE)
    assert table
    assert table[0] in (out / "latency.md").read_text(encoding="utf-8")
    assert (out / "latency.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert "the bundle itself, not with the checkpoint in PyTorch: --against CHECKPOINT compares with" in said


def test_peers_go_first_and_are_what_answers_are_compared_with(
    digits_bundle: Path, digits_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = started(monkeypatch)
    against = (str(digits_checkpoint),)
    _, record = measured(
        small_request(digits_bundle, tmp_path, against=against, peers=("compile", "eager"), threads=2)
    )
    assert [case.name for case in opened] == ["torch.compile fp32", "eager fp32", OWN]
    assert opened[1].settings == {
        "precision": "fp32", "bundle": str(digits_bundle), "against": list(against), "device": "cpu", "threads": 2
    }  # fmt: skip
    assert opened[0].settings["mode"] == "compile"
    assert opened[2].settings == {
        "bundle": str(digits_bundle), "provider": "cpu", "precision": "fp32", "threads": 2
    }  # fmt: skip
    assert record["base"] == "eager fp32"
    assert set(record["rows"][2]["parity"]) == {"eager fp32"}
    assert record["parity_basis"] == (
        "tokens and scores are compared with eager fp32, which runs the checkpoint in PyTorch"
    )


def test_where_eager_fails_the_record_says_what_stands_for_it(
    digits_bundle: Path, digits_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started(monkeypatch, fails=("eager fp32",))
    request = small_request(digits_bundle, tmp_path, against=(str(digits_checkpoint),), peers=("eager",))
    said, record = measured(request)
    assert record["base"] == OWN
    assert record["left_out"] == {"eager fp32": "no memory"}
    wanted = (
        f"tokens and scores are compared with {OWN}, the bundle itself, not with the checkpoint in PyTorch: eager "
        "fp32 could not be measured"
    )
    assert record["parity_basis"] == wanted
    assert "- eager fp32: no memory\n" in said


def test_nothing_that_can_be_measured(
    digits_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started(monkeypatch, fails=(OWN,))
    message = f"no case could be measured ({OWN}: no memory): doctor-s2t says what this machine can run"
    with pytest.raises(BenchmarkError, match=f"^{re.escape(message)}$"):
        measure_bundle(small_request(digits_bundle, tmp_path))


@pytest.mark.parametrize(
    ("further", "error", "message"),
    [
        ({"precisions": ("int3",)}, OptionError, r"^precision 'int3' is not in .*, which has fp32: choose"),
        (
            {"against": ("a", "b")},
            CheckpointError,
            r"^--against names a, b, but the bundle was made from one",
        ),
        ({"durations_s": (90.0,)}, BenchmarkError, r"^--durations 90: the bundle takes"),
        ({"language": "tlh"}, BenchmarkError, r"^--language tlh is not in the bundle"),
    ],
)
def test_what_the_bundle_cannot_is_refused_before_anything_is_opened(
    digits_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, further: dict[str, Any],
    error: type[Exception], message: str,
) -> None:  # fmt: skip
    opened = started(monkeypatch)
    with pytest.raises(error, match=message):
        measure_bundle(small_request(digits_bundle, tmp_path, **further))
    assert opened == []


def test_a_directory_that_cannot_be_written(
    digits_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started(monkeypatch)
    (tmp_path / "latency.json").mkdir()
    message = rf"^results cannot be written to {re.escape(str(tmp_path))} \(Is a directory\): give -o another"
    with pytest.raises(BenchmarkError, match=message):
        measure_bundle(small_request(digits_bundle, tmp_path))


def test_without_torch_there_is_no_floor_but_the_line_to_install_it(
    digits_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started(monkeypatch)
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "torch" else find_spec(name)
    )
    _, record = measured(small_request(digits_bundle, tmp_path))
    assert record["left_out"] == {"bandwidth floor": 'torch not installed: pip install "export-s2t[export]"'}


def test_a_gpu_is_looked_at_where_it_is_asked_for(
    digits_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = started(monkeypatch)
    used = iter(range(0, 10_000, 7))

    @dataclasses.dataclass(frozen=True)
    class Device:
        bus_id: str = "0000:3B:00.0"
        target: str = "sm90"

        def used_bytes(self) -> int:
            return next(used)

    monkeypatch.setattr(bench, "cuda_driver_problem", lambda: None)
    monkeypatch.setattr(bench, "first_gpu", Device)
    monkeypatch.setattr("benchmarks.records.environment.gpu_state", lambda _: None)
    _, record = measured(small_request(digits_bundle, tmp_path, providers=("cuda", "tensorrt"), threads=2))
    assert [case.name for case in opened] == ["onnxruntime cuda fp32", "tensorrt fp32"]
    assert [case.settings["threads"] for case in opened] == [2, None]
    assert {one["device_bytes"] for one in record["footprints"].values()} == {7}
    assert record["floor"]["device"] == "cuda"
    monkeypatch.setattr(bench, "cuda_driver_problem", lambda: "no NVIDIA driver found")
    _, record = measured(small_request(digits_bundle, tmp_path, providers=("cuda",)))
    assert {one["device_bytes"] for one in record["footprints"].values()} == {None}


def test_a_reference_that_only_answers_gives_every_row_its_quality(
    digits_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = started(monkeypatch)
    monkeypatch.setattr(bench, "choose_cases", lambda *_, **__: (SMALL,))
    said, record = measured(small_request(digits_bundle, tmp_path))
    assert [(case.name, case.timed) for case in opened] == [(SMALL.name, True), (OWN, False)]
    assert record["base"] == OWN
    (row,) = [row for row in record["rows"] if row["samples_s"]]
    assert (row["case"], row["parity"][OWN]["agreeing"]) == (SMALL.name, 3)
    table = [line for line in said.splitlines() if line.startswith("| case | utterance ms | tokens agree |")]
    assert table  # and no column of times as fast as what was not timed
    assert f"| {OWN} |" not in said
    assert re.search(rf"^\| {SMALL.name} \| [\d.,]+ \| 3/4 \|", said, re.MULTILINE)


def test_a_reference_that_only_answers_is_nothing_to_report(
    digits_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started(monkeypatch, fails=(SMALL.name,))
    monkeypatch.setattr(bench, "choose_cases", lambda *_, **__: (SMALL,))
    message = rf"^no case could be measured \({SMALL.name}: no memory\): doctor-s2t says"
    with pytest.raises(BenchmarkError, match=message):
        measure_bundle(small_request(digits_bundle, tmp_path))


def test_a_case_that_answers_otherwise_is_seen(
    digits_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = DrawnPeer.answer

    def wrong(self: DrawnPeer, task: Task) -> Answer:
        found = answer(self, task)
        return dataclasses.replace(found, tokens=((0, 10, 99, 99, 99),)) if self.case.name == OWN else found

    monkeypatch.setattr(DrawnPeer, "answer", wrong)
    started(monkeypatch)
    said, record = measured(
        small_request(digits_bundle, tmp_path, against=(str(tmp_path),), peers=("eager",))
    )
    assert record["rows"][1]["parity"]["eager fp32"]["agreeing"] == 1
    assert "| 1/4 |" in said
    assert f"not the same tokens in every repetition: {OWN} (1 s, 2 beams)" in said

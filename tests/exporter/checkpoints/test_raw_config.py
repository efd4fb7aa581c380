"""config.json as people published it: other classes, quantised weights, leftovers that change nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from support.tiny.damaged_checkpoint import WEIGHTS, change_json, load, reasons, refusal

WANTED = "export-s2t takes 'speech-encoder-decoder' (SpeechEncoderDecoderModel)"
CTC = ", an encoder with a CTC head, and no decoder writes its text: optimum-cli export onnx takes it"
OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "wav2vec2": (
        {"model_type": "wav2vec2", "architectures": ["Wav2Vec2ForCTC"]},
        f". This is Wav2Vec2ForCTC{CTC}",
    ),
    "hubert": (
        {"model_type": "hubert", "architectures": ["HubertForCTC"]},
        f". This is HubertForCTC{CTC}",
    ),
    "whisper": (
        {"model_type": "whisper", "architectures": ["WhisperForConditionalGeneration"]},
        ". This is Whisper: optimum-cli export onnx, faster-whisper and whisper.cpp take it",
    ),
    "speech_to_text": (
        {"model_type": "speech_to_text"},
        ". This is Speech2TextForConditionalGeneration, a class of its own: optimum-cli export onnx takes it",
    ),
    "speecht5": (
        {"model_type": "speecht5"},
        ". This is SpeechT5, a class of its own: optimum-cli export onnx takes it",
    ),
    "seamless_m4t": (
        {"model_type": "seamless_m4t"},
        ". This is SeamlessM4T, a class of its own: run it in transformers",
    ),
    "seamless_m4t_v2": (
        {"model_type": "seamless_m4t_v2"},
        ". This is SeamlessM4T v2, a class of its own: run it in transformers",
    ),
    "moonshine": (
        {"model_type": "moonshine"},
        ". This is Moonshine, a class of its own: optimum-cli export onnx takes it",
    ),
    "vision-encoder-decoder": (
        {"model_type": "vision-encoder-decoder"},
        ". This is VisionEncoderDecoderModel, which reads images: optimum-cli export onnx takes it",
    ),
    "encoder-decoder": (
        {"model_type": "encoder-decoder"},
        ". This is EncoderDecoderModel, which reads text: optimum-cli export onnx takes it",
    ),
    "mbart": ({"model_type": "mbart"}, ""),
    "joint_aed_ctc_speech-encoder-decoder": (
        {"model_type": "joint_aed_ctc_speech-encoder-decoder"},
        ". This is a subclass of it with parts of its own: save the SpeechEncoderDecoderModel in it with "
        "save_pretrained(), if that decodes without them",
    ),
    "speech_encoder_decoder": ({"model_type": "speech_encoder_decoder"}, ": write it so"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_another_class_is_called_by_its_name(checkpoint: Path, kind: str) -> None:
    document, said = OTHERS[kind]
    (checkpoint / "config.json").write_text(json.dumps(document), encoding="utf-8")
    assert reasons(checkpoint) == (f"config.json has model_type {kind!r}; {WANTED}{said}",)


def test_code_of_its_own_is_named_with_another_class(checkpoint: Path) -> None:
    document = {"model_type": "mbart", "auto_map": {"AutoModel": "modeling.Planted"}}
    (checkpoint / "config.json").write_text(json.dumps(document), encoding="utf-8")
    first, second = reasons(checkpoint)
    assert first == f"config.json has model_type 'mbart'; {WANTED}"
    assert second.startswith("config.json names code of the checkpoint's own (auto_map: modeling.Planted)")


QUANTISED = (
    "{where} has a quantization_config ({method}), so the weights are quantised already, and an export starts from "
    "floating weights: export the model that was quantised, and ask for --precision int8; or load this one where its "
    "library runs, dequantize() and save_pretrained()"
)


@pytest.mark.parametrize(
    ("part", "settings", "method"),
    [
        (None, {"quant_method": "bitsandbytes", "load_in_8bit": True}, "bitsandbytes"),
        (None, {"load_in_4bit": True}, "bitsandbytes"),
        (None, {"quant_method": "gptq", "bits": 4}, "gptq"),
        ("decoder", {"quant_method": "awq", "bits": 4}, "awq"),
        ("encoder", {"quant_method": "whatever"}, "whatever"),
    ],
)
def test_quantised_weights_are_refused_before_they_are_read(
    checkpoint: Path, part: str | None, settings: dict[str, Any], method: str
) -> None:
    change_json(
        checkpoint / "config.json", lambda c: (c[part] if part else c).update(quantization_config=settings)
    )
    (checkpoint / WEIGHTS).write_bytes(b"never read")
    where = f"{part} of config.json" if part else "config.json"
    assert reasons(checkpoint) == (QUANTISED.format(where=where, method=method),)


def test_an_adapter_layer_under_its_old_name(checkpoint: Path) -> None:
    """transformers passes the name over, and would then find weights that it has no place for."""
    change_json(checkpoint / "config.json", lambda c: c["encoder"].update(add_adaptor=True))
    (checkpoint / WEIGHTS).write_bytes(b"never read")
    change_json(checkpoint / "config.json", lambda c: c["encoder"].pop("add_adapter", None))
    assert reasons(checkpoint) == (
        "the encoder of config.json has add_adaptor, which transformers spells add_adapter since 4.13, as it does the "
        "weights of these layers: take a newer revision of the checkpoint (facebook/wav2vec2-xls-r-300m-en-to-15 has "
        "one)",
    )


def test_an_old_name_beside_todays_is_no_hindrance(tiny: Path, checkpoint: Path) -> None:
    change_json(
        checkpoint / "config.json", lambda c: c["encoder"].update(add_adaptor=True, add_adapter=False)
    )
    assert load(checkpoint).model.num_parameters() == load(tiny).model.num_parameters()


def everywhere(checkpoint: Path, **values: Any) -> None:
    change_json(
        checkpoint / "config.json",
        lambda c: [held.update(values) for held in (c, c["encoder"], c["decoder"])],
    )


@pytest.mark.parametrize(
    "leftover",
    [
        {"attn_implementation": "flash_attention_2"},
        {"_attn_implementation": "flash_attention_2"},
        {"_attn_implementation_internal": "flash_attention_2"},
        {"_flash_attn_2_enabled": True},
        {"return_dict": False},
        {"quantization_config": None},
        {"gradient_checkpointing": True},
        {"output_attentions": True},
        {"use_cache": False},
        {"torchscript": True},
    ],
)
def test_what_a_graph_decides_for_itself_is_no_hindrance(
    tiny: Path, checkpoint: Path, leftover: dict[str, Any]
) -> None:
    everywhere(checkpoint, **leftover)
    loaded, whole = load(checkpoint), load(tiny)
    features = whole.extractor(
        [0.01 * (n % 97) for n in range(8000)], sampling_rate=16000, return_tensors="pt"
    )
    with torch.no_grad():
        tokens = [one.model.generate(**features, max_new_tokens=6).tolist() for one in (loaded, whole)]
    assert tokens[0] == tokens[1]


def test_a_directory_above_the_checkpoints(tiny: Path, tmp_path: Path) -> None:
    for steps in (500, 1000, 90):
        shutil.copytree(tiny, tmp_path / "out" / f"checkpoint-{steps}")
    message = refusal(tmp_path / "out")
    assert (
        message
        == f" has no config.json, but 3 checkpoints below it: give {tmp_path / 'out' / 'checkpoint-1000'}"
    )
    shutil.rmtree(tmp_path / "out" / "checkpoint-500")
    shutil.rmtree(tmp_path / "out" / "checkpoint-90")
    assert " 1 checkpoint below it: " in refusal(tmp_path / "out")


ADAPTER = (
    "there is an adapter ({files}), whose weights are not part of the model's own: load it with peft, call "
    "merge_and_unload() and save_pretrained() into another directory, and export that (with peft installed here, an "
    "export merges what lies beside whole weights); without the adapter, remove its files"
)


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_model.bin"])
def test_an_adapter_beside_the_weights(checkpoint: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.checkpoints.adapters.find_spec", lambda _: None)
    (checkpoint / "adapter_config.json").write_text('{"peft_type": "LORA"}', encoding="utf-8")
    (checkpoint / name).write_bytes(b"never read")
    assert reasons(checkpoint) == (ADAPTER.format(files=f"adapter_config.json, {name}"),)


def test_an_adapter_alone(checkpoint: Path) -> None:
    (checkpoint / "adapter_config.json").write_text('{"peft_type": "LORA"}', encoding="utf-8")
    (checkpoint / WEIGHTS).unlink()
    assert reasons(checkpoint) == (ADAPTER.format(files="adapter_config.json"),)
    (checkpoint / "config.json").unlink()
    assert refusal(checkpoint) == (
        " has no config.json, but an adapter (adapter_config.json): load it on its model with peft, call "
        "merge_and_unload() and save_pretrained(), and give that directory"
    )

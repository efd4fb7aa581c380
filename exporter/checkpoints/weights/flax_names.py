"""Flax's weights under the names, and in the orientation, that torch's model has for them.

The rules are those of ``load_flax_weights_in_pytorch_model`` in transformers 4's ``modeling_flax_pytorch_utils.py``,
which transformers 5 no longer has.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

_WEIGHTS = {"scale": "weight", "embedding": "weight"}
"""Weights of norms and embeddings, whatever part of whatever model they are in."""
_WORDS = {
    **_WEIGHTS,
    "mean": "running_mean",
    "var": "running_var",
    "weight_g": "parametrizations.weight.original0",
    "weight_v": "parametrizations.weight.original1",
}
"""What Flax calls the parts of a module -> torch's word, where the model has one of it."""
_TURNED = (nn.Linear, nn.Conv1d, Conv1D)
"""Modules whose kernel has its axes the other way round. A square kernel cannot tell, so its module does.

Dense is (in, out) for torch's (out, in); a convolution (width, in, out) for (out, in, width). GPT-2's Conv1D is (in,
out) in torch, where FlaxConv1D has (out, in) and transposes it as it computes.
"""


def torch_state(
    flat: MutableMapping[tuple[str, ...], torch.Tensor], model: nn.Module
) -> dict[str, torch.Tensor]:
    """The weights as a state dict of ``model``.

    What has no place in the model, or one that another array has taken, keeps its own name, the keys joined by dots
    (with ``weight`` for ``scale`` and ``embedding``); what has another number of axes than its place stays as it is.
    Whoever loads the state can name both.

    Args:
        flat: path of keys -> array, as Flax saves it. It is emptied: a kernel is copied as it is turned, and must not
            be held twice.
        model: of the same configuration; its weights are not looked at, and may be on the meta device.

    Returns:
        name -> tensor, contiguous, in the dtype that it had.
    """
    modules = dict(model.named_modules())
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    prefix = str(getattr(model, "base_model_prefix", ""))
    own_names = {".".join(keys) for keys in flat}
    state: dict[str, torch.Tensor] = {}
    for keys in list(flat):
        tensor, own_name = flat.pop(keys), ".".join(keys)
        place = _place(keys, modules, shapes, prefix)
        taken = own_names - {own_name} | state.keys()
        candidates = (place, ".".join((*keys[:-1], _WEIGHTS.get(keys[-1], keys[-1]))))
        name = next((one for one in candidates if one is not None and one not in taken), own_name)
        turned = keys[-1] == "kernel" and name == place and tensor.dim() == len(shapes[name])
        state[name] = tensor.permute(*range(tensor.dim())[::-1]).contiguous() if turned else tensor
    _give_heads_their_bias(state, shapes)
    return state


def move_positions(state: MutableMapping[str, torch.Tensor], model: nn.Module) -> tuple[str, ...]:
    """Moves a decoder's learned positions to the rows where torch reads them, where Flax reads others.

    FlaxSpeechEncoderDecoderModel counts positions from 0, whatever the decoder. The classes of RoBERTa's family count
    from behind the id of the padding token in torch, so row i becomes row ``padding_idx + 1 + i``. The last rows, which
    no sequence that torch can take gets to, come to stand first. torch gives a start token that is the padding token
    the padding's row, and counts from there: with such a start token, no table gives what Flax gives.

    Args:
        state: of ``torch_state``, from a file that FlaxSpeechEncoderDecoderModel saved; the table is replaced in it.
            Files of a decoder alone count as torch does.
        model: the SpeechEncoderDecoderModel, as for ``torch_state``.

    Returns:
        The names of the tables that were moved: one for RoBERTa, XLM-RoBERTa and RoBERTa-PreLayerNorm, otherwise none.
    """
    moved = []
    for name, module in model.named_modules():
        table = f"{name}.position_embeddings.weight"
        if hasattr(module, "create_position_ids_from_input_ids") and table in state:
            state[table] = state[table].roll(int(module.padding_idx) + 1, dims=0)
            moved.append(table)
    return tuple(moved)


def _give_heads_their_bias(state: dict[str, torch.Tensor], shapes: dict[str, torch.Size]) -> None:
    """The heads of BERT's family have one bias, which torch calls by two names, and Flax by the first of them.

    Where the head is not tied to the embeddings, torch tells them apart, and adds the second: ``decoder.bias``.
    """
    for name in shapes.keys() - state.keys():
        above, found, _ = name.rpartition(".decoder.bias")
        if found and f"{above}.bias" in state:
            state[name] = state[f"{above}.bias"].clone()


def _place(
    keys: tuple[str, ...], modules: dict[str, nn.Module], shapes: dict[str, torch.Size], prefix: str
) -> str | None:
    """The name that the model has for an array, if it has any.

    A file of the bare model lacks the prefix that one with a head has, and the other way round.
    """
    *above, leaf = keys
    inner = above[1:] if above[:1] == [prefix] else [prefix, *above]
    names = (name for owner in (above, inner) for name in _names(".".join(owner), leaf, modules))
    return next((name for name in names if name in shapes), None)


def _names(owner: str, leaf: str, modules: dict[str, nn.Module]) -> Iterator[str]:
    """What torch may call an array of a module."""
    if leaf == "kernel":
        if isinstance(modules.get(owner), _TURNED):
            yield f"{owner}.weight"
        return
    for word in (leaf, _WORDS.get(leaf, leaf)):
        yield f"{owner}.{word}" if owner else word

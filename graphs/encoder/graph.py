"""The encoder graph: raw audio -> encoder states, their mask, cross-attention keys and values."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from graphs.cache_layout import empty_cache, tensors_from_cache
from graphs.encoder.families import PositionTables, traceable_encoder
from graphs.encoder.group_norm import exact_group_norms
from graphs.encoder.log_mel import LogMelFeatures, LogMelSettings
from graphs.encoder.waveform import WaveformFeatures, WaveformSettings, mask_from_lengths

if TYPE_CHECKING:
    from transformers import PreTrainedModel, SpeechEncoderDecoderModel


@contextmanager
def masks_from_lengths(encoder: PreTrainedModel, lengths: Tensor) -> Iterator[None]:
    """Let the encoder derive its frame masks from lengths.

    transformers sums the sample mask with CumSum and writes ones by index, which TensorRT cannot
    take; for every length of at least one frame the masks are the same.
    """

    def feature_vector_mask(frames: int, _attention_mask: Tensor, add_adapter: bool | None = None) -> Tensor:  # noqa: FBT001
        before = add_adapter is False
        return mask_from_lengths(frame_lengths(encoder, lengths, before_adapter=before), frames)

    encoder._get_feature_vector_attention_mask = feature_vector_mask  # type: ignore[assignment]  # noqa: SLF001
    try:
        yield
    finally:
        del encoder._get_feature_vector_attention_mask  # noqa: SLF001


def frame_lengths(encoder: Any, lengths: Tensor, *, before_adapter: bool = False) -> Tensor:
    """Frames per utterance, int64 [batch], of inputs (samples or stacked frames) per utterance."""
    count = encoder._get_feat_extract_output_lengths  # noqa: SLF001
    # Families without an adapter (hubert) do not know the argument.
    knows_adapters = "add_adapter" in inspect.signature(count).parameters
    arguments = {"add_adapter": False} if before_adapter and knows_adapters else {}
    return count(lengths, **arguments).to(torch.long)


class MaskedAssignment(TorchFunctionMode):
    """Runs ``states[bool_mask] = number`` as masked_fill_.

    The encoders zero their padded frames this way. Traced as written it becomes NonZero and
    ScatterND, whose sizes depend on the data, so TensorRT refuses the graph.
    """

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func is Tensor.__setitem__:
            target, index, value = args
            if isinstance(index, Tensor) and index.dtype == torch.bool and isinstance(value, int | float):
                # The mask may cover fewer axes than the target; masked_fill_ aligns at the end.
                return target.masked_fill_(
                    index.reshape(*index.shape, *[1] * (target.ndim - index.ndim)), value
                )
        return func(*args, **(kwargs or {}))


FeatureSettings = WaveformSettings | LogMelSettings


def feature_module(settings: FeatureSettings) -> WaveformFeatures | LogMelFeatures:
    """The feature extraction that the settings describe."""
    return LogMelFeatures(settings) if isinstance(settings, LogMelSettings) else WaveformFeatures(settings)


class EncoderGraph(nn.Module):
    """Wraps a checkpoint's encoder, its projection to the decoder and the decoder's cross projections."""

    def __init__(
        self,
        model: SpeechEncoderDecoderModel,
        settings: FeatureSettings,
        *,
        max_samples: int = 0,
        state_type: torch.dtype = torch.float32,
    ) -> None:
        """Wrap a model, which stays as it is.

        Args:
            model: in evaluation mode.
            settings: of its feature extractor.
            max_samples: the longest audio that a trace of this module must take; position tables that end
                before it are extended.
            state_type: of encoder states, keys and values, whatever the model computes in.
        """
        super().__init__()
        self.features = feature_module(settings)
        self.state_type = state_type
        self.encoder = model.encoder
        self.decoder = model.decoder
        # The class builds enc_to_dec_proj by the same condition that its forward uses it by.
        self.enc_to_dec_proj = getattr(model, "enc_to_dec_proj", None)
        longest = frame_lengths(
            self.encoder, self.features.lengths(torch.tensor([max_samples])), before_adapter=True
        )
        self.positions = PositionTables(self.encoder, int(longest))

    def forward(self, audio: Tensor, audio_lengths: Tensor) -> tuple[Tensor, ...]:
        """Encode a padded batch.

        Args:
            audio: float32 [batch, samples], raw samples at the checkpoint's rate.
            audio_lengths: int64 [batch], samples before each utterance's padding.

        Returns:
            encoder_states [batch, frames, hidden], encoder_mask bool [batch, frames], then
            cross_key.N, cross_value.N [batch, heads, frames, head_dim] layer by layer, all but the mask of
            ``state_type``.
        """
        states, mask = self.encode(audio, audio_lengths)
        if self.enc_to_dec_proj is not None:
            states = self.enc_to_dec_proj(states)
        states = states.to(self.state_type)
        return states, mask, *(tensor.to(self.state_type) for tensor in self.cross_keys_values(states))

    def encode(self, audio: Tensor, audio_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The encoder's own states [batch, frames, width] and their mask bool [batch, frames]."""
        values, lengths = self.features(audio, audio_lengths), self.features.lengths(audio_lengths)
        with (
            MaskedAssignment(),
            self.positions.in_use(),
            traceable_encoder(self.encoder),
            exact_group_norms(self.encoder),
        ):
            if self.features.settings.masks_padding:
                valid = mask_from_lengths(lengths, values.shape[1])
                with masks_from_lengths(self.encoder, lengths):
                    states = self.encoder(values, attention_mask=valid, return_dict=True).last_hidden_state
                mask = mask_from_lengths(frame_lengths(self.encoder, lengths), states.shape[1])
            else:
                # Such checkpoints get no mask at all: every frame of the padded batch is attended to.
                states = self.encoder(values, return_dict=True).last_hidden_state
                mask = mask_from_lengths(torch.full_like(lengths, states.shape[1]), states.shape[1])
        return states, mask

    def cross_keys_values(self, states: Tensor) -> list[Tensor]:
        """Project the states by every decoder layer's cross-attention.

        Generic over decoders: one dummy token is decoded and only the cross cache is kept, so all
        else of that pass is dead code, which the exporter removes.
        """
        cache = empty_cache()
        token = torch.zeros((states.shape[0], 1), dtype=torch.long)
        # An adapter leaves its states transposed, which GPT-2's projections take at batch 1 only.
        states = states.contiguous()
        self.decoder(input_ids=token, encoder_hidden_states=states, past_key_values=cache, use_cache=True)
        return tensors_from_cache(cache.cross_attention_cache)

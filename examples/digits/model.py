"""The untrained digits model: xls-r-300m-en-to-15 in miniature, and its tokenizer."""

from __future__ import annotations

from corpus import LANGUAGES, words
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    GenerationConfig,
    MBartConfig,
    MBartForCausalLM,
    PreTrainedTokenizerFast,
    SpeechEncoderDecoderConfig,
    SpeechEncoderDecoderModel,
    Wav2Vec2Config,
    Wav2Vec2Model,
)

BOS, PAD, EOS, UNK = 0, 1, 2, 3


def build_tokenizer(size: int = 400) -> PreTrainedTokenizerFast:
    """BPE with Metaspace over the words of every number in every language; tags are special tokens."""
    tags = [f"{language}_XX" for language in LANGUAGES]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A", pair="$A $B", special_tokens=[])
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=["<s>", "<pad>", "</s>", "<unk>", *tags], show_progress=False
    )
    sentences = [words(number, language) for language in LANGUAGES for number in range(10_000)]
    tokenizer.train_from_iterator(sentences, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        extra_special_tokens=tags,
    )


def build_model(vocab_size: int) -> SpeechEncoderDecoderModel:
    """The miniature of xls-r-300m-en-to-15: 2.6 million parameters."""
    encoder = Wav2Vec2Config(
        hidden_size=160,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=448,
        conv_dim=(32, 48, 64, 64, 96, 96, 96),
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        # A narrower positional convolution never learns the order of the digits.
        num_conv_pos_embeddings=128,
        num_conv_pos_embedding_groups=16,
        add_adapter=True,
        num_adapter_layers=1,
        output_hidden_size=160,
        vocab_size=vocab_size,
        apply_spec_augment=False,
        mask_time_prob=0.0,
        layerdrop=0.0,
        hidden_dropout=0.05,
        attention_dropout=0.0,
        activation_dropout=0.0,
    )
    decoder = MBartConfig(
        vocab_size=vocab_size,
        d_model=160,
        decoder_layers=3,
        # transformers sizes the decoder's cache by encoder_layers: it must not be smaller.
        encoder_layers=3,
        decoder_attention_heads=4,
        decoder_ffn_dim=448,
        max_position_embeddings=128,
        scale_embedding=True,
        dropout=0.05,
        is_decoder=True,
        is_encoder_decoder=False,
        add_cross_attention=True,
    )
    config = SpeechEncoderDecoderConfig.from_encoder_decoder_configs(
        encoder, decoder, decoder_start_token_id=EOS, pad_token_id=PAD, eos_token_id=EOS, bos_token_id=BOS
    )
    model = SpeechEncoderDecoderModel(
        encoder=Wav2Vec2Model(encoder), decoder=MBartForCausalLM(decoder), config=config
    )
    model.generation_config = GenerationConfig(
        bos_token_id=BOS,
        pad_token_id=PAD,
        eos_token_id=EOS,
        decoder_start_token_id=EOS,
        forced_eos_token_id=EOS,
        max_length=64,
        num_beams=5,
        early_stopping=True,
    )
    return model

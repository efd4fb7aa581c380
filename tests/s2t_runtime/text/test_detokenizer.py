"""Every step of the joining rules against the decoder of the tokenizers library that it stands for."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models

from s2t_runtime.bundles.manifest import Detokenizer, JoiningStep
from s2t_runtime.errors import BundleError
from s2t_runtime.text.detokenizer import join_tokens

FUSE = JoiningStep("join", content="")
SPACES = JoiningStep("replace", pattern="▁", content=" ")
BYTES = JoiningStep("byte_fallback")
STRIP = JoiningStep("strip", content=" ", count=1)
CASES: dict[str, tuple[decoders.Decoder, tuple[JoiningStep, ...]]] = {
    "replace": (decoders.Replace("▁", " "), (SPACES,)),
    "replace several": (decoders.Replace("aa", "a"), (JoiningStep("replace", pattern="aa", content="a"),)),
    "byte fallback": (decoders.ByteFallback(), (BYTES,)),
    "byte fallback, then each": (
        decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(), decoders.Strip("\ufffd", 1, 0)]),
        (
            BYTES,
            JoiningStep("metaspace", pattern="▁", prepend_scheme="always"),
            JoiningStep("strip", content="\ufffd", count=1),
        ),
    ),
    "byte level": (decoders.ByteLevel(), (JoiningStep("byte_level"),)),
    "strip": (decoders.Strip(" ", 2, 0), (JoiningStep("strip", content=" ", count=2),)),
    "fuse and strip": (decoders.Sequence([decoders.Fuse(), decoders.Strip(" ", 1, 0)]), (FUSE, STRIP)),
    "trim": (
        decoders.Sequence([decoders.Fuse(), decoders.Replace(Regex(r"\A[ a]+|[ a]+\z"), "")]),
        (FUSE, JoiningStep("trim", content=" a")),
    ),
    "suffix": (decoders.BPEDecoder("</w>"), (JoiningStep("suffix", pattern="</w>"),)),
    "ctc": (
        decoders.CTC("<pad>", "|", cleanup=False),
        (JoiningStep("ctc", pattern="<pad>", content="|"),),
    ),
    "ctc cleanup": (
        decoders.CTC("<pad>", "|", cleanup=True),
        (JoiningStep("ctc", pattern="<pad>", content="|", cleanup=True),),
    ),
    "wordpiece": (
        decoders.WordPiece("##", cleanup=False),
        (JoiningStep("wordpiece", pattern="##"),),
    ),
    "wordpiece cleanup": (
        decoders.WordPiece("##", cleanup=True),
        (JoiningStep("wordpiece", pattern="##", cleanup=True),),
    ),
    **{
        f"metaspace {scheme}": (
            decoders.Metaspace("▁", prepend_scheme=scheme),
            (JoiningStep("metaspace", pattern="▁", prepend_scheme=scheme),),
        )
        for scheme in ("always", "first", "never")
    },
    "llama": (
        decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        ),
        (SPACES, BYTES, FUSE, STRIP),
    ),
}
BYTE_TOKENS = ["<0xE3>", "<0x81>", "<0x82>", "<0x41>", "<0xff>", "<0xF0>", "<0x9F>", "<0x+F>"]
NO_BYTES = ["<0xzz>", "<0x 1>", "<0x-1>", "<0x1>", "<0x041>", "<0X41>", "<0x41", "<0xé>", "<0x++>"]
WORDS = [
    "",
    " ",
    "  a",
    "   ",
    "▁",
    "▁▁a",
    "a▁b▁",
    "a",
    "aaa",
    "</w>",
    "a</w>",
    "b</w>c</w>",
    "##",
    "##a",
    "a##",
]
MARKS = [
    "<pad>",
    "<pad>x",
    "|",
    "a|b",
    "n't",
    " n't",
    " .",
    "do not",
    " do not",
    " 's",
    " ' ",
    "é",
    "日本",
    "\ufffd",
]
BYTE_LEVEL = ["Ġ", "Ġa", "Ã", "©", "Ċ", "Ġ日", "Ń", "ĠÃ"]
TOKENS = st.one_of(
    st.sampled_from(BYTE_TOKENS),
    st.sampled_from([*NO_BYTES, *WORDS, *MARKS, *BYTE_LEVEL]),
    st.text(max_size=3),
)


def text_of(tokens: list[str], *steps: JoiningStep) -> str:
    return join_tokens([token.encode() for token in tokens], Detokenizer("steps", steps=steps))


@pytest.mark.parametrize("name", CASES)
@given(tokens=st.lists(TOKENS, max_size=10))
@example(tokens=[])
@example(tokens=["<0xE3>", "<0x81>", "<0x82>", "<0xE3>", "a", "<0xE3>", "<0x81>", "<0x41>"])
@example(tokens=["<pad>", "a", "a", "<pad>", "a", "|", "|", " n't", "do not"])
@example(tokens=["a</w>", "</w>b</w>", "c</w>"])
@example(tokens=["Ã", "©", "Ã", "Ġ日", "©"])
@settings(max_examples=250, deadline=None)
def test_each_step_is_the_librarys_decoder(name: str, tokens: list[str]) -> None:
    decoder, steps = CASES[name]
    assert text_of(tokens, *steps) == decoder.decode(tokens), tokens


def test_every_token_of_the_lists_by_itself() -> None:
    for decoder, steps in CASES.values():
        for token in [*BYTE_TOKENS, *NO_BYTES, *WORDS, *MARKS, *BYTE_LEVEL]:
            for tokens in ([token], ["a", token], [token, token]):
                assert text_of(tokens, *steps) == decoder.decode(tokens), tokens


def test_tokens_without_a_decoder_are_joined_with_spaces() -> None:
    words = {"<s>": 0, "the": 1, "": 2, " a ": 3}
    library = Tokenizer(models.WordLevel(words, unk_token="<s>"))  # noqa: S106
    for ids in ([], [1], [1, 2, 3], [2, 2, 1]):
        tokens = [word for index in ids for word, place in words.items() if place == index]
        assert text_of(tokens, JoiningStep("join", content=" ")) == library.decode(ids)


def test_the_clean_up_of_the_text_comes_last() -> None:
    rule = Detokenizer("steps", steps=(JoiningStep("join", content=" "),), clean_up_tokenization_spaces=True)
    assert join_tokens([b"it", b"'s", b"late", b"."], rule) == "it's late."


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (JoiningStep("rot13"), "detokenizer.steps has 'rot13', wanted one of replace, byte_fallback"),
        (
            JoiningStep("replace", pattern="a"),
            "detokenizer.steps: replace needs pattern and content: export again",
        ),
        (JoiningStep("replace", pattern="", content="a"), "replace needs pattern and content"),
        (JoiningStep("join"), "join needs content"),
        (JoiningStep("metaspace", pattern="▁"), "metaspace needs pattern and prepend_scheme"),
        (JoiningStep("ctc", pattern="<pad>"), "ctc needs pattern and content"),
        (JoiningStep("wordpiece"), "wordpiece needs pattern"),
    ],
)
def test_a_step_that_cannot_be_done_is_refused(step: JoiningStep, message: str) -> None:
    with pytest.raises(BundleError) as caught:
        text_of(["a"], step)
    assert message in str(caught.value)

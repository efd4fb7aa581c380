"""Cues are short, whole and in order, in every script; players read what is written."""

from __future__ import annotations

import itertools
import re
from typing import Any

import numpy as np
import pytest

from s2t_runtime.errors import OptionError
from s2t_runtime.subtitles.breaks import Break, break_before, cut_by_width, width
from s2t_runtime.subtitles.formats import srt, tsv, vtt
from s2t_runtime.subtitles.shaping import Cue, SubtitleOptions, Timed, cues, lines_of

USUAL = SubtitleOptions()
ENGLISH = (
    "And so, my fellow Americans, ask not what your country can do for you. Ask what you can do for your country! "
    "My fellow citizens of the world: ask not what America will do for you, but what together we can do for the "
    "freedom of man."
)
JAPANESE = (
    "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。"
    "何でも薄暗いじめじめした所でニャーニャー泣いていた事だけは記憶している。"
)
ARABIC = "لا تسأل ما الذي يمكن أن يفعله بلدك من أجلك، بل اسأل ما الذي يمكنك أن تفعله أنت من أجل بلدك؟ هذا هو السؤال."
GERMAN = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"
TEXTS = (
    ENGLISH,
    JAPANESE,
    ARABIC,
    GERMAN,
    f"{ENGLISH} {JAPANESE} {GERMAN}",
    "ja",
    "e\u0301" * 90,
    "👩‍👩‍👧" * 40,
)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize(
    "options",
    [USUAL, SubtitleOptions(max_line_width=20, max_line_count=1), SubtitleOptions(max_line_count=3)],
)
def test_cues_fit_and_nothing_is_lost(text: str, options: SubtitleOptions) -> None:
    shaped = cues([Timed(1.5, 19.5, text), Timed(20.0, 20.2, "ja")], options)
    assert "".join("".join(cue.lines) for cue in shaped).replace(" ", "") == f"{text}ja".replace(" ", "")
    for cue in shaped:
        assert all(0 < width(line) <= options.max_line_width for line in cue.lines)
        assert all(line == line.strip() for line in cue.lines)
        assert len(cue.lines) <= options.max_line_count
        assert 0 < cue.end_s - cue.start_s <= max(options.max_cue_s, options.min_cue_s) + 1e-9
    assert all(one.end_s <= other.start_s + 1e-9 for one, other in itertools.pairwise(shaped))
    assert (shaped[0].start_s, shaped[-1].start_s) == (1.5, 20.0)


def test_sentences_and_clauses_are_kept_together() -> None:
    shaped = cues([Timed(0, 18, ENGLISH)], USUAL)
    ends = [cue.lines[-1][-1] for cue in shaped]
    assert all(end in ".!,:" for end in ends), shaped


def test_no_line_of_japanese_begins_with_a_full_stop() -> None:
    for most in range(8, 40):
        for line in lines_of(JAPANESE, most):
            assert line[0] not in "。、ーャュョッ」"
            assert width(line) <= most


def test_lines_are_even() -> None:
    assert lines_of("one two three four five six seven eight nine ten", 42) == (
        "one two three four five",
        "six seven eight nine ten",
    )
    assert lines_of("short", 42) == ("short",)
    assert lines_of("", 42) == ()
    assert lines_of(GERMAN, 30) == (GERMAN[:27], GERMAN[27:54], GERMAN[54:])


def test_times_are_shared_out_by_width() -> None:
    shaped = cues(
        [Timed(10.0, 20.0, "Aaaa aaaa. Bbbb bbbb bbbb bbbb bbbb.")],
        SubtitleOptions(max_line_width=30, max_line_count=1, max_cue_s=8.0),
    )
    assert [cue.lines for cue in shaped] == [("Aaaa aaaa.",), ("Bbbb bbbb bbbb bbbb bbbb.",)]
    assert shaped[0].end_s == shaped[1].start_s == pytest.approx(10 + 10 * 10 / 35)


def test_short_cues_stay_where_there_is_time() -> None:
    shaped = cues([Timed(0.0, 0.3, "ja"), Timed(0.8, 0.9, "nein"), Timed(5.0, 5.1, "doch")], USUAL)
    assert [(cue.start_s, cue.end_s) for cue in shaped] == [(0.0, 0.8), (0.8, 1.8), (5.0, 6.0)]


def test_a_word_that_is_spoken_for_long_is_not_shown_for_ever() -> None:
    assert cues([Timed(0.0, 19.0, "ja")], USUAL) == [Cue(0.0, 7.0, ("ja",))]


def test_silence_has_no_cue() -> None:
    assert cues([Timed(0.0, 2.0, " \n ")], USUAL) == []
    assert cues([], USUAL) == []


@pytest.mark.parametrize(
    ("text", "place", "kind"),
    [
        ("one. two", 5, Break.SENTENCE),
        ('he said "no." then', 14, Break.SENTENCE),
        ("one, two", 5, Break.CLAUSE),
        ("one two", 4, Break.WORD),
        ("one two", 3, None),
        ("one two", 2, None),
        ("猫である。名前", 5, Break.SENTENCE),
        ("猫である。名前", 4, None),
        ("猫である", 1, Break.CHARACTER),
        ("ニャー", 1, None),
        ("「猫」", 1, None),
        ("e\u0301a", 1, None),
    ],
)
def test_where_text_may_be_broken(text: str, place: int, kind: Break | None) -> None:
    assert break_before(text, place) == kind


def test_width_is_that_of_a_screen() -> None:
    assert [width(text) for text in ("abc", "猫", "e\u0301", "한글", "ｱ", "")] == [3, 2, 1, 4, 1, 0]
    assert cut_by_width("e\u0301e\u0301e\u0301", 2) == 4
    assert cut_by_width("猫猫", 3) == 1
    assert cut_by_width("猫猫", 1) == 1, "one character at least"


def test_random_texts_are_whole() -> None:
    rng = np.random.default_rng(0)
    words = [*ENGLISH.split(), *ARABIC.split(), JAPANESE, GERMAN, "。", "!", "…", "(", "”"]
    for _ in range(150):
        text = " ".join(rng.choice(words, int(rng.integers(1, 40))))
        options = SubtitleOptions(int(rng.integers(8, 60)), int(rng.integers(1, 4)))
        shaped = cues([Timed(0.0, float(rng.uniform(0.1, 60)), text)], options)
        assert "".join("".join(cue.lines) for cue in shaped).replace(" ", "") == text.replace(" ", "")
        assert all(width(line) <= options.max_line_width for cue in shaped for line in cue.lines)


SHOWN = [Cue(0.0, 1.0, ("<b>&", "two")), Cue(3661.0005, 3662.9996, ("猫",))]


def test_subrip() -> None:
    assert srt(SHOWN) == (
        "1\n00:00:00,000 --> 00:00:01,000\n<b>&\ntwo\n\n2\n01:01:01,000 --> 01:01:03,000\n猫\n\n"
    )


def test_webvtt() -> None:
    assert vtt(SHOWN) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n&lt;b&gt;&amp;\ntwo\n\n01:01:01.000 --> 01:01:03.000\n猫\n"
    )
    assert vtt([]) == "WEBVTT\n"


def test_tsv() -> None:
    assert tsv([Timed(0.5, 100 * 3600.0, "a\tb\n c")]) == "start\tend\ttext\n500\t360000000\ta b c\n"


def test_hours_have_as_many_digits_as_they_need() -> None:
    assert re.search(r"^123:00:00,000 --> ", srt([Cue(123 * 3600.0, 123 * 3600.0 + 1, ("a",))]), re.MULTILINE)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"max_line_width": 7}, "max_line_width is 7, wanted an integer from 8 to 1000"),
        ({"max_line_width": 42.0}, "max_line_width is 42.0, wanted an integer from 8 to 1000"),
        ({"max_line_count": True}, "max_line_count is True, wanted an integer from 1 to 10"),
        ({"min_cue_s": float("nan")}, "min_cue_s is nan, wanted a number from 0 to 60"),
        ({"max_cue_s": 0}, "max_cue_s is 0, wanted a number from 0.5 to 3600"),
        (
            {"min_cue_s": 8.0},
            "min_cue_s is 8 and max_cue_s 7, wanted a least time no longer than the longest: set both",
        ),
    ],
)
def test_impossible_options(given: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError) as caught:
        SubtitleOptions(**given)
    assert str(caught.value) == said

"""What a bundle usually begins to decode with."""

from __future__ import annotations

from typing import Any

import pytest

from exporter.reference.prompt import usual_prompt
from s2t_runtime.options.generation import GenerationOptions


@pytest.mark.parametrize(
    ("defaults", "languages", "prompt"),
    [
        ({"decoder_start_token_id": 2}, {}, [2]),
        ({"decoder_start_token_id": 2}, {"de": 7, "cy": 5}, [2, 5]),
        ({"decoder_start_token_id": 2, "forced_bos_token_id": 9}, {"de": 7}, [2, 9]),
        ({"bos_token_id": 0}, {}, [0]),
        ({"bos_token_id": 0, "decoder_start_token_id": 2}, {}, [2]),
    ],
)
def test_it_is_the_start_and_a_language(
    defaults: dict[str, Any], languages: dict[str, int], prompt: list[int]
) -> None:
    assert usual_prompt(GenerationOptions(**defaults), languages) == prompt


def test_without_a_start_token_there_is_none() -> None:
    with pytest.raises(
        ValueError, match=r"^no start token: wanted decoder_start_token_id or bos_token_id among"
    ):
        usual_prompt(GenerationOptions(eos_token_id=2), {})

"""The prompts that users ask by themselves."""

from __future__ import annotations

import pytest

from penstock.locust.prompt import prompt_of, unique


@pytest.mark.parametrize("words", [1, 19, 64, 1000])
def test_a_prompt_has_the_words_that_were_asked_for(words: int) -> None:
    assert len(prompt_of(words).split(" ")) == words


def test_prompts_are_equal_unless_they_are_made_unique() -> None:
    assert prompt_of(64) == prompt_of(64)
    prompts = {unique(prompt_of(64)) for _ in range(100)}
    # Different from the first word on, so that not even the first block of a prefix cache is shared.
    assert len({prompt.split(" ")[0] for prompt in prompts}) == 100
    assert all(prompt.endswith(prompt_of(64)) for prompt in prompts)

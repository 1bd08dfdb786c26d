"""Questions and the text around them."""

import hashlib

import pytest

from model_assist.crashchat import kinds as k
from model_assist.crashchat.prompts import (
    DEFAULT_PROMPTS,
    clean_prompt,
    complete_prompts,
    prefix_text,
    prompt_version,
    suffix_text,
)


def test_every_kind_has_a_question() -> None:
    assert set(DEFAULT_PROMPTS) == set(k.ALL)
    assert all(clean_prompt(text) == text for text in DEFAULT_PROMPTS.values())


def test_the_version_is_the_hash_of_the_words_alone() -> None:
    expected = hashlib.sha256(b"What happens?").hexdigest()[:12]
    assert prompt_version("What happens?") == prompt_version("<video>\nWhat happens? \n") == expected
    assert prompt_version("What happened?") != expected


@pytest.mark.parametrize("text", ["", " ", "<video>\n", "Hi <|im_end|>"])
def test_unusable_questions_are_refused_by_kind(text: str) -> None:
    with pytest.raises(ValueError, match="crash_description"):
        complete_prompts({k.CRASH_DESCRIPTION: text})


def test_missing_questions_use_the_default() -> None:
    prompts = complete_prompts(
        {k.CRASH_RECOGNITION: "<video>\nCrash?"}, [k.CRASH_RECOGNITION, k.CAUSAL_REASONING]
    )
    assert prompts == {k.CRASH_RECOGNITION: "Crash?", k.CAUSAL_REASONING: DEFAULT_PROMPTS[k.CAUSAL_REASONING]}
    with pytest.raises(ValueError, match="unknown kind 'weather'"):
        complete_prompts({"weather": "Rain?"})


def test_the_layout_is_the_training_layout() -> None:
    assert prefix_text([0, 100_000, 1_200_000], [2, 1, 1]) == (
        "<|im_start|>user\nTime 0.0s:<|video_pad|><|video_pad|>,Time 0.1s:<|video_pad|>,Time 1.2s:<|video_pad|>\n"
    )
    assert suffix_text("Crash? ") == "Crash?<|im_end|>\n<|im_start|>assistant\n"

"""Questions and the text around them."""

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_assist.crashchat import kinds as k
from model_assist.crashchat.model import LoadedModel
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


@pytest.mark.parametrize(
    "text", ["", " ", "<video>\n", "<video><video>", "Hi <|im_end|>", "What <video> shows", "<image>\nCrash?"]
)
def test_unusable_questions_are_refused_by_kind(text: str) -> None:
    with pytest.raises(ValueError, match="crash_description"):
        complete_prompts({k.CRASH_DESCRIPTION: text})


@pytest.mark.parametrize(
    "text", ["<video>\nCrash?", "Crash?\n<video>", " <video> <video>\nCrash? ", "Crash?"]
)
def test_the_video_marker_is_taken_off(text: str) -> None:
    assert clean_prompt(text) == "Crash?"
    assert prompt_version(text) == prompt_version("Crash?")


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


def usable(text: str) -> bool:
    try:
        clean_prompt(text)
    except ValueError:
        return False
    return True


ALPHABET = st.characters(codec="utf-8")
AWKWARD = st.sampled_from(
    [*"\n\r\t \u00a0\u2028\u0085\u0301\u200d<>|_'.,09\u0663\u00bd\u4e8b\x00\x1c", "\r\n", "'s"]
)
questions = (st.text(ALPHABET) | st.lists(AWKWARD | ALPHABET).map("".join)).filter(usable)


@pytest.fixture(scope="module")
def tokenizer(bare: LoadedModel) -> Any:
    return bare.tokenizer


@given(
    question=questions,
    times=st.lists(st.integers(0, 10**8), min_size=1, max_size=3),
    counts=st.lists(st.integers(0, 3), min_size=3, max_size=3),
)
def test_prefix_and_question_may_be_tokenised_apart(
    tokenizer: Any, question: str, times: list[int], counts: list[int]
) -> None:
    prefix, suffix = prefix_text(times, counts[: len(times)]), suffix_text(question)

    def ids(text: str) -> list[int]:
        found: list[int] = tokenizer.encode(text, add_special_tokens=False)
        return found

    assert ids(prefix) + ids(suffix) == ids(prefix + suffix)


@given(question=questions)
def test_a_cleaned_question_stays_as_it_is(question: str) -> None:
    assert clean_prompt(clean_prompt(question)) == clean_prompt(question)

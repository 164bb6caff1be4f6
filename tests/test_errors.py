"""Errors that a user can cause: one line that says what was probably meant."""

from __future__ import annotations

from itertools import count

import pytest

from flmd.errors import did_you_mean


@pytest.mark.parametrize(
    ("word", "known", "said"),
    [
        ("ibug86", ["wflw98", "ibug68"], "did you mean 'ibug68'?"),
        ("imagecompresion", ["Blur", "ImageCompression"], "did you mean 'ImageCompression'?"),
        ("EPOCH", ["batch", "epochs"], "did you mean 'epochs'?"),
        ("Rotate", ["Blur", "FromFloat"], None),
        ("anything", [], None),
    ],
)
def test_the_nearest_known_word_is_named_in_its_own_letters(
    word: str, known: list[str], said: str | None
) -> None:
    assert did_you_mean(word, known) == said


def test_only_the_first_five_thousand_words_are_compared() -> None:
    assert did_you_mean("word4999x", (f"word{i}" for i in count())) == "did you mean 'word4999'?"

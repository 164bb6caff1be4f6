"""Errors that a user can cause: one line that guesses what was meant, keeps secrets, commands no terminal."""

from __future__ import annotations

import pickle
import sys
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flmd import errors
from flmd.errors import FlmdError, InputError, did_you_mean, masked, one_line, printable


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


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("https://ann:s3cret@host/a.tar", "https://***@host/a.tar"),
        ("https://t0ken@github.com/a", "https://***@github.com/a"),
        (
            "see webdavs://ann:p@ss@host:80/x and s3://bucket/x",
            "see webdavs://***@host:80/x and s3://bucket/x",
        ),
        ("ssh://ann@box/srv", "ssh://ann@box/srv"),
        ("ssh://ann:s3cret@box/srv", "ssh://***@box/srv"),
        ("zip://a.xml::https://u:p@h/a.zip", "zip://a.xml::https://***@h/a.zip"),
        ("https://h/a?x=1&token=t0p&y=2", "https://h/a?x=1&token=***&y=2"),
        ("'https://h/a?X-Amz-Signature=ab12'", "'https://h/a?X-Amz-Signature=***'"),
        ("https://cdn.example.org/pkg@1.0/a.js", "https://cdn.example.org/pkg@1.0/a.js"),
        ("ann:s3cret@host is no address", "ann:s3cret@host is no address"),
    ],
)
def test_passwords_and_signatures_in_addresses_are_masked(text: str, safe: str) -> None:
    assert masked(text) == safe
    assert masked(safe) == safe


def test_an_error_keeps_no_password_in_any_of_its_parts() -> None:
    address = "https://ann:s3cret@host/a"
    error = InputError(f"no {address}", where=address, expected=f"not {address}", hint=f"see {address}")
    for text in (
        str(error),
        repr(vars(error)),
        one_line(OSError(address)),
        str(pickle.loads(pickle.dumps(error))),
    ):
        assert "s3cret" not in text
        assert "***@host" in text


@given(st.text())
def test_what_is_printable_is_so_and_says_where_it_was_not(text: str) -> None:
    safe = printable(text)
    assert safe.isprintable()
    assert (safe == text) == text.isprintable()


HOSTILE = "\x1b]0;owned\x07\x9b2J\u202e\udcff https://ann:s3cret@host/"


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("kind", [FlmdError, OSError, ValueError])
def test_no_message_commands_the_terminal_or_tells_a_password(
    kind: type[Exception], debug: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise kind(HOSTILE) from ValueError(HOSTILE)

    errors.run(fail, debug=debug)
    said = capsys.readouterr().err
    assert all(line.isprintable() for line in said.splitlines())
    assert r"\x1b]0;owned\x07\x9b2J\u202e\xff https://***@host/" in said
    assert "s3cret" not in said


def test_without_a_stderr_the_exit_code_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise InputError("no")

    monkeypatch.setattr(sys, "stderr", None)
    assert errors.run(fail) == 2


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        ImportError("libopenblas.so: failed to map segment from shared object"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("can't start new thread"),
        SystemError("error return without exception set"),
    ],
)
def test_too_little_memory_is_no_failure_of_flmd(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        raise error

    assert errors.run(work, debug=False) == 2
    assert capsys.readouterr().err.startswith("error: there is not enough memory; ")

"""Expressions that backtrack for years end within their time; all others are searched as ``re`` does."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flmd.core import bounded_search
from flmd.core.bounded_search import BoundedSearch
from flmd.errors import InputError
from tests import processes

ENDLESS = [
    r"(a+)+$",
    r"(a|aa)*$",
    r"(?:a?){40}a{40}$",
    r"(.*)*x",
    r"(?=(a+)+$)",
    r"^(?:(a|b)|\1)*!",
    "a?" * 30 + "a" * 30 + "$",
    "(a|a)" * 30 + "!",
]
PATTERNS = [r"^[^/]+", r"(\d+)_([a-z]+)", r"(\d+)(x)?", r"(?i)ann|(BOB)", r"(.)\1", "", r"\bé+"]


@pytest.mark.parametrize("pattern", ENDLESS)
def test_a_search_without_end_is_one_line_in_little_time(
    pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_search, "SECONDS", 0.1)
    begun = time.monotonic()
    with pytest.raises(InputError) as caught:
        BoundedSearch(pattern).search("a" * 60 + "/!b")
    assert "\n" not in str(caught.value)
    assert time.monotonic() - begun < 30  # most of it is a start of Python on a busy machine


def test_it_goes_on_after_a_name_that_took_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_search, "SECONDS", 0.1)
    search = BoundedSearch("(a+)+$")
    for _ in range(2):
        with pytest.raises(InputError):
            search.search("a" * 60 + "!")
        assert search.search("baa") == ["aa", "aa"]


SEARCHES = {pattern: BoundedSearch(pattern) for pattern in PATTERNS}


@settings(deadline=None)
@given(st.sampled_from(PATTERNS), st.text(max_size=12) | st.text("abAnN/xé1\n", max_size=12))
def test_it_finds_what_re_finds(pattern: str, text: str) -> None:
    wanted = re.search(pattern, text)
    assert SEARCHES[pattern].search(text) == (wanted and [wanted[0], *wanted.groups()])


def test_usual_expressions_take_no_process() -> None:
    usual = (r"^[^/]+", r"(\d+)_([a-z]+)", r"^([A-Z][a-z]+)_", "", r"id\d{6}")
    for search in map(BoundedSearch, usual):
        search.search("a/b_1.jpg")
        assert search._child is None


def test_an_expression_that_takes_no_process_takes_little_time() -> None:
    """The worst of them: two repeats, the longest name."""
    for pattern in ("a*a*b", "a+a+$", "(a*)(a*)b"):
        begun = time.process_time()
        BoundedSearch(pattern).search("a" * 299 + "/")
        assert time.process_time() - begun < 5  # 0.05 s


def test_names_that_are_no_text_and_long_names_arrive() -> None:
    assert SEARCHES[r"^[^/]+"].search("\udcff\udc80/x") == ["\udcff\udc80"]
    assert SEARCHES[r"^[^/]+"].search("y" * 1_000_000) == ["y" * 1_000_000]


def test_threads_get_each_its_own_answer() -> None:
    wrong: list[str] = []
    search = BoundedSearch("(?:a|b|c)")

    def ask(name: str) -> None:
        wrong.extend(name for _ in range(50) if search.search(f"{name}/b") != [name])

    threads = [threading.Thread(target=ask, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("pattern", ["(", "a" * 2001, "(" * 1500 + ")" * 1500, "a{99999999999}"])
def test_what_is_no_expression_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="."):
        BoundedSearch(pattern)


def test_its_process_ends_with_a_parent_that_is_killed() -> None:
    words = (
        "import os; from flmd.core.bounded_search import BoundedSearch as B; b = B('(?:a)'); b.search('a');"
        "print(b._child.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, timeout=60, check=False)
    assert done.returncode == -9
    assert processes.left_after({int(done.stdout)}, 20) == set()

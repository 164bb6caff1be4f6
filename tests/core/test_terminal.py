"""Tables in a pipe are plain text of their full width; in a terminal they fit its window."""

from __future__ import annotations

import json
import re
import sys
from io import StringIO

import pytest

from flmd.core.terminal import TextTable, say, say_json, show, text

TABLE = TextTable(
    ["metric", "baseline", "verdict"],
    [["ibug300w.nme", "0.05", "REGRESSION"], ["点の誤差", "-", "same"]],
    left=(0, 2),
    colours={"REGRESSION": "red"},
)


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def in_terminal(monkeypatch: pytest.MonkeyPatch, *parts: str | TextTable, columns: int) -> str:
    """What a window of so many columns shows, escape codes included."""
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", str(columns))
    out = Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    show(*parts)
    return out.getvalue()


def test_columns_are_aligned_by_what_they_look_like() -> None:
    assert text("title", "", TABLE, "note").split("\n") == [
        "title",
        "",
        "metric        baseline  verdict",
        "ibug300w.nme      0.05  REGRESSION",
        "点の誤差             -  same",  # each of these characters is two columns wide
        "note",
    ]


def test_a_pipe_gets_the_whole_width_and_no_codes(capsys: pytest.CaptureFixture[str]) -> None:
    long = "x" * 500
    show(TextTable(["name", "number"], [[long, "1"]]))
    shown = capsys.readouterr().out
    assert f"{long}       1\n" in shown
    assert shown.isascii()
    assert "\x1b" not in shown


def test_a_terminal_gets_colours_and_lines_no_longer_than_its_window(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = in_terminal(monkeypatch, TABLE, columns=24)
    assert "\x1b[31m" in shown
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert max(map(len, plain.splitlines())) <= 24
    kept = "".join(re.findall(r"[a-zA-Z]", plain))
    assert sorted(kept) == sorted("metricbaselineverdictibugwnmeREGRESSIONsame")  # folded, not cut


def test_a_line_is_text_not_orders_and_keeps_secrets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = "\x1b[2Ja\x9bb\udcff\tc\nd https://ann:s3cret@host/"
    say(line)
    say(line, err=True)
    shown = capsys.readouterr()
    assert shown.out == shown.err == "\\x1b[2Ja\\x9bb\\xff\tc\nd https://***@host/\n"
    monkeypatch.setattr(sys, "stderr", None)
    say(line, err=True)
    assert capsys.readouterr().out == ""


def test_json_is_what_it_was_without_codes_and_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    say_json({"n\x1b\x9b": ["ü\udcff", "https://ann:s3cret@host/?sig=abc", 1.5, None]})
    shown = capsys.readouterr().out
    assert not re.search("[\x1b\x9b\udcff]", shown)
    assert json.loads(shown) == {"n\x1b\x9b": ["ü\udcff", "https://***@host/?sig=***", 1.5, None]}


@pytest.mark.parametrize("columns", [24, 80])
def test_cells_are_text_not_orders(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int
) -> None:
    hostile = TextTable(["\x1b]0;title\x07"], [["[red]no[/red] :smile: \x1b[2J\x9b2J\udcff"]])
    show(hostile, "\x1b[1mline")
    piped = capsys.readouterr().out
    assert piped.split("\n") == [
        r"\x1b]0;title\x07",
        r"[red]no[/red] :smile: \x1b[2J\x9b2J\xff",
        r"\x1b[1mline",
        "",
    ]
    shown = in_terminal(monkeypatch, hostile, columns=columns)
    assert not re.search(r"\x1b(?!\[[0-9;]*m)|[\x07\x9b]", shown)
    assert "[red]" in shown

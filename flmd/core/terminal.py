"""What the commands print: lines, and tables with rules and colours in a terminal, plain text in a pipe.

Control characters come out as escapes, and passwords in addresses masked.
"""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flmd.errors import masked, printable

if TYPE_CHECKING:
    from rich.console import JustifyMethod
    from rich.table import Table

_UNSAFE = re.compile("[\x7f-\x9f\ud800-\udfff]")  # what json.dumps leaves as it is
WIDEST = 1 << 16  # columns of a pipe: nothing is cut, nothing is folded


@dataclass(frozen=True)
class TextTable:
    """Columns of texts under a header.

    Attributes
    ----------
    header, rows : texts, as many in each row as in the header.
    left : columns that are words and stand to the left; the others are numbers and stand to the right.
    colours : a cell that starts with this text -> its colour in a terminal, such as "red".
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: Sequence[int] = (0,)
    colours: Mapping[str, str] = field(default_factory=dict)


def show(*parts: str | TextTable) -> None:
    """Print lines and tables on stdout; in a terminal a table is folded to the window's width."""
    if not sys.stdout.isatty():
        print(text(*parts))
        return
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False)
    for part in parts:
        if isinstance(part, str):
            print(_safe(part))
        else:
            console.print(_table(part, terminal=True))


def text(*parts: str | TextTable) -> str:
    """What :func:`show` prints into a pipe: no colours, no rules, as wide as it is; no newline at the end."""
    from rich.console import Console

    lines: list[str] = []
    for part in parts:
        if isinstance(part, str):
            lines.append(_safe(part))
        else:
            drawn = io.StringIO()
            Console(file=drawn, width=WIDEST, color_system=None).print(_table(part, terminal=False))
            lines += [line.rstrip() for line in drawn.getvalue().rstrip("\n").split("\n")]
    return "\n".join(lines)


def say(line: str, *, err: bool = False) -> None:
    """Print a line on stdout, or on stderr where there is one; nothing in it can command the terminal."""
    stream = sys.stderr if err else sys.stdout
    if stream is not None:
        print(_safe(line), file=stream)


def say_json(tree: Any) -> None:
    """Print a tree as JSON on stdout; what a terminal would obey or cannot show is escaped as in JSON."""
    text = masked(json.dumps(tree, indent=2, ensure_ascii=False))
    print(_UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def _safe(text: str) -> str:
    return printable(masked(text), keep="\n\t")


def _table(table: TextTable, *, terminal: bool) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    rule, bold = (box.SIMPLE_HEAD, "bold") if terminal else (None, "")
    drawn = Table(box=rule, show_edge=False, pad_edge=False, header_style=bold)
    for index, head in enumerate(table.header):
        justify: JustifyMethod = "left" if index in table.left else "right"
        drawn.add_column(Text(_safe(head)), justify=justify, overflow="fold")
    for row in table.rows:
        drawn.add_row(*(Text(_safe(cell), style=_colour(cell, table.colours)) for cell in row))
    return drawn


def _colour(cell: str, colours: Mapping[str, str]) -> str:
    return next((colour for start, colour in colours.items() if cell.startswith(start)), "")

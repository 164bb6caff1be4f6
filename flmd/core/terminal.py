"""Tables for people: with rules and colours in a terminal, plain aligned text in a pipe or a file."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flmd.errors import printable

if TYPE_CHECKING:
    from rich.console import JustifyMethod
    from rich.table import Table

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
            print(printable(part))
        else:
            console.print(_table(part, terminal=True))


def text(*parts: str | TextTable) -> str:
    """What :func:`show` prints into a pipe: no colours, no rules, as wide as it is; no newline at the end."""
    from rich.console import Console

    lines: list[str] = []
    for part in parts:
        if isinstance(part, str):
            lines.append(printable(part))
        else:
            drawn = io.StringIO()
            Console(file=drawn, width=WIDEST, color_system=None).print(_table(part, terminal=False))
            lines += [line.rstrip() for line in drawn.getvalue().rstrip("\n").split("\n")]
    return "\n".join(lines)


def _table(table: TextTable, *, terminal: bool) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    rule, bold = (box.SIMPLE_HEAD, "bold") if terminal else (None, "")
    drawn = Table(box=rule, show_edge=False, pad_edge=False, header_style=bold)
    for index, head in enumerate(table.header):
        justify: JustifyMethod = "left" if index in table.left else "right"
        drawn.add_column(Text(printable(head)), justify=justify, overflow="fold")
    for row in table.rows:
        drawn.add_row(*(Text(printable(cell), style=_colour(cell, table.colours)) for cell in row))
    return drawn


def _colour(cell: str, colours: Mapping[str, str]) -> str:
    return next((colour for start, colour in colours.items() if cell.startswith(start)), "")

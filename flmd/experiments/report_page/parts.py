"""What the page is made of, as plain records; ``page.html`` says how each looks. All text is plain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from markupsafe import Markup

from flmd.pages.page import data_url


@dataclass(frozen=True)
class Table:
    """A table of texts. A cell that starts with "better" or "worse" gets its colour.

    Attributes
    ----------
    numbers : columns that stand to the right.
    long : columns that break anywhere; others make the table wider than its box, which then scrolls.
    """

    kind: ClassVar = "table"
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: Sequence[int] = ()
    long: Sequence[int] = ()

    def classes(self, column: int, cell: str = "") -> str | None:
        """The CSS classes of a cell; None without any."""
        word = cell.partition(" ")[0]
        found = [word] if word in ("better", "worse") else []
        found += ["number"] if column in self.numbers else ["long"] if column in self.long else []
        return " ".join(found) or None


@dataclass(frozen=True)
class Texts:
    """A list, in the colour of what is wrong where it is ``bad``."""

    kind: ClassVar = "texts"
    items: Sequence[str]
    bad: bool = False


@dataclass(frozen=True)
class Chart:
    """A drawing of :mod:`flmd.experiments.report_page.charts`."""

    kind: ClassVar = "chart"
    svg: Markup


@dataclass(frozen=True)
class Picture:
    """A PNG under its caption; ``alt`` is what a screen reader says."""

    kind: ClassVar = "picture"
    png: bytes
    alt: str
    caption: str

    @property
    def url(self) -> str:
        """The picture within the page."""
        return data_url("image/png", self.png)


@dataclass(frozen=True)
class Folded:
    """A part that is shown on a click."""

    kind: ClassVar = "folded"
    summary: str
    part: Table | Texts


Part = Table | Texts | Chart | Picture | Folded


@dataclass(frozen=True)
class Card:
    """A box around some parts."""

    kind: ClassVar = "card"
    parts: Sequence[Part]
    title: str = ""


@dataclass(frozen=True)
class Cards:
    """Boxes side by side, as many as the window is wide; fewer of them where they are ``wide``."""

    kind: ClassVar = "cards"
    cards: Sequence[Card]
    wide: bool = False


@dataclass(frozen=True)
class Section:
    """A titled part of the page, with a sentence about it."""

    title: str
    about: str
    parts: Sequence[Card | Cards] = ()


@dataclass(frozen=True)
class Tile:
    """A number in large type and what it counts; ``word``: "better", "worse" or "", its colour."""

    value: str
    says: str
    word: str = ""

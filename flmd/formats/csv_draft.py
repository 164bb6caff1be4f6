"""A map for a table that has none, where its header tells what the columns are."""

from __future__ import annotations

import csv
import json
import posixpath
import re

from flmd.errors import FlmdError
from flmd.formats.csv_map import ENDING, numbered
from flmd.schemes.base import MOST_POINTS
from flmd.tree import FileTree
from flmd.tree.names import shown

_LONGEST, _LONGEST_NAME = 1 << 16, 60  # of a header, bytes; of the name of a point's column
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_PICTURES = "image|img|picture|photo|file|path|filename|imagename|imagepath|imageid|filepath|name"
_PICTURE = re.compile(_PICTURES)
_NUMBERED = re.compile(r"(.*?)(0*)(\d+)(.*)", re.DOTALL)


def draft(tree: FileTree) -> str:
    """What to write into a map for the first table of a tree; "" where its header does not tell.

    A header tells when one column is called as pictures are, and others have ``x`` and ``y`` of numbers in a
    row, such as x0, y0, x1 ... or 1_x, 1_y, 2_x ....
    """
    tables = [name for name in tree.names if posixpath.splitext(name)[1].lower() in _DELIMITERS]
    if not tables:
        return ""
    table = min(tables)
    stem, ending = posixpath.splitext(table)
    delimiter = _DELIMITERS[ending.lower()]
    header = _header(tree, table, delimiter)
    pictures = [cell for cell in header if _PICTURE.fullmatch(re.sub(r"[\W_]+", "", cell.lower()))]
    points = _points(header)
    if not pictures or points is None:
        return ""
    x, y, start, count = points
    tabs = ', delimiter: "\\t"' if delimiter == "\t" else ""
    said = (
        f'image: {_quoted(pictures[0])}, points: {{x: "{x}", y: "{y}", start: {start}, count: {count}}}{tabs}'
    )
    own = shown(posixpath.basename(stem) + ENDING)
    return f"{shown(posixpath.basename(table))} has no map; this fits its header, as {own}: {{{said}}}"


def _header(tree: FileTree, table: str, delimiter: str) -> list[str]:
    try:
        with tree.open(table) as stream:
            line = stream.readline(_LONGEST).decode("utf-8-sig").splitlines()
        return [cell.strip() for cell in next(csv.reader(line, delimiter=delimiter), [])]
    except (FlmdError, OSError, UnicodeDecodeError, csv.Error):
        return []


def _points(header: list[str]) -> tuple[str, str, int, int] | None:
    """The patterns of x and y, the first number, and how many follow in a row; of the longest run."""
    columns, runs = set(header), [("", "", 0, 0)]
    for cell in header:
        found = _NUMBERED.fullmatch(cell)
        if found is None or len(cell) > _LONGEST_NAME or not cell.isprintable() or set(cell) & set('{}"\\'):
            continue
        before, zeros, number, after = found.groups()
        digits = len(zeros + number)
        place = f"{{i:0{digits}}}" if zeros and digits <= 9 else "{i}"
        for at, part in enumerate((before, after)):
            for letter in re.finditer(r"(?<![A-Za-z])[xX](?![A-Za-z])", part):
                other = part[: letter.start()] + ("y" if letter[0] == "x" else "Y") + part[letter.end() :]
                x = f"{before}{place}{after}"
                y = f"{other}{place}{after}" if at == 0 else f"{before}{place}{other}"
                if numbered(x, int(number) - 1) not in columns:  # else within a run that began earlier
                    runs.append((x, y, int(number), _run(columns, x, y, int(number))))
    longest = max(runs, key=lambda run: run[3])
    return longest if longest[3] else None


def _run(columns: set[str], x: str, y: str, start: int) -> int:
    count = 0
    while count < MOST_POINTS and {numbered(x, start + count), numbered(y, start + count)} <= columns:
        count += 1
    return count


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_]\w*", name) else json.dumps(name, ensure_ascii=False)

"""Structure-aware mutation of the text formats: elements swapped, repeated, missing, huge and nested.

JSON, YAML, XML and tables are taken apart, changed and put together again, so that a parser accepts them and
the reader has to judge what they say. Bytes are what ``tests.fuzzing`` changes.
"""

from __future__ import annotations

import copy
import json
import random
import shutil
import tempfile
import xml.etree.ElementTree as ET
from functools import cache
from pathlib import Path
from typing import Any

from flmd import formats
from tests import fuzzing

HUGE = (
    10**400,
    1e308,
    -1e308,
    2**63,
    "9" * 5000,
    "x" * 100_000,
    [0] * 5000,
    {},
    [],
    None,
    True,
    -1,
    "",
    "NaN",
)


def names() -> list[str]:
    """Formats that our own writers write as text: those with a file that is taken apart here."""
    return [name for name in formats.BUILT_IN if formats.get(name).writes]


@cache
def _seeds(name: str) -> list[fuzzing.Files]:
    with tempfile.TemporaryDirectory() as folder:
        return fuzzing.own_seeds(name, Path(folder))


def case(seed: int, number: int) -> str:
    """A format's own files, one of them changed, read again: "" or what gave way."""
    rng = random.Random(f"{seed} texts {number}")
    known = names()
    name = known[number % len(known)]
    files = dict(rng.choice(_seeds(name)))
    victims = [n for n, data in files.items() if kind_of(n, data)]
    if not victims:
        return ""
    victim = rng.choice(victims)
    for _ in range(rng.choice((1, 1, 2, 4))):
        files[victim] = mutated(files[victim], kind_of(victim, files[victim]), rng)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "case"
        try:
            for file, data in files.items():
                (place / file).parent.mkdir(parents=True, exist_ok=True)
                (place / file).write_bytes(data)
            what = fuzzing.checked(name, place)
        finally:
            shutil.rmtree(place, ignore_errors=True)
    return f"{name}: {what}" if what else ""


def kind_of(name: str, data: bytes) -> str:
    """ "json", "xml" or "lines"; "" for what is no text."""
    head = data[:4000]
    if b"\0" in head or name.lower().endswith((".png", ".jpg")):
        return ""
    try:
        head.decode()
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:
            return ""
    if head.lstrip()[:1] in (b"{", b"["):
        try:
            json.loads(data)
        except (ValueError, RecursionError):
            return "lines"
        return "json"
    return "xml" if head.lstrip()[:1] == b"<" else "lines"


def mutated(data: bytes, kind: str, rng: random.Random) -> bytes:
    """One change of the structure; the same bytes where there is nothing to change."""
    try:
        return {"json": _json, "xml": _xml, "lines": _lines}[kind](data, rng)
    except (ET.ParseError, ValueError, KeyError, OverflowError, RecursionError):
        return data


def _json(data: bytes, rng: random.Random) -> bytes:
    tree = json.loads(data)
    places = _places(tree)
    if not places:
        return data
    holder, key = rng.choice(places)
    other, other_key = rng.choice(places)
    choice = rng.randrange(6)
    if choice == 0:
        holder[key], other[other_key] = other[other_key], copy.deepcopy(holder[key])
    elif choice == 1:
        del holder[key]
    elif choice == 2:
        holder[key] = rng.choice(HUGE)
    elif choice == 3 and isinstance(holder, list):
        holder[:] = holder * rng.choice((2, 3, 50))
    elif choice == 4:
        nested = copy.deepcopy(holder[key])
        for _ in range(rng.choice((1, 2, 900))):
            nested = [nested] if rng.randrange(2) else {"a": nested}
        holder[key] = nested
    else:
        holder[key] = copy.deepcopy(other[other_key])
    return json.dumps(tree).encode()


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """Each value of a tree of JSON, as what holds it and its key."""
    found: list[tuple[Any, Any]] = []
    todo = [tree]
    while todo and len(found) < 5000:
        at = todo.pop()
        if isinstance(at, dict | list):
            keys = list(at) if isinstance(at, dict) else range(len(at))
            found += [(at, key) for key in keys]
            todo += [at[key] for key in keys]
    return found


def _xml(data: bytes, rng: random.Random) -> bytes:
    root = ET.fromstring(data)
    parents = [(parent, child) for parent in root.iter() for child in parent]
    if not parents:
        return data
    parent, child = rng.choice(parents)
    other_parent, other = rng.choice(parents)
    choice = rng.randrange(6)
    if choice == 0:
        parent.remove(child)
    elif choice == 1:
        parent.extend([child] * rng.choice((1, 2, 200)))
    elif choice == 2 and child.attrib:
        name = rng.choice(list(child.attrib))
        child.set(name, _text(rng))
    elif choice == 3 and child.attrib:
        del child.attrib[rng.choice(list(child.attrib))]
    elif choice == 4:
        deep = copy.deepcopy(child)
        for _ in range(rng.choice((1, 2, 300))):
            above = ET.Element(child.tag, child.attrib)
            above.append(deep)
            deep = above
        other_parent.append(deep)
    else:
        child.attrib, other.attrib = other.attrib, child.attrib
        child.text = _text(rng) if rng.randrange(3) == 0 else child.text
    return ET.tostring(root)


def _lines(data: bytes, rng: random.Random) -> bytes:
    lines = data.decode(errors="replace").splitlines()
    if not lines:
        return data
    separator = max(",; \t", key=lambda mark: sum(line.count(mark) for line in lines[:20]))
    at = rng.randrange(len(lines))
    cells = lines[at].split(separator)
    cell = rng.randrange(len(cells))
    choice = rng.randrange(7)
    if choice < 3:
        _change(lines, at, choice, (2, 3, 200), rng)
    else:
        if choice < 6:
            _change(cells, cell, choice - 3, (2, 3, 5000), rng)
        else:
            cells[cell] = _text(rng)
        lines[at] = separator.join(cells)
    return ("\n".join(lines) + "\n").encode()


def _change(items: list[str], at: int, choice: int, times: tuple[int, ...], rng: random.Random) -> None:
    """Take one out (0), repeat it (1) or swap it with another (2)."""
    if choice == 0:
        del items[at]
    elif choice == 1:
        items[at : at + 1] = [items[at]] * rng.choice(times)
    else:
        to = rng.randrange(len(items))
        items[at], items[to] = items[to], items[at]


def _text(rng: random.Random) -> str:
    value = rng.choice(
        (*HUGE[:6], -1, 0, "", "nan", "inf", "-0", "1e999", "../../x", "\u202e", "a\tb", "&#0;")
    )
    return str(value) if isinstance(value, str) else format(value, "g" if isinstance(value, float) else "d")

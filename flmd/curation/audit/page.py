"""The findings of an audit as one page that needs no other file and no network."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from flmd.core import geometry
from flmd.curation.audit.findings import Audit, Conflict, Outlier, Pair, Shared
from flmd.curation.audit.pairs import groups_of
from flmd.formats.layout import whole_or_nothing
from flmd.store.face_store import FaceStore

SIDE = 176  # px of a picture on the page, drawn at twice its size on the screen's finest
QUALITY = 80

_STYLE = """
:root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--ink:#1b1f24;--dim:#66707c;--line:#e2e5ea;
  --bad:#b4232c;--ok:#217a44;--mark:#eef1f5}
@media(prefers-color-scheme:dark){:root{--bg:#14171b;--card:#1d2127;--ink:#e6e9ed;--dim:#98a2ae;
  --line:#2e343c;--bad:#ff8a8a;--ok:#74d39a;--mark:#272d35}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1240px;margin:0 auto;padding:32px 20px 64px}
h1{font-size:26px;margin:0 0 4px}
h2{font-size:19px;margin:44px 0 2px}
p{margin:2px 0 12px;color:var(--dim);max-width:75ch}
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(190px,1fr));gap:10px;margin-top:20px}
.tiles a{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 14px;
  text-decoration:none;color:inherit}
.tiles b{display:block;font-size:24px;line-height:1.2;color:var(--bad)}
.tiles .none b{color:var(--ok)}
.tiles span{color:var(--dim);font-size:13px}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(384px,1fr));gap:14px}
.single{grid-template-columns:repeat(auto-fill,minmax(206px,1fr))}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px;min-width:0}
.faces{display:flex;gap:8px;flex-wrap:wrap}
figure{margin:0;width:176px;min-width:0}
img{display:block;width:176px;height:176px;border-radius:6px;background:var(--mark)}
figcaption{font-size:12px;overflow-wrap:anywhere;margin-top:4px;line-height:1.35}
.split{display:inline-block;background:var(--mark);border-radius:4px;padding:0 6px;font-weight:600}
.card>div:last-child{font-size:13px;color:var(--dim);margin-top:8px}
.more{font-style:italic}
footer{margin-top:48px;color:var(--dim);font-size:13px}
@media(max-width:440px){.cards{grid-template-columns:1fr}}
"""

Item = TypeVar("Item")


class _Pictures:
    """Draws faces of a store with their landmarks; each face once."""

    def __init__(self, store: FaceStore) -> None:
        self._store = store
        self._images = store.texts("image")
        self._splits = store.texts("split")
        self._drawn: dict[int, str] = {}
        self._skeleton = store.scheme.skeleton

    def figure(self, row: int) -> str:
        """One face with its split and name, as HTML."""
        name, split = escape(self._images[row]), escape(self._splits[row] or "no split")
        picture = f'<img alt="{name}" src="{self._url(row)}">' if self._store.has_crops else ""
        return f'<figure>{picture}<figcaption><span class="split">{split}</span> {name}</figcaption></figure>'

    def _url(self, row: int) -> str:
        if row not in self._drawn:
            crop = self._store.crops[row]
            picture = crop if crop.ndim == 2 else np.ascontiguousarray(crop[::-1].transpose(1, 2, 0))
            if picture.ndim == 2:
                picture = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)
            method = cv2.INTER_AREA if len(picture) > SIDE else cv2.INTER_LINEAR
            small = np.asarray(cv2.resize(picture, (SIDE, SIDE), interpolation=method), np.uint8)
            rows = slice(row, row + 1)
            affine = self._store.numbers("affine", rows)
            to_page = geometry.compose(geometry.resize_affine(SIDE / len(picture)), affine)
            points = geometry.apply(to_page, self._store.numbers("landmarks", rows))[0]
            _draw(small, points, self._skeleton)
            data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
            self._drawn[row] = "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
        return self._drawn[row]


def write_page(found: Audit, store: FaceStore, target: Path, *, most: int = 40) -> None:
    """Write the findings as HTML; at most ``most`` of each kind with pictures. Whole or not at all."""
    pictures = _Pictures(store)
    counts: list[tuple[str, int]] = []
    sections: list[str] = []

    def add(title: str, about: str, items: Sequence[Item], card: Callable[[Item], str], single: bool) -> None:
        counts.append((title, len(items)))
        if items:
            anchor = len(counts)
            shown = [card(item) for item in tqdm(items[:most], desc=title, disable=None, leave=False)]
            kind = "cards single" if single else "cards"
            sections.append(
                f'<h2 id="s{anchor}">{escape(title)} ({len(items):,})</h2><p>{escape(about)}</p>'
                f'<div class="{kind}">{"".join(shown)}</div>{_more(len(items) - len(shown))}'
            )

    def of_shared(item: Shared) -> str:
        count = ", ".join(f"{split} {n}" for split, n in item.faces.items())
        return _card(map(pictures.figure, item.rows), f"<b>{escape(item.name)}</b>: {escape(count)} faces")

    def of_pair(item: Pair) -> str:
        says = [f"score {item.score:.3f}"]
        if item.landmark_error is not None:
            says.append(f"landmarks differ by {100 * item.landmark_error:.1f}% of the face's radius")
        if item.subjects[0] != item.subjects[1]:
            says.append("two subjects")
        if item.kind == "mirrored":
            says.append("the names say so too" if item.names_agree else "the names do not say so")
        return _card(map(pictures.figure, item.rows), escape(" · ".join(says)))

    def of_conflict(item: Conflict) -> str:
        says = f"boxes overlap {item.iou:.2f}, points {100 * item.error:.1f}% of the box apart"
        return _card(map(pictures.figure, item.rows), says)

    def of_outlier(item: Outlier) -> str:
        return _card([pictures.figure(item.row)], escape("; ".join(item.reasons)))

    told = "".join(f" {text[0].upper()}{text[1:]}." for text in found.people_elsewhere)
    add("Subjects in two splits", "People that the store itself names on two sides." + told,
        found.shared_subjects, of_shared, False)  # fmt: skip
    add("People in two splits, by picture names", "The pictures' names tell of one person or photo.",
        found.shared_names, of_shared, False)  # fmt: skip
    add("Pictures in two splits", "One picture with faces on two sides.",
        found.shared_pictures, of_shared, False)  # fmt: skip
    for kind, title, about in (
        ("exact", "Copies of a file", "Different names, the same bytes."),
        (
            "near",
            "Nearly the same picture",
            "Copies but for encoding, shift, size or brightness; also neighbouring frames of a video.",
        ),
        ("mirrored", "Mirrored twins", "One is the other mirrored left to right, found by pixels."),
    ):
        for across, where in ((True, "across splits"), (False, "within a split")):
            pairs = found.pairs_of(kind, across)
            joined = f" They join into {groups_of(pairs):,} groups." if pairs else ""
            add(f"{title}, {where}", about + joined, pairs, of_pair, False)
    add("One face labelled twice", "The same face of the same picture with different landmarks.",
        found.conflicts, of_conflict, False)  # fmt: skip
    add("Landmarks that look wrong", "Unusual shapes, swapped sides, collapsed points, boxes elsewhere.",
        found.outliers, of_outlier, True)  # fmt: skip

    with whole_or_nothing(target) as part:
        part.write_text(_page(found, counts, sections), encoding="utf-8", errors="replace")


def _page(found: Audit, counts: list[tuple[str, int]], sections: list[str]) -> str:
    name = escape(Path(found.store).name)
    sides = escape(", ".join(f"{split or 'no split'} {count:,}" for split, count in found.splits.items()))
    tiles = "".join(
        f'<a href="#s{n}"><b>{count:,}</b><span>{escape(title)}</span></a>'
        if count
        else f'<a class="none"><b>0</b><span>{escape(title)}</span></a>'
        for n, (title, count) in enumerate(counts, 1)
    )
    notes = "".join(f"<p>Note: {escape(note)}.</p>" for note in found.notes)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Audit of {name}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body><main><h1>Audit of {name}</h1><p>{found.faces:,} faces, scheme {escape(found.scheme)}: "
        f'{sides}.</p>{notes}<div class="tiles">{tiles}</div>{"".join(sections)}'
        f"<footer>Written by flmd-data audit. Landmarks are drawn as the store holds them.</footer>"
        f"</main></body></html>\n"
    )


def _card(figures: Iterable[str], says: str) -> str:
    return f'<div class="card"><div class="faces">{"".join(figures)}</div><div>{says}</div></div>'


def _more(count: int) -> str:
    return f'<p class="more">and {count:,} more</p>' if count > 0 else ""


def _draw(
    picture: NDArray[np.uint8], points: NDArray[np.float64], skeleton: Iterable[tuple[int, int]]
) -> None:
    """Draw lines and points into a (S, S, 3) BGR picture, in place, sub-pixel."""
    good = np.abs(points).max(axis=1) < 4 * SIDE  # NaN is not
    places = np.where(good[:, None], points * 16, 0).round().astype(int).tolist()
    for a, b in skeleton:
        if good[a] and good[b]:
            cv2.line(picture, tuple(places[a]), tuple(places[b]), (190, 200, 60), 1, cv2.LINE_AA, 4)
    for n, place in enumerate(places):
        if good[n]:
            cv2.circle(picture, tuple(place), 20, (70, 240, 90), -1, cv2.LINE_AA, 4)

"""docs/schemes.md, written from the registry: ``python -m flmd.cli.schemes_page``.

A test holds the page to the registry.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flmd.schemes import SCHEMES, Scheme, available
from flmd.schemes.base import USUAL
from flmd.schemes.mapping import RULES, mapping

PAGE = Path(__file__).resolve().parents[2] / "docs" / "schemes.md"

_TOP = """\
# Landmark schemes

`python -m flmd.cli.schemes_page` makes this page from `flmd/schemes/`. Edit that, not this page.

Indices count from 0. Left and right are the person's own, whatever the names of a data set say: CelebA's
`lefteye` and AFLW's `LeftEyeCenter` are the person's right eye, and are called so here. Every scheme below
can be flipped. `points<K>` stands for K points of which nothing is known, and cannot be flipped.
"""

_COUNTS = """\
## From the number of points

Where a file does not say what its points are, their number decides: {usual}. Other numbers are `points<K>`.
So are 5 and 19, because five points come in more than one order, and 19 in more than one choice: name the
scheme. 106 points in InsightFace's order are not `lapa106`.

`jd106` is `lapa106` under the challenge's name. Both are the same people's markup, and code in the field
reads both with one index map. No file of JD-landmark was at hand to check that.
"""

_NAMES = """\
## Names of points

Where a file names its points, the names tell their order, wherever the points stand in it. Known are:

- the names of a scheme, in any case and with any separators: `jaw_0`, `Jaw 0`, `jaw-0`. The numbers of the
  parts may count from 1: `jaw_1` to `jaw_17`;
- numbers, alone or behind a word that all of them share: `0`, `00`, `kpt-0`, `face-0`, `point 1`. The whole
  set tells what they count from: 0 where a 0 occurs, 1 where the number of points occurs;
- the words of COCO-WholeBody's face (`face_contour_1`, `right_eyebrow_1`, ...) and the ids of SPIGA's lists.

A name that stands twice is an error. A file with a part of a scheme's names has a part of its points, and
the others are not labelled. Names of no known meaning are an error where the points would get one, and a
line says so. Points that mean nothing (`points17`) keep the order in which the first list names them.

Then you have to say what is meant:

| option | meaning |
| --- | --- |
| `--names FILE` | a YAML file says which name is which point |
| `--names keep` | the points stand in the order of the scheme, whatever their names |
| `--names 0`, `--names 1` | the names are numbers, which count from there |

The file is a mapping of names to points, by name or by index; `null` leaves a point out:

```yaml
chin: jaw_8
nose: 30
glasses: null
```

Or it is a list of all names, in the order of the scheme. In params.yaml the same stands under
`datasets.<name>.names`: `auto`, `keep`, "0", "1", a mapping or a list.
"""

_MAPPINGS = """\
## Mappings

Each point has a word of one vocabulary (`flmd/schemes/anatomy.py`). `mapping(source, target)` copies a
point bit for bit where both schemes have its word. Otherwise it takes the mean of other points, by the
rules below, or says which points are missing. With `partial=True` the missing points are NaN, not labelled.
An interpolated point is labelled where all points that it is made of are labelled, and hidden where one of
them is hidden.

The table goes from the scheme of the row to the scheme of the column. `whole` means that every point can be
had, and `~` how many of them are interpolated. Otherwise the cell says how many of the target's points can
be had.
"""

_RULES = """\
### Interpolated points

The table has the right side and the midline; the left side follows. Of several choices, the first is taken
whose points the source has. A single point stands in for its neighbour: iBUG and WFLW have a line along the
upper edge of a brow, where AFLW has its middle.
"""

_MEDIAPIPE = """\
### MediaPipe's mesh to iBUG's 68 points

Two maps are published. They differ along the jaw, at the outer ends of the brows, at the top of the nose
and at two points of the lower lip. flmd takes P. Yan's (`Mediapipe_2_Dlib_Landmarks`, 2024: 127, 234, 93,
the mean of 132 and 58, ...), and not the list that is copied most (162, 234, 93, 58, 172, 136, ...).

The distances below are shares of the inter-ocular distance. On MediaPipe's canonical face, seen from the
front, the two maps are 0.08 apart along the jaw on average. They are 0.20 apart at the ends of the jaw
(points 0 and 16), 0.10 at the ends of the brows (17 and 26), 0.07 at the lower lip (55 and 59) and 0.04 at
the nose (27 and 28).

The canonical face was fitted to 910 near-frontal faces of 300-W by the points that both maps share. Then
the distance to the annotated points was measured:

| | Yan's list | the other list |
| --- | --- | --- |
| along the jaw | 0.128 | 0.140 |
| at the ends of the jaw | 0.12 | 0.23 |
| at the ends of the brows | 0.07 | 0.13 |
| at the nose | 0.045 | 0.030 |

The mesh lies on the face, and annotators follow the outline of the face. So do not train on a jaw that is
made of the mesh.

Yan's list is not its own mirror image at one point: 13 is 361 alone, while 3 is the mean of 132 and 58.
Here 13 is the mean of 361 and 288, so that mapping a mirrored face gives the mirrored mapping.
"""

_MISSING = """\
### Missing points

The table has the pairs that lack 18 points or fewer. The sides of the nose's wings (COFW, AFLW, LaPa) are
not made from the outer ends of the nostrils (iBUG, WFLW), because those are other places. On real faces the
wings are 0.39 to 0.50 of the distance of the outer eye corners across (six faces), the nostrils 0.33 (the
median of 1008 iBUG faces).
"""
_FEW = 18
MESH = "mesh_"  # in the words of points that MediaPipe's mesh has and no other scheme


def page() -> str:
    """The whole page."""
    schemes = sorted(SCHEMES.values(), key=lambda s: (-s.count, s.name not in USUAL.values(), s.name))
    usual = ", ".join(f"{count} `{name}`" for count, name in sorted(USUAL.items()))
    parts = [
        _TOP,
        _table(
            ("scheme", "points", "outer eye corners", "pupils", "regions"),
            [
                (
                    f"`{s.name}`",
                    str(s.count),
                    " ".join(map(str, s.outer_eye_corners)) if s.outer_eye_corners else "none",
                    ", ".join(_ranges(group) for group in s.pupils) if s.pupils else "none",
                    "; ".join(f"{name} {_ranges(points)}" for name, points in s.regions.items()),
                )
                for s in schemes
            ],
        ),
        _COUNTS.format(usual=usual),
        _NAMES,
        _MAPPINGS,
        _table(
            ("from \\ to", *(s.name for s in schemes)),
            [(f"`{source.name}`", *(_cell(source, target) for target in schemes)) for source in schemes],
        ),
        "Whole ones, by source:\n",
        "".join(f"- `{s.name}`: {', '.join(available(s)) or 'none'}\n" for s in schemes),
        _RULES,
        _table(
            ("point", "mean of"),
            [
                (word, ", or ".join(" + ".join(choice) for choice in choices))
                for word, choices in RULES.items()
            ],
        ),
        _MEDIAPIPE,
        _MISSING,
        _table(
            ("from", "to", "missing"),
            [
                (f"`{source.name}`", f"`{target.name}`", ", ".join(missing))
                for source in schemes
                for target in schemes
                if 0 < len(missing := mapping(source, target, partial=True).missing) <= _FEW
            ],
        ),
        "## Points\n",
        "Each point has its word, and in brackets the scheme's own name where that is another.\n",
        "\n".join(_points(s, schemes) for s in schemes),
    ]
    return "\n".join(parts)


def _cell(source: Scheme, target: Scheme) -> str:
    if source is target:
        return ""
    kinds = mapping(source, target, partial=True).kinds
    between = f" ~{kinds.count('interpolated')}" if "interpolated" in kinds else ""
    had = len(kinds) - kinds.count("absent")
    return ("whole" if had == len(kinds) else f"{had} of {len(kinds)}") + between


def _points(scheme: Scheme, schemes: Sequence[Scheme]) -> str:
    first = next(s for s in schemes if (s.points, s.landmarks) == (scheme.points, scheme.landmarks))
    if first is not scheme:
        return f"**{scheme.name}**: as {first.name}\n"
    names = [
        f"{i} {word}" + (f" ({name})" if name != word else "")
        for i, (word, name) in enumerate(zip(scheme.landmarks, scheme.points, strict=True))
        if MESH not in word
    ]
    rest = scheme.count - len(names)
    others = f"; {rest} more of the mesh, which no other scheme has" if rest else ""
    return f"**{scheme.name}**: {', '.join(names)}{others}\n"


def _ranges(points: Sequence[int]) -> str:
    """ "36-41 96" for 36, 37 ... 41, 96."""
    runs: list[list[int]] = []
    for point in sorted(points):
        if runs and point == runs[-1][-1] + 1:
            runs[-1].append(point)
        else:
            runs.append([point])
    return " ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

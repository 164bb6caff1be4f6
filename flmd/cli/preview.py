"""The contact sheet of `flmd-data preview`: faces of a store, or of annotations and their pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from flmd.cli.choices import Exif
from flmd.cli.common import check_free
from flmd.cli.reading import ExifFrame, Names, reading
from flmd.conversion.context_crops import Cropped, crop_image
from flmd.conversion.face_source import StoredFaces
from flmd.conversion.settings import BoxPolicy, CropSettings
from flmd.core import geometry, terminal
from flmd.core.orientation import STORED
from flmd.curation.alignment import mean_shape, procrustes_distance, to_complex
from flmd.errors import InputError, StoreError, printable
from flmd.evaluation import galleries
from flmd.face import Face, Skipped
from flmd.schemes import Scheme
from flmd.store.column_buffer import ColumnBuffer
from flmd.store.face_store import FaceStore
from flmd.tree import FileTree

BLOCK = 2048
FITTED = 4096  # faces that the mean shape is made of
SIDE, MARGIN = 256, 2.4  # of crops made for the sheet: px, and over the box's longer side
TRIED = 10  # times as many faces as wanted are tried when pictures are missing
Numbers = Callable[[str, Any], NDArray[Any]]


def preview_command(
    path: Annotated[str, typer.Argument(metavar="PATH", help="A store, or annotations with pictures.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="PNG to write.")],
    count: Annotated[int, typer.Option(help="How many faces.", min=1, max=400)] = 24,
    seed: Annotated[int, typer.Option(help="Which faces.")] = 0,
    numbers: Annotated[bool, typer.Option(help="Write the index beside each point.")] = False,
    worst: Annotated[
        bool, typer.Option(help="The least usual shapes first; their distance from the mean shape is 0 to 1.")
    ] = False,
    from_: Annotated[str | None, typer.Option("--from", help="Format of PATH; found out by default.")] = None,
    names: Names = None,
    exif: ExifFrame = Exif.AUTO,
    overwrite: Annotated[bool, typer.Option(help="Replace the output if it exists.")] = False,
) -> None:
    """Draw a contact sheet of faces: boxes, points, the lines that join them; hidden points are hollow.

    Example: flmd-data preview data/faces.h5 -o sheet.png
    """
    from flmd.conversion.opening import open_faces

    check_free(output, overwrite)
    with open_faces(path, from_=from_, names=reading(names).names, exif=exif.value) as source:
        if isinstance(source, StoredFaces):
            drawn = draw_sheet(source.store, output, count=count, seed=seed, numbers=numbers, worst=worst)
        elif source.pictures is None:
            raise InputError("no pictures to draw on", where=source.origin)
        else:
            drawn, missed = draw_annotations(
                source,
                source.pictures,
                source.scheme,
                output,
                count=count,
                seed=seed,
                numbers=numbers,
                worst=worst,
                frame=source.frame,
            )
            for reason, number in sorted(missed.items()):
                terminal.say(f"not drawn: {reason} {number}", err=True)
    terminal.say(f"{output}: {drawn} faces")
    if worst:
        terminal.say(
            "the numbers: Procrustes distance of a face's points from the mean shape, whatever its place, "
            "size and turn; 0 is the same shape, 1 a jumble"
        )


def draw_sheet(
    store: FaceStore, path: Path, *, count: int, seed: int, numbers: bool, worst: bool = False
) -> int:
    """Draw ``count`` faces of a store, with boxes and points; returns how many.

    ``seed`` chooses them, in the order of the store; ``worst`` those whose shape is least usual, by rank.
    """
    if not len(store):
        raise StoreError("holds no faces", where=str(store.path))
    crops = store.crops
    order, far = _order(store.numbers, len(store), store.scheme, seed, worst)
    rows = order[: min(count, len(store))]
    rows = rows if worst else np.sort(rows)
    pixels = [np.asarray(crops[row]) for row in rows.tolist()]
    titles = _titles(rows, store.texts("image", rows), far)
    _draw(
        [p.transpose(1, 2, 0) if p.ndim == 3 else p for p in pixels],
        store.numbers("affine", rows),
        store.numbers("box", rows),
        store.numbers("landmarks", rows),
        store.numbers("visibility", rows),
        titles,
        store.scheme,
        path,
        numbers,
    )
    return len(rows)


def draw_annotations(
    faces: Iterable[Face | Skipped],
    pictures: FileTree,
    scheme: Scheme,
    path: Path,
    *,
    count: int,
    seed: int,
    numbers: bool,
    worst: bool = False,
    frame: str = STORED,
) -> tuple[int, Counter[str]]:
    """Draw ``count`` faces of annotations, each cropped from its picture.

    Parameters
    ----------
    faces : streamed once, kept on disk. pictures : the tree in which ``Face.image`` is a name.
    seed, worst : which faces, as for :func:`draw_sheet`.
    frame : of the faces' coordinates (``flmd.core.orientation``), and so of the pictures that are drawn on.

    Returns
    -------
    How many were drawn, and reason -> how many were not: skipped by the reader, or without a picture.

    Raises
    ------
    InputError : not one face can be drawn.
    """
    missed: Counter[str] = Counter()
    with (
        TemporaryDirectory(prefix="flmd-preview-") as scratch,
        closing(ColumnBuffer(Path(scratch), scheme.count)) as buffer,
    ):
        for block in _blocks(faces, missed):
            buffer.append(block)
        order, far = _order(lambda name, rows: buffer.column(name)[rows], len(buffer), scheme, seed, worst)
        rows = order[: TRIED * count].tolist()
        made = _first_cropped(buffer, rows, count, pictures, missed, frame)
    if not made:
        why = ", ".join(f"{reason} {number}" for reason, number in sorted(missed.items()))
        raise InputError("not one face can be drawn", where=pictures.origin, hint=why or "there are none")
    rows = list(made) if worst else sorted(made)
    chosen = [made[row] for row in rows]
    _draw(
        [item.pixels.transpose(1, 2, 0) for item in chosen],
        np.stack([item.affine for item in chosen]),
        np.stack([item.face.box for item in chosen if item.face.box is not None]),
        np.stack([item.face.landmarks for item in chosen]),
        np.stack([item.face.visibility for item in chosen]),
        _titles(np.array(rows), [item.face.image for item in chosen], far),
        scheme,
        path,
        numbers,
    )
    return len(chosen), missed


def _first_cropped(
    buffer: ColumnBuffer,
    rows: list[int],
    count: int,
    pictures: FileTree,
    missed: Counter[str],
    frame: str,
) -> dict[int, Cropped]:
    """Row -> the crop of its face, of the first ``count`` rows that have a picture; counts the others."""
    made: dict[int, Cropped] = {}
    for row in rows:
        (item,) = _cropped(pictures, buffer.faces(row, row + 1)[0], frame)
        if isinstance(item, Skipped):
            missed[item.reason] += 1
        else:
            made[row] = item
        if len(made) == count:
            break
    return made


def _blocks(faces: Iterable[Face | Skipped], missed: Counter[str]) -> Iterator[list[Face]]:
    block: list[Face] = []
    for item in faces:
        if isinstance(item, Skipped):
            missed[item.reason] += 1
            continue
        block.append(item)
        if len(block) == BLOCK:
            yield block
            block = []
    yield block


def _cropped(pictures: FileTree, face: Face, frame: str) -> list[Cropped | Skipped]:
    """A crop around the annotated box; around the points where there is none."""
    box = BoxPolicy.LANDMARKS if face.box is None else BoxPolicy.ANNOTATED
    return crop_image(pictures, CropSettings(SIDE, MARGIN), box, [face], frame)


def _order(
    numbers: Numbers, count: int, scheme: Scheme, seed: int, worst: bool
) -> tuple[NDArray[np.intp], NDArray[np.float64] | None]:
    """Rows in the order in which they are wanted; with ``worst`` also how far each is from the mean shape."""
    if not worst:
        return np.random.default_rng(seed).permutation(count), None
    sample = np.unique(np.linspace(0, count - 1, min(FITTED, count)).astype(np.intp))
    mean = mean_shape(to_complex(numbers("landmarks", sample)), scheme)
    blocks = (numbers("landmarks", slice(start, start + BLOCK)) for start in range(0, count, BLOCK))
    distances = [procrustes_distance(to_complex(points), mean) for points in blocks]
    far = np.concatenate([np.empty(0), *distances])
    return np.argsort(-np.nan_to_num(far, nan=-1.0), kind="stable"), far


def _titles(rows: NDArray[np.intp], images: list[str], far: NDArray[np.float64] | None) -> list[str]:
    titles = [f"{row}  {printable(Path(name).name)}" for row, name in zip(rows.tolist(), images, strict=True)]
    if far is None:
        return titles
    return [
        f"{title}\nfrom the mean shape {far[row]:.2f}"
        for title, row in zip(titles, rows.tolist(), strict=True)
    ]


def _draw(
    pictures: list[NDArray[np.uint8]],
    affine: NDArray[np.float64],
    box: NDArray[np.floating],
    landmarks: NDArray[np.floating],
    visibility: NDArray[np.uint8],
    titles: list[str],
    scheme: Scheme,
    path: Path,
    numbers: bool,
) -> None:
    box = box.astype(np.float64)
    # A box covers whole pixels: its edges lie half a pixel outside the outermost centres.
    corners = np.stack([box[:, :2] - 0.5, box[:, :2] + box[:, 2:] - 0.5], axis=1)
    placed = geometry.apply(affine, corners)
    boxes = np.concatenate([placed[:, 0] + 0.5, placed[:, 1] - placed[:, 0]], axis=1)
    galleries.contact_sheet(
        pictures,
        geometry.apply(affine, landmarks),
        boxes,
        titles,
        path,
        numbers=numbers,
        visibility=visibility,
        skeleton=scheme.skeleton,
    )

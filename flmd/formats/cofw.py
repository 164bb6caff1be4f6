"""COFW, "Caltech Occluded Faces in the Wild": MATLAB 7.3 files with 29 points and the pictures inside."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from flmd.errors import InputError, one_line
from flmd.face import HIDDEN, NOT_LABELLED, VISIBLE, Face, SkipFace, Skipped
from flmd.formats.base import Detection, Format, WriteReport
from flmd.formats.layout import LARGEST, photo_of
from flmd.schemes import Scheme
from flmd.tree import FileTree
from flmd.tree.names import shown

if TYPE_CHECKING:
    from flmd.formats.cofw_file import CofwFile

POINTS = 29
_BLOCK = 256  # faces read at once
_MATLAB = b"MATLAB 7.3 MAT-file"


class Cofw(Format):
    """``COFW_train_color.mat``: ``IsTr``, ``bboxesTr``, ``phisTr``; or the same with ``T`` for testing.

    A MATLAB 7.3 file is HDF5 with the axes reversed: ``IsTr`` (1, N) refers to pictures (3, W, H) or
    (W, H) uint8, ``bboxesTr`` (4, N) holds x, y, width, height and ``phisTr`` (87, N) 29 x, 29 y and 29
    flags. Points and the box's x, y are 1-based pixel centres (base 1): 1 is taken off on reading. A point
    whose flag is not 0 is occluded: hidden (1); the others are visible (2).

    Reading
    -------
    Variables that end in ``Tr`` are the split "train", those in ``T`` "test"; a file may hold both. The
    picture is ``COFW_train_color/00001.png`` for the first face of ``COFW_train_color.mat``;
    :meth:`pictures` is the tree that holds it as a PNG, upright, grey where the file has it grey. NaN in
    both coordinates: the point is not labelled; NaN throughout a box: there is none. Where a colour file
    and its grey twin lie side by side both are read. Only what lies in the file is read: soft and external
    links, virtual datasets, data kept elsewhere and filters other than deflate are refused.

    Skipped reasons: ``not_a_number`` (inf, NaN in one coordinate of two, beyond float32), ``bad_box``
    (not positive, not finite), ``bad_picture`` (the reference leads to no picture). InputError: not HDF5,
    truncated or damaged; a variable is missing, of another shape or kind; numbers of faces differ.

    Writing
    -------
    One file when the target ends in ``.mat``, else a folder with ``COFW_train_color.mat`` and
    ``COFW_test_color.mat``. Faces of other splits than test go to the variables for training. A picture
    is stored decoded, (3, W, H), once for each face; without one the cell is empty. Lost, by key of
    ``WriteReport.lost``: ``picture`` (there was none, or it cannot be decoded), ``image size`` (of such
    a face), ``image name``, ``box source``, ``subject``, ``split``, ``subset``, ``dataset``,
    ``attributes``, ``box`` (of no positive size: NaN is written).
    """

    name = "cofw"
    title = "COFW (29 points, MATLAB 7.3, pictures inside)"
    detected_by = "*.mat that is HDF5 with IsTr, bboxesTr, phisTr or IsT, bboxesT, phisT"
    suffix = ".mat"
    scheme = "cofw29"
    base = 1
    boxes = True
    visibility = True
    needs = frozenset({"pixels"})

    def detect(self, tree: FileTree) -> Detection:
        """Any ``*.mat`` that is HDF5, behind MATLAB's 512 bytes or without, with one of the variables."""
        from flmd.formats.cofw_file import SIGNATURE, USERBLOCK, CofwFile, sets_in

        found: list[str] = []
        why = "no *.mat that is HDF5"
        for name in tree.names:
            if not name.lower().endswith(".mat"):
                continue
            head = b""
            try:
                head = tree.read(name, 0, USERBLOCK + len(SIGNATURE))
                if not (head.startswith(SIGNATURE) or head[USERBLOCK:] == SIGNATURE):
                    continue
                with CofwFile(tree, name) as file:
                    if any(True for _ in sets_in(file)):
                        found.append(name)
                    else:
                        why = f"no variable of COFW in {shown(name)}"
            except InputError as error:
                if _MATLAB in head and b"COFW" in name.encode(errors="replace"):
                    found.append(name)  # reading says what is wrong with it
                why = f"{shown(name)}: {error.what}"
        if not found:
            return Detection((), why)
        return Detection(tuple(found), f"COFW files: {', '.join(map(shown, found))}")

    def pictures(self, tree: FileTree) -> FileTree:
        """The pictures inside the files, each decoded when it is read."""
        from flmd.formats.cofw_file import cofw_pictures

        return cofw_pictures(tree, self.detect(tree).files)

    def read(self, tree: FileTree, scheme: Scheme, files: tuple[str, ...]) -> Iterator[Face | Skipped]:
        """Yield the faces of every file in order; memory holds 256 of them."""
        from flmd.formats.cofw_file import CofwFile, sets_in

        _check_scheme(scheme)
        for name in files:
            with CofwFile(tree, name) as file:
                number = 0
                for split, variables in sets_in(file):
                    for item in _faces(file, name, split, variables, number):
                        number += 1
                        yield item
                if not number and not list(sets_in(file)):
                    raise InputError("no variable IsTr or IsT", where=file.where)

    def write(
        self, faces: Iterable[Face], target: Path, scheme: Scheme, pictures: FileTree | None = None
    ) -> WriteReport:
        """Write a ``.mat`` file or a folder of them; see the class for what is lost."""
        from flmd.formats.cofw_writer import write

        _check_scheme(scheme)
        return write(faces, target, scheme, pictures)


def _check_scheme(scheme: Scheme) -> None:
    if scheme.count != POINTS:
        raise InputError(f"scheme {scheme.name} has {scheme.count} points", expected=f"{POINTS}, as COFW has")


def _faces(
    file: CofwFile, name: str, split: str, variables: tuple[str, str, str], before: int
) -> Iterator[Face | Skipped]:
    """The faces of one set; ``before`` of the file came earlier."""
    from flmd.formats.cofw_file import FAILURES, picture_of

    images, boxes, phis = variables
    cells, box_rows, phi_rows = file.references(images), file.rows(boxes, 4), file.rows(phis, 3 * POINTS)
    counts = {images: cells.size, boxes: box_rows.shape[1], phis: phi_rows.shape[1]}
    if len(set(counts.values())) != 1:
        listed = ", ".join(f"{variable} {count}" for variable, count in counts.items())
        raise InputError(f"numbers of faces differ: {listed}", where=file.where)
    for start in range(0, cells.size, _BLOCK):
        block = slice(start, start + _BLOCK)
        try:
            references = cells[()].ravel()[block]
            box_block = box_rows[:, block].T.astype(np.float64)
            phi_block = phi_rows[:, block].T.astype(np.float64)
        except FAILURES as error:
            raise InputError(f"damaged ({one_line(error)})", where=file.where) from None
        for i, (reference, box, phi) in enumerate(zip(references, box_block, phi_block, strict=True)):
            number = start + i + 1
            where = f"{file.where} ({phis} {number})"
            try:
                picture = file.picture(reference)
            except SkipFace as fault:
                yield fault.at(where)
                continue
            except FAILURES as error:
                yield Skipped("bad_picture", where, one_line(error))
                continue
            size = None if picture is None else (int(picture.shape[-2]), int(picture.shape[-1]))
            yield _face(picture_of(name, before + number), split, box, phi, size, where)


def _face(
    image: str,
    split: str,
    box: NDArray[np.float64],
    phi: NDArray[np.float64],
    size: tuple[int, int] | None,
    where: str,
) -> Face | Skipped:
    points = phi[: 2 * POINTS].reshape(2, POINTS).T - 1
    missing = np.isnan(points)
    if (missing[:, 0] != missing[:, 1]).any() or (np.abs(points[~missing]) > LARGEST).any():
        return Skipped("not_a_number", where, "a coordinate is not finite, or beyond float32")
    flags = phi[2 * POINTS :]
    if not np.isfinite(flags).all():
        return Skipped("not_a_number", where, "a flag of occlusion is not a number")
    boxed = not np.isnan(box).all()
    if boxed and not ((np.abs(box) <= LARGEST).all() and (box[2:].astype(np.float32) > 0).all()):
        return Skipped("bad_box", where, f"width {box[2]}, height {box[3]}, expected above 0")
    return Face(
        image=image,
        landmarks=points.astype(np.float32),
        visibility=np.where(missing[:, 0], NOT_LABELLED, np.where(flags != 0, HIDDEN, VISIBLE)).astype(
            np.uint8
        ),
        box=(box - np.array([1, 1, 0, 0])).astype(np.float32) if boxed else None,
        box_source="annotated" if boxed else "none",
        subject=photo_of(image),
        split=split,
        image_size=size,
        where=where,
    )

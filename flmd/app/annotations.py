"""Faces as a file to take home, in any of the formats that can hold them."""

from __future__ import annotations

import io
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from flmd import formats
from flmd.curation.write_annotations import write_faces
from flmd.face import Face
from flmd.schemes import Scheme

FIRST = ("coco", "dlib-xml", "csv", "cvat")  # what is asked for most
SAME = frozenset({"merl-rav-pts"})  # as pts, as long as no point is hidden


def offered(scheme: Scheme) -> list[str]:
    """Names of the formats that can hold points of a scheme without the picture inside."""
    fit = [
        name
        for name in formats.names()
        if name not in SAME
        and formats.get(name).scheme in (None, scheme.name)
        and "pixels" not in formats.get(name).needs
    ]
    return sorted(fit, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name))


@dataclass(frozen=True)
class AnnotationFile:
    """``name`` and ``data`` of a file, and what of the faces it could not hold -> of how many of them."""

    name: str
    data: bytes
    lost: dict[str, int]


def annotation_file(faces: list[Face], scheme: Scheme, name: str, stem: str) -> AnnotationFile:
    """Faces in the format called ``name``: one file called ``stem``, or a zip where the format has several.

    Raises
    ------
    InputError, ParamsError : the format cannot hold these faces.
    """
    fmt = formats.get(name)
    with tempfile.TemporaryDirectory(prefix="flmd-app-") as folder:
        target = Path(folder) / f"{stem}{fmt.suffix}"
        lost = dict(write_faces(faces, fmt, target, scheme).lost)
        files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        if files == [target]:
            return AnnotationFile(target.name, target.read_bytes(), lost)
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in files:
                inside = path.relative_to(target if target.is_dir() else Path(folder)).as_posix()
                archive.writestr(zipfile.ZipInfo(inside), path.read_bytes(), zipfile.ZIP_DEFLATED)
        return AnnotationFile(f"{stem}.zip", packed.getvalue(), lost)

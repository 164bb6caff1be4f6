"""The built-in sample: drawn faces in the two published layouts, for a pipeline that runs without a download.

The archives imitate the published ones down to file names, XML and CSV, with their traps: boxes that
leave the image, mirrored twins, grey pictures, an EXIF orientation that the annotations do not follow,
points outside the image, unlabelled test pictures. The people do not exist. Every picture's random numbers
are a function of (seed, what it is) only, so that the bytes do not depend on the number of workers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from flmd.core.atomic import whole_or_nothing
from flmd.errors import ParamsError
from flmd.parallel.pool import in_order
from flmd.sources.sample import ibug300w, youtube_faces

Result = TypeVar("Result")


def make_ibug300w(path: Path, *, faces: int = 900, seed: int = 0, workers: int | None = None) -> None:
    """Write a tar.gz laid out as the published iBUG 300-W (large) archive of dlib.

    Landmarks are whole pixels, 0-based; boxes are as a detector draws them, from the brows to the chin with
    a few percent of error. The training list holds afw, helen/trainset, lfpw/trainset and mirrored twins
    of some; the test list helen/testset, lfpw/testset and the harder ibug.

    Parameters
    ----------
    path : the archive to write; replaced whole or not at all.
    faces : number of boxes over both lists, mirrored twins included; at least 24. A quarter are test faces.
    seed : 0 to 2**64 - 1; the same seed and ``faces`` give the same bytes.
    workers : processes; None: FLMD_WORKERS, else all CPUs.

    Raises
    ------
    ParamsError : ``faces``, ``seed`` or ``workers`` out of range.
    """
    _check(faces, seed)
    pictures = ibug300w.plan(faces, seed)
    drawn = in_order(ibug300w.draw, seed, pictures, workers=workers)
    with whole_or_nothing(path) as new:
        ibug300w.write(new, _shown(drawn, len(pictures), "drawing iBUG 300-W sample"))


def make_youtube_faces(path: Path, *, faces: int = 600, seed: int = 0, workers: int | None = None) -> None:
    """Write a zip laid out as the published YouTube Faces keypoints archive.

    Keypoints are whole pixels, 0-based, some outside the image. People are in both splits, as published,
    and a labelled test frame has the name of a training frame with other pixels. A tenth more test pictures
    are not in the CSV.

    Parameters
    ----------
    path, seed, workers : as in :func:`make_ibug300w`.
    faces : number of CSV rows over both splits; at least 24. A fifth are test rows;
        there is one person for every eight.

    Raises
    ------
    ParamsError : ``faces``, ``seed`` or ``workers`` out of range.
    """
    _check(faces, seed)
    frames = youtube_faces.plan(faces, seed)
    drawn = in_order(youtube_faces.draw, seed, frames, workers=workers)
    with whole_or_nothing(path) as new:
        youtube_faces.write(new, _shown(drawn, len(frames), "drawing YouTube Faces sample"))


def _check(faces: int, seed: int) -> None:
    if faces < 24:
        raise ParamsError(f"faces is {faces}", expected="at least 24, so that every kind of picture occurs")
    if not 0 <= seed < 1 << 64:
        raise ParamsError(f"seed is {seed}", expected="0 to 2**64 - 1")


def _shown(results: Iterable[Result], total: int, text: str) -> Iterator[Result]:
    yield from tqdm(results, total=total, desc=text, unit="picture", disable=None, leave=False)

"""The YouTube Faces half of the built-in sample: which frames there are, how one is drawn, the archive."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from flmd.core import exact
from flmd.sources.sample.camera import Head
from flmd.sources.sample.draws import Draws
from flmd.sources.sample.person import draw_expression, draw_person
from flmd.sources.sample.scene import Camera, draw_light, render

_FIRST = [
    "Amsel",
    "Birka",
    "Corvin",
    "Dalina",
    "Edrik",
    "Fenja",
    "Garvin",
    "Hedda",
    "Ivor",
    "Jolanda",
    "Kester",
    "Lumi",
    "Merrick",
    "Nerea",
    "Odalys",
    "Perrin",
    "Quilla",
    "Rufin",
    "Sunniva",
    "Torvald",
    "Ulla",
    "Vesna",
    "Wendel",
    "Xanthe",
    "Yorick",
    "Zelda",
]
_LAST = [
    "Ahornberg",
    "Birkenthal",
    "Clovermoor",
    "Dornfels",
    "Elderwick",
    "Farnwood",
    "Glimmer",
    "Haselbrook",
    "Ilvermere",
    "Juniper_Vale",
    "Kieselbach",
    "Larkmeadow",
    "Moosgrund",
    "Nettlefield",
    "Oxenbridge",
    "Pinewhistle",
    "Quarrystone",
    "Ravensroot",
    "Sandelholt",
]
_HEADER = "," + ",".join(str(i) for i in range(136))
FRAMES = 3  # of a video, numbered 0, 1, 2


@dataclass(frozen=True)
class Frame:
    """One picture: a frame of a video of a person. ``take`` tells a test frame from its namesake."""

    person: int
    video: int
    number: int
    take: int
    name: str
    split: str  # training or test
    labelled: bool = True


@dataclass(frozen=True)
class Drawn:
    """A frame's PNG and its ``(68, 2)`` points."""

    frame: Frame
    png: bytes
    points: NDArray[np.int64]


def random(seed: int, *stream: int) -> Draws:
    """Independent numbers for each of up to three stream indices below 2**32."""
    return Draws([seed, 68], [0, *stream] + [0] * (3 - len(stream)))


def plan(faces: int, seed: int) -> list[Frame]:
    """``faces`` labelled frames, a fifth of them test frames, and a tenth more unlabelled test frames."""
    people = min(max(4, faces // 8), len(_FIRST) * len(_LAST))
    names = random(seed, 1).permutation(len(_FIRST) * len(_LAST))[:people]
    test = round(0.2 * faces)
    training = []
    for i in range(faces - test):
        turn, person = divmod(i, people)
        video, number = divmod(turn, FRAMES)
        first, last = divmod(int(names[person]), len(_LAST))
        name = f"{_FIRST[first]}_{_LAST[last]}_{video}{number}.jpg"
        training.append(Frame(person, video, number, 0, name, "training"))
    # people spread evenly over the test rows: the training rows run through them in turn
    order = random(seed, 2).permutation(len(training)).tolist()
    both = [replace(training[i], take=1, split="test") for i in order[:test]]
    extra = max(2, faces // 10)
    unlabelled = []
    for person in range(extra):
        first, last = divmod(int(names[person % people]), len(_LAST))
        video = 5 + person // people  # videos that training never shows
        name = f"{_FIRST[first]}_{_LAST[last]}_{video}0.jpg"
        unlabelled.append(Frame(person % people, video, 0, 0, name, "test", labelled=False))
    return training + both + unlabelled


def draw(seed: int, frame: Frame) -> Drawn:
    """The frame. A video has one size, light and background; the head moves a little from frame to frame."""
    person = draw_person(random(seed, 3, frame.person))
    video = random(seed, 4 + frame.person, 1 + frame.video)
    rng = random(seed, 4 + frame.person, 1 + frame.video, 1 + 10 * frame.number + frame.take)
    width = int((188 * exact.exp(video.normal(0, 0.16))).clip(140, 260))
    height = int(width * video.uniform(0.98, 1.2))
    size = width * float(np.clip(video.normal(0.245, 0.035), 0.17, 0.33))
    yaw, pitch, roll = video.normal((0, 0, 0), (20, 8, 8)) + rng.normal((0, 0, 0), (6, 3, 2.5))
    x = (0.5 + video.normal(0, 0.03) + rng.normal(0, 0.012)) * width
    y = (0.43 + video.normal(0, 0.03) + rng.normal(0, 0.012)) * height
    if video.random() < 0.06:  # the person leaves the frame
        x, size = (0.14 if video.random() < 0.5 else 0.86) * width, size * 1.2
    light = draw_light(video, video.random() < 0.12)
    # the compression of old videos: soft, with little noise left
    camera = Camera(
        blur=float(video.uniform(0.4, 1.3)),
        noise=float(video.uniform(0, 0.008)),
        gamma=float(exact.exp(video.normal(0, 0.15))),
        smear=2.0 if rng.random() < 0.05 else 0.0,
    )
    head = Head(
        person, draw_expression(rng, 0.9), float(np.clip(yaw, -45, 45)), float(np.clip(pitch, -20, 20)),
        float(np.clip(roll, -25, 25)), (float(x), float(y)), size,
    )  # fmt: skip
    image = render(rng, video, (width, height), [head], light, camera, things=0.12)
    rgba = cv2.cvtColor(image, cv2.COLOR_RGB2BGRA)
    png = cv2.imencode(".png", rgba, [cv2.IMWRITE_PNG_COMPRESSION, 3])[1].tobytes()
    return Drawn(frame, png, np.floor(head.landmarks() + 0.5).astype(np.int64))


def write(path: Path, drawn: Iterable[Drawn]) -> None:
    """The archive; the same frames give the same bytes."""
    rows: dict[str, list[str]] = {"training": [_HEADER], "test": [_HEADER]}
    with zipfile.ZipFile(path, "w") as archive:
        for item in drawn:
            _add(archive, f"{item.frame.split}/{item.frame.name}", item.png)
            if item.frame.labelled:
                values = ",".join(f"{float(value)}" for value in item.points.ravel().tolist())
                rows[item.frame.split].append(f"{item.frame.name},{values}")
        for split, lines in rows.items():
            data = "\n".join([*lines, ""]).encode()
            _add(archive, f"{split}_frames_keypoints.csv", data)


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    # stored and not deflated: zlib's bytes differ from one build to the next
    info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    info.compress_type, info.external_attr, info.create_system = zipfile.ZIP_STORED, 0o644 << 16, 3
    archive.writestr(info, data)

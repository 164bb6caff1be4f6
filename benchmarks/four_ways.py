"""The points of pictures by each of the four ways that a user has to them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tqdm import tqdm

import flmd
from flmd.errors import InputError, ParamsError
from tests.app.page_driver import PATIENCE, Page, app_served
from tests.browser import chromium

# How the page calls a detector; None: the one it begins with. A file of boxes is nothing for visitors.
ON_PAGE = {"haar": None, "none": "whole picture", "yunet": "YuNet"}

ATTEMPTS = 3  # of a picture: on a busy machine Chromium may not answer in time

# Name of the picture -> (N, K, 2) px, the largest face first. Pictures without a face are not there.
Points = dict[str, NDArray[np.float32]]


def by_python(model: Path, pictures: Sequence[Path], detector: str, label: str = "Python") -> Points:
    """``flmd.load(model).predict`` of each picture; the model may be an ONNX file."""
    landmarker = flmd.load(model)
    points = {}
    for path in tqdm(pictures, desc=label, unit="picture", disable=None):
        faces = landmarker.predict(path, detector)
        if faces:
            points[path.name] = np.stack([face.landmarks for face in faces])
    return points


def by_command(model: Path, pictures: Sequence[Path], detector: str, out: Path) -> Points:
    """A process of ``flmd predict --to coco``; its numbers have all digits of a float32.

    It names pictures by their place under the folder that all lie in, so they must lie in the same one.
    """
    _flmd(
        "predict", *pictures, "--model", model, "--detector", detector, "--to", "coco", "--no-draw", "-o", out
    )
    return points_of_coco(out / "annotations.json")


def by_onnx(model: Path, pictures: Sequence[Path], detector: str, exported: Path) -> Points:
    """A process of ``flmd export --to onnx``, and ``flmd.load`` of the file that it writes."""
    _flmd("export", model, "--to", "onnx", "--output", exported)
    return by_python(exported, pictures, detector, "ONNX Runtime")


def by_page(page: Page, pictures: Sequence[Path], detector: str, folder: Path) -> Points:
    """Each picture uploaded by a new visitor, who downloads its annotations, COCO, into ``folder``.

    The file names its picture as it was sent, so that no picture gets the points of the one before.
    """
    points: Points = {}
    for path in tqdm(pictures, desc="web page", unit="picture", disable=None):
        points |= _by_visitor(page, path, detector, folder)
    return points


def _by_visitor(page: Page, path: Path, detector: str, folder: Path, attempts: int = ATTEMPTS) -> Points:
    from selenium.common.exceptions import WebDriverException

    wanted = ON_PAGE[detector.partition(":")[0]]
    where = f"the page, {path.name}"
    try:
        page.open()
        if wanted is not None:
            page.choose("detector", wanted)
        page.upload(path)
        if not page.result():
            return {}
        return points_of_coco(page.downloaded("download_annotations", folder))
    except AssertionError as error:
        raise InputError(f"no result: {error}", where=where) from None
    except WebDriverException as error:
        if attempts == 1:
            raise InputError(f"no result: {error.msg}", where=where) from None
    return _by_visitor(page, path, detector, folder, attempts - 1)


def by_app(model: Path, pictures: Sequence[Path], detector: str, scratch: Path) -> Points:
    """:func:`by_page` with a process of ``flmd app`` and one headless Chromium of their own."""
    options = ["--model", str(model)]
    if detector.startswith("yunet:"):
        options += ["--yunet", str(Path(detector.partition(":")[2]).resolve())]
    for name in ("server", "downloads"):
        (scratch / name).mkdir()
    try:
        with app_served(options, scratch / "server") as address, chromium() as browser:
            browser.driver.set_page_load_timeout(PATIENCE)
            return by_page(Page(browser, address), pictures, detector, scratch / "downloads")
    except pytest.skip.Exception as error:  # how the tests' browser says that it is not installed
        raise ParamsError(str(error.msg)) from None


def points_of_coco(path: Path) -> Points:
    """The keypoints of a COCO file, read without flmd, in the file's order."""
    document = json.loads(path.read_text(encoding="utf-8"))
    points = {}
    for image in document["images"]:
        faces = [a["keypoints"] for a in document["annotations"] if a["image_id"] == image["id"]]
        points[image["file_name"]] = np.array(faces, np.float32).reshape(len(faces), -1, 3)[:, :, :2]
    return points


def _flmd(*arguments: str | Path) -> None:
    """Run ``flmd``; InputError when it fails, after it has said why."""
    command = [str(Path(sys.executable).with_name("flmd")), *map(str, arguments)]
    status = subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode
    if status:
        raise InputError(f"exit status {status}", where=f"flmd {arguments[0]}")

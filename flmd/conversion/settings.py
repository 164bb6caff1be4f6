"""What a conversion is told: how to crop, how to split, where to report, who works."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from flmd.core.crop_spec import CropSpec
from flmd.errors import ParamsError, did_you_mean

SMALLEST_CROP = 8  # px; a smaller one cannot show a face


class BoxPolicy(StrEnum):
    """What the box of a face is: the annotated one, one around the points, or the whole picture."""

    ANNOTATED = "annotated"
    LANDMARKS = "landmarks"
    IMAGE = "image"


class SplitPolicy(StrEnum):
    """Who trains and who tests.

    ``keep``: as the annotations say, if they say it. ``published``: the same, but they must say it.
    ``standard``: as the field quotes its numbers on this data set. ``subject``: drawn, by subject.
    """

    KEEP = "keep"
    PUBLISHED = "published"
    STANDARD = "standard"
    SUBJECT = "subject"


class Color(StrEnum):
    """Of the crops that are kept."""

    RGB = "rgb"
    GREY = "grey"


@dataclass(frozen=True)
class CropSettings:
    """How context crops are made.

    Attributes
    ----------
    size : px, side of the crop; 8 or more.
    margin : that side over the box's longer side, in image pixels; above 0, below 100.
    color : "rgb" or "grey".
    max_pixels : pictures that announce more are not decoded (:func:`flmd.core.images.probe`).
    """

    size: int = 256
    margin: float = 2.4
    color: str = Color.RGB.value
    max_pixels: float = 2e8

    def __post_init__(self) -> None:
        if self.size < SMALLEST_CROP:
            raise ParamsError(f"a crop of {self.size} pixels", expected=f"{SMALLEST_CROP} or more")
        if not 0 < self.margin < 100:
            raise ParamsError(f"a margin of {self.margin:g}", expected="above 0, below 100")
        object.__setattr__(self, "color", chosen(Color, self.color, "color"))

    @property
    def spec(self) -> CropSpec:
        """The square itself, as the store keeps it."""
        return CropSpec(self.size, self.margin, self.color)


@dataclass(frozen=True)
class SplitSettings:
    """How faces are split.

    Attributes
    ----------
    policy : one of :class:`SplitPolicy`.
    val : share of the training faces held out to validate on, by subject; 0 ... 1.
    test : share of all faces to test on, with the policy "subject"; 0 ... 1.
    seed : another one draws others.
    """

    policy: str = SplitPolicy.KEEP.value
    val: float = 0.0
    test: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "policy", chosen(SplitPolicy, self.policy, "split"))
        for name, share in (("val", self.val), ("test", self.test)):
            if not 0 <= share < 1:
                raise ParamsError(f"{name} is a share of {share:g}", expected="0 or more, below 1")


@dataclass(frozen=True)
class Reporting:
    """What is told of a conversion.

    Attributes
    ----------
    path : where the loss report goes, JSON; None: nowhere.
    strict : a face that cannot be used is an error, not a counted skip.
    made_from : digests and params, kept in the store and in the report (``flmd.core.provenance``);
        None: those of the source and of the settings.
    """

    path: Path | None = None
    strict: bool = False
    made_from: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Workers:
    """Who does the work; no byte of the result depends on it.

    Attributes
    ----------
    processes : how many; None: all CPUs, or ``FLMD_WORKERS``. 1: this process.
    executor : to run on instead, such as a Dask cluster's; its workers leave their pixels beside the
        target (``flmd.parallel.shards``).
    """

    processes: int | None = None
    executor: Executor | None = None


def chosen(choices: type[StrEnum], value: str, what: str) -> str:
    """The value, when it is one of the choices; ParamsError that lists them otherwise."""
    try:
        return choices(value).value
    except ValueError:
        known = [choice.value for choice in choices]
        expected, hint = "one of " + ", ".join(known), did_you_mean(value, known)
        raise ParamsError(f"{what} is {value!r}", expected=expected, hint=hint) from None


CROP, SPLIT, REPORTING, WORKERS = CropSettings(), SplitSettings(), Reporting(), Workers()  # the defaults

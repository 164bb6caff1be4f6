"""Where the authors of a data set publish it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Official:
    """Where the authors publish a data set. ``license`` and ``about`` are sentences for people."""

    url: str
    license: str
    about: str

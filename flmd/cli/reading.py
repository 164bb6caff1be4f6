"""Options of the commands that read annotations: how their files are meant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flmd.cli.choices import Exif
from flmd.errors import ParamsError

if TYPE_CHECKING:  # loaded when it is used: `flmd --help` waits for nothing
    from flmd.schemes.name_choice import PointNames

BASES = (0, 0.5, 1)

Base = Annotated[
    float | None, typer.Option(help="Where SRC counts pixels from, 0, 0.5 or 1; its format says.")
]
Names = Annotated[
    str | None,
    typer.Option(
        metavar="auto|keep|0|1|FILE",
        help="What names of points say. auto: known ones tell the order; keep: they stand in the scheme's "
        "order; 0 or 1: numbers that count from there; a YAML file: which name is which point.",
    ),
]
ExifFrame = Annotated[
    Exif,
    typer.Option(
        "--exif",
        help="Where a picture has an EXIF orientation, coordinates are of the picture as it is stored, or as "
        "it is shown; auto: what the format says.",
    ),
]
FormatOptions = Annotated[
    list[str] | None,
    typer.Option("--option", help="NAME=VALUE: what SRC's format leaves open; docs/formats.md lists them."),
]


@dataclass(frozen=True)
class Reading:
    """What was said of how files are meant.

    Attributes
    ----------
    names : what names of points say. options : of the format, by name. base : of pixels; None: the format's.
    exif : the frame of coordinates, where a picture has an EXIF orientation.
    """

    names: PointNames
    options: dict[str, str]
    base: float | None = None
    exif: Exif = Exif.AUTO

    def how(self) -> dict[str, Any]:
        """As arguments of ``flmd.conversion.opening.open_faces``."""
        return {"names": self.names, "options": self.options, "base": self.base, "exif": self.exif.value}

    def record(self) -> dict[str, Any]:
        """For the store's record: the base, and of the others what differs from the usual."""
        from flmd.schemes.name_choice import AUTO

        names = {} if self.names == AUTO else {"names": self.names.said}
        options = [f"{name}={value}" for name, value in sorted(self.options.items())]
        exif = {} if self.exif == Exif.AUTO else {"exif": self.exif.value}
        return {"base": self.base, **exif, **names, **({"options": options} if options else {})}


def reading(
    names: str | None,
    options: Sequence[str] | None = None,
    base: float | None = None,
    exif: Exif = Exif.AUTO,
) -> Reading:
    """From the options of a command; ParamsError for what cannot be understood."""
    if base is not None and base not in BASES:
        raise ParamsError(f"--base is {base:g}", expected="0, 0.5 or 1")
    from flmd.schemes.name_choice import AUTO, PointNames

    by_name: dict[str, str] = {}
    for text in options or ():
        name, equals, value = text.partition("=")
        if not equals or name in by_name:
            raise ParamsError(f"--option {text}", expected="NAME=VALUE, each name once")
        by_name[name] = value
    return Reading(AUTO if names is None else PointNames.parse(names), by_name, base, exif)

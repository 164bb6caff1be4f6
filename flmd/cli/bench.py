"""`flmd bench`: how long a model takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from flmd.core import terminal
from flmd.core.atomic import whole_or_nothing
from flmd.errors import ParamsError


def bench_command(
    models: Annotated[
        list[Path],
        typer.Argument(metavar="MODEL...", help="best.pt; also its .onnx and .torchscript files."),
    ],
    store: Annotated[
        Path | None, typer.Option(metavar="STORE", help="Its faces are looked at, and calibrate int8.")
    ] = None,
    dlib: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A shape predictor of dlib, timed beside.")
    ] = None,
    detector: Annotated[str, typer.Option(help="As for `flmd predict`; none: not timed.")] = "haar",
    picture: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="For the detector; may be repeated. Otherwise drawn ones."),
    ] = None,
    seconds: Annotated[float, typer.Option(help="For each row of the table.")] = 1.0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the numbers as JSON too.")
    ] = None,
) -> None:
    """Time a model: torch, ONNX Runtime, int8; one face and 32, one thread and all; and the detector.

    Prints Markdown. Contenders take turns, so that other work on the machine meets all of them.

    Example: flmd bench best.pt --store data/faces.h5 --dlib dlib.dat -o bench.json
    """
    if not 0 < seconds <= 3600:
        raise ParamsError(f"--seconds {seconds:g}", expected="above 0, at most 3600")
    if output is not None and output.is_dir():
        raise ParamsError("is a folder", where=str(output), expected="the name of a file")
    from flmd.inference.bench import time_models

    measured = time_models(
        models,
        store=store,
        dlib_predictor=dlib,
        detector=detector,
        pictures=picture or [],
        seconds=seconds,
    )
    if output is not None:
        with whole_or_nothing(output) as new:
            new.write_text(json.dumps(measured.as_dict(), indent=2) + "\n", encoding="utf-8")
    terminal.say(measured.markdown().removesuffix("\n"))

"""`flmd export`: a model for use without torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flmd.cli.choices import DeployedKind
from flmd.cli.common import check_free
from flmd.core import terminal
from flmd.errors import ParamsError

if TYPE_CHECKING:
    from flmd.inference.deploy.export import Exported


def export_command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="best.pt of a training.")],
    to: Annotated[DeployedKind, typer.Option(help="What to write.")] = DeployedKind.ONNX,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="By default beside MODEL, with another ending.")
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="Quantise; needs --calibrate.")] = False,
    calibrate: Annotated[
        Path | None,
        typer.Option(metavar="STORE", help="Its training faces calibrate int8, its test faces tell."),
    ] = None,
    check: Annotated[
        Path | None, typer.Option(metavar="STORE", help="Check on its faces; otherwise on drawn ones.")
    ] = None,
    tolerance: Annotated[
        float, typer.Option(help="Pixels of the crop that points may be off torch's.")
    ] = 1e-4,
    overwrite: Annotated[bool, typer.Option(help="Replace the output if it exists.")] = False,
) -> None:
    """Write a model as ONNX or TorchScript; checked: its points are torch's.

    The file takes crops of levels 0-255 and gives points in pixels of the crop; all else that is needed to
    use it stands in its metadata.

    Example: flmd export best.pt --to onnx --check data/faces.h5
    Example: flmd export best.pt --int8 --calibrate data/faces.h5
    """
    if int8 != (calibrate is not None):
        raise ParamsError("--int8 and --calibrate STORE go together", hint="add the other one")
    if not tolerance > 0:
        raise ParamsError(f"--tolerance {tolerance:g}", expected="pixels, above 0")
    from flmd.inference.deploy.export import ENDINGS, export_model

    ending = (".int8" if int8 else "") + ENDINGS[to]
    target = output or model.with_suffix(ending)
    check_free(target, overwrite)
    made = export_model(model, target, to, check=check, calibrate=calibrate, tolerance=tolerance)
    for line in _lines(made):
        terminal.say(line)


def _lines(made: Exported) -> list[str]:
    info, side = made.info, made.info.normalisation.input_size
    planes = "" if info.channels == 1 else f"{info.channels}, "
    lines = [
        f"{made.path}: {made.path.stat().st_size / 1e6:.2f} MB, "
        f"(N, {planes}{side}, {side}) uint8 to (N, {info.points}, 2) px, {info.scheme}",
        f"checked: at most {made.difference:.2g} px from torch on {made.faces} {made.source}, "
        "one at a time and in batches",
    ]
    if made.loss is not None:
        loss = made.loss
        lines.append(
            f"int8: NME {100 * loss.nme_float:.3f} % becomes {100 * loss.nme:.3f} % "
            f"({100 * (loss.nme / loss.nme_float - 1):+.2f} % of it; {loss.normaliser}, {loss.faces} faces); "
            f"points moved {loss.moved_px:.3f} px (rms); calibrated on {loss.calibrated} training faces"
        )
    return lines

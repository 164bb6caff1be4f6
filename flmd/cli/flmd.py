"""`flmd`: train and measure landmark models on face stores."""

from __future__ import annotations

from typing import Annotated

import typer

from flmd.cli import dataset, recipes, remotes
from flmd.cli.app import app_command
from flmd.cli.bench import bench_command
from flmd.cli.calibrate import calibrate_command
from flmd.cli.common import main_for, print_version
from flmd.cli.evaluate import evaluate_command
from flmd.cli.export import export_command
from flmd.cli.gate import gate_command
from flmd.cli.init import init_command
from flmd.cli.models import models_command
from flmd.cli.predict import camera_command, predict_command
from flmd.cli.provenance import provenance_command
from flmd.cli.report import report_command
from flmd.cli.show import show_command
from flmd.cli.stage import stage_command
from flmd.cli.train import train_command
from flmd.cli.verify import verify_command

app = typer.Typer(help="Landmark models: train them, measure them.", no_args_is_help=True)
app.add_typer(dataset.app, name="dataset")
app.add_typer(recipes.app, name="recipe")
app.add_typer(remotes.app, name="remote")
for name, command in (
    ("init", init_command),
    ("stage", stage_command),
    ("show", show_command),
    ("verify", verify_command),
    ("provenance", provenance_command),
    ("app", app_command),
    ("gate", gate_command),
    ("report", report_command),
    ("train", train_command),
    ("evaluate", evaluate_command),
    ("calibrate", calibrate_command),
    ("export", export_command),
    ("bench", bench_command),
    ("predict", predict_command),
    ("models", models_command),
    ("camera", camera_command),
):
    app.command(name)(command)


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=print_version, is_eager=True)] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Landmark models: train them, measure them."""


main = main_for(lambda arguments: app, "flmd")

if __name__ == "__main__":  # torchrun -m flmd.cli.flmd train ...
    main()

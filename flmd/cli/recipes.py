"""`flmd recipe`: list, show, apply and queue recipes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flmd.core import terminal
from flmd.core.terminal import TextTable

app = typer.Typer(help="Named settings of whole systems.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="As `flmd recipe list` has it.")]
Folder = Annotated[
    Path | None, typer.Option("--recipes", help="Folder of recipes; the project's, else flmd's own.")
]
ParamsFile = Annotated[Path, typer.Option("--params", help="The settings to change.")]


@app.command("list")
def list_(folder: Folder = None) -> None:
    """List the recipes there are.

    Example: flmd recipe list
    """
    from flmd.experiments import recipes

    where = folder or recipes.folder()
    found = [recipes.load(name, where) for name in recipes.names(where)]
    rows = [(recipe.name, " ".join(recipe.about.partition("\n\n")[0].split())) for recipe in found]
    terminal.show(TextTable(("recipe", "what it is"), rows, left=(0, 1)))


@app.command()
def show(name: Name, folder: Folder = None) -> None:
    """Print a recipe with its comments.

    Example: flmd recipe show cnn6-youtube
    """
    from flmd.experiments import recipes

    terminal.say(recipes.load(name, folder or recipes.folder()).text.removesuffix("\n"))


@app.command()
def apply(name: Name, params_file: ParamsFile = Path("params.yaml"), folder: Folder = None) -> None:
    """Merge a recipe into params.yaml, comments kept, and print what changed.

    Where there is no params.yaml, flmd's own is written first. What a recipe says of data sets that are not
    in params.yaml is left out.

    Example: flmd recipe apply cnn6-youtube && dvc repro
    """
    from flmd.experiments import recipes
    from flmd.projects import settings

    recipe = recipes.load(name, folder or recipes.folder())
    if params_file == Path(settings.NAME) and not params_file.exists():
        settings.write_own(params_file)
        terminal.say(f"{params_file}: flmd's own, as there was none")
    missing = recipes.left_out(recipe, recipes.read(params_file))
    changes = recipes.apply(recipe, params_file)
    if missing:
        terminal.say(f"left out, as they are not in {params_file}: {', '.join(missing)}", err=True)
    for change in changes:
        terminal.say(str(change))
    if not changes:
        terminal.say("nothing changed")


@app.command()
def queue(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="All by default.")] = None,
    params_file: ParamsFile = Path("params.yaml"),
    folder: Folder = None,
) -> None:
    """Queue recipes as DVC experiments; `dvc queue start` runs them. params.yaml stays as it is.

    Example: flmd recipe queue && dvc queue start
    """
    from flmd.experiments import recipes

    where = folder or recipes.folder()
    wanted = [recipes.load(name, where) for name in names or recipes.names(where)]
    for recipe in recipes.queue(wanted, params_file):
        terminal.say(f"queued {recipe.name}")

"""`flmd provenance`: what made a file, back to the raw archives."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flmd.core import terminal
from flmd.errors import ParamsError

if TYPE_CHECKING:
    from flmd.experiments.lineage import Chain, Link


def provenance_command(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A store, arrays, a model, metrics, a table or a plot.")
    ],
    all_params: Annotated[bool, typer.Option("--params", help="Every param of every link.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    folders: Annotated[
        list[Path] | None, typer.Option("--in", help="Another folder in which inputs may lie.")
    ] = None,
) -> None:
    """Print what made a file, from which inputs and params, back to the raw archives and the commit.

    Every file at hand is hashed: "verified" has the bytes that the next output recorded, "differs" has
    others (exit code 1), "not here" is known from the records alone.

    Example: flmd provenance reports/metrics.json
    """
    from tqdm import tqdm

    from flmd.experiments.lineage import trace

    for folder in folders or []:
        if not folder.is_dir():
            raise ParamsError("no such folder", where=str(folder))
    with tqdm(desc="hash", unit="B", unit_scale=True, disable=None, delay=1, leave=False) as bar:
        chain = trace(file, folders or [], bar.update)
    if as_json:
        terminal.say_json(_tree(chain))
    else:
        for line in _lines(chain, all_params):
            terminal.say(line)
    for link in chain.differing:
        terminal.say(f"differs: {link.name} does not have the bytes that were recorded", err=True)
    if chain.differing:
        raise typer.Exit(1)


def _lines(chain: Chain, all_params: bool) -> list[str]:
    from flmd.experiments.lineage import walk

    lines = []
    for depth, link, again in walk(chain):
        margin = "    " * depth
        if again:
            lines.append(f"{margin}{link.name}  (above)")
            continue
        lines.append(f"{margin}{link.name}" + (f"  {link.state}" if link.state else ""))
        margin += "  "
        lines.append(f"{margin}sha256 {link.sha256}")
        if not depth and chain.carrier:
            lines.append(f"{margin}record in {chain.carrier}")
        if link.stage:
            version = f", flmd {link.flmd}" if link.flmd else ""
            lines.append(f"{margin}made by {link.stage}{version}")
        elif not link.raw:
            lines.append(f"{margin}no record tells what made it: the chain ends here")
        lines += [margin + text for text in _params(link, all_params)]
    raw = [link for link in chain.links.values() if link.raw]
    if raw:
        lines.append("raw:")
    for link in raw:
        lines.append(f"  {link.name}  {link.state}  sha256 {link.sha256}  {link.origin}".rstrip())
    if chain.commit is None:
        lines.append(f"commit: none ({chain.no_commit})")
    else:
        count = len(chain.changed)
        tree = (
            f"working tree has {count} changed file{'s' if count > 1 else ''}"
            if count
            else "working tree clean"
        )
        lines.append(f"commit: {chain.commit.name}{' (HEAD)' if chain.commit.head else ''}, {tree}")
    return lines


def _params(link: Link, everything: bool) -> list[str]:
    """All params, a line each; or in one line those that stand alone, and how many each section has."""
    if everything:
        return [f"{key}: {json.dumps(value)}" for key, value in link.params.items()]
    sections: dict[str, int] = {}
    for key in link.params:
        if "." in key:
            sections[key.partition(".")[0]] = sections.get(key.partition(".")[0], 0) + 1
    alone = [f"{key} {_short(value)}" for key, value in link.params.items() if "." not in key]
    parts = [*alone, *(f"{name} ({count})" for name, count in sections.items())]
    return [f"params {', '.join(parts)}"] if parts else []


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _tree(chain: Chain) -> dict[str, Any]:
    commit = chain.commit and {**asdict(chain.commit), "changed": chain.changed}
    return {
        "file": chain.file.sha256,
        "record_in": chain.carrier or None,
        "links": [asdict(link) for link in chain.links.values()],
        "raw": [link.sha256 for link in chain.links.values() if link.raw],
        "commit": commit,
        "no_commit": chain.no_commit or None,
    }

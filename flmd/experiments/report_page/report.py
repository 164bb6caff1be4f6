"""The report of an experiment: one HTML file that needs no other file, no network and no script.

The same files and packages give the same bytes: no time, no host name, no path.
"""

from __future__ import annotations

from pathlib import Path

from flmd.core.atomic import whole_or_nothing
from flmd.errors import InputError
from flmd.experiments.report_page import origins, results
from flmd.experiments.report_page.evidence import Evidence, gather
from flmd.experiments.report_page.parts import Card, Section, Texts
from flmd.experiments.revision_files import WorkspaceFiles, revision
from flmd.pages.page import render

TEMPLATE = Path(__file__).with_name("page.html")


def write(root: Path, target: Path, baseline: str | None = None) -> list[str]:
    """Write the report of the files in a project's folder, whole or not at all.

    Parameters
    ----------
    root : the project's folder.
    target : the page.
    baseline : a commit, branch, tag or DVC experiment to compare with; None compares with nothing.

    Returns
    -------
    What is missing or out of date, a line each; the page says it too.

    Raises
    ------
    ParamsError : no such revision.
    InputError : the folder holds nothing of an experiment.
    """
    base = None
    if baseline is not None:
        with revision(root, baseline) as files:
            base = gather(files)
    now = gather(WorkspaceFiles(root))
    if now.empty:
        raise InputError(
            "nothing of an experiment is here",
            where=str(root),
            expected="a project with params.yaml, dvc.lock and reports/",
            hint="run it in a project, after `dvc repro` or `dvc pull`",
        )
    text = html(now, base)
    with whole_or_nothing(target) as part:
        part.write_text(text, encoding="utf-8", errors="replace", newline="\n")
    return problems(now, base)


def problems(now: Evidence, base: Evidence | None) -> list[str]:
    """What is missing or out of date in both."""
    return [*now.stale, *now.missing, *(base.missing if base else ())]


def html(now: Evidence, base: Evidence | None) -> str:
    """The page as text."""
    sections = [
        results.metrics(now, base),
        results.curves(now, base),
        results.error_distribution(now, base),
        results.regions(now, base),
        results.galleries(now, base),
        origins.data(now),
        origins.params(now, base),
        origins.versions(),
        origins.digests(now, base),
    ]
    said = problems(now, base)
    if said:
        not_here = Card([Texts(said, bad=True)])
        sections.insert(0, Section("Not here", "Out of date, missing or broken.", [not_here]))
    return render(
        TEMPLATE,
        title="Report of an experiment",
        about=f"The workspace against {base.name}." if base else "The workspace; no baseline was given.",
        foot="Written by flmd report.",
        tiles=results.headline(now, base),
        sections=sections,
    )

"""Learning curves in DVCLive's layout: metrics.json, plots/metrics/<name>.tsv and its report.html.

The report is written anew after each epoch and shows itself anew in an open browser. It fetches its drawing
scripts from the internet; `flmd report` has the curves without.

No time is written, so the same training gives the same bytes.
"""

from __future__ import annotations

import json
import logging
import shutil
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from flmd.errors import one_line


class Curves:
    """Writes a row an epoch into ``folder``, which it empties first; ``None`` writes nothing.

    A resumed training logs its earlier rows again. Inside a DVC project DVCLive writes; elsewhere, where
    it would set up a DVC repository of its own, and where it is not installed, :class:`PlainLive` writes
    the same files.
    """

    def __init__(self, folder: Path | None) -> None:
        self.live: Any = None
        if folder is not None:
            self.live = _dvclive(folder) if in_dvc_project(Path.cwd()) else None
            self.live = self.live or PlainLive(folder)

    def log(self, row: Mapping[str, float]) -> None:
        """One epoch's numbers; ``epoch`` itself, from 1 on, is the step."""
        if self.live is None:
            return
        self.live.step = int(row["epoch"])
        for name, value in row.items():
            if name != "epoch":
                self.live.log_metric(name, value)
        self.live.next_step()

    def close(self) -> None:
        """Finish the files."""
        if self.live is not None:
            self.live.end()


class PlainLive:
    """The four methods of ``dvclive.Live`` that curves need, and the same bytes on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.step = folder, 0
        self.latest: dict[str, float] = {}
        shutil.rmtree(folder / "plots" / "metrics", ignore_errors=True)
        (folder / "metrics.json").unlink(missing_ok=True)
        (folder / "plots" / "metrics").mkdir(parents=True)

    def log_metric(self, name: str, value: float) -> None:
        """Append to the metric's table."""
        path = self.folder / "plots" / "metrics" / f"{name}.tsv"
        head = "" if path.exists() else f"step\t{name}\n"
        with path.open("a", encoding="utf-8", newline="") as file:
            file.write(f"{head}{self.step}\t{value}\n")
        self.latest[name] = value

    def next_step(self) -> None:
        """Write the latest values and count the step; a caller may set it."""
        text = json.dumps({**self.latest, "step": self.step}, indent=4)
        (self.folder / "metrics.json").write_text(text + "\n", encoding="utf-8")
        self._report()
        self.step += 1

    def _report(self) -> None:
        try:
            report: Any = import_module("dvclive.report")
        except ImportError:
            return
        made = report.get_metrics_renderers(str(self.folder / "metrics.json"))
        made += report.get_scalar_renderers(self.folder / "plots" / "metrics")
        report.render_html(made, str(self.folder / "report.html"), refresh_seconds=5)

    def end(self) -> None:
        """Nothing is left to do."""


def in_dvc_project(folder: Path) -> bool:
    """Is the folder, or one above it, the root of a DVC project?"""
    return any((parent / ".dvc").is_dir() for parent in (folder, *folder.parents))


def _dvclive(folder: Path) -> Any:
    try:
        from dvclive.live import Live

        logging.getLogger("dvclive").setLevel(logging.WARNING)
        # dvcyaml=False: the pipeline's own dvc.yaml names the plots. No experiment is saved from in here.
        return Live(str(folder), dvcyaml=False, save_dvc_exp=False, report="html", monitor_system=False)
    except ImportError:
        return None
    except Exception as error:
        # It raises what it meets in git (a repository without a commit, say); curves do not need git.
        print(f"warning: DVCLive cannot start ({one_line(error)}); flmd writes the curves", file=sys.stderr)
        return None

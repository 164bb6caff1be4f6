"""`flmd show`: the numbers of the last evaluation."""

from __future__ import annotations

from pathlib import Path


def show_command() -> None:
    """Print the metrics of the last evaluation, and note which machine made outputs that are new.

    Example: dvc repro && flmd show
    """
    from flmd.core import terminal
    from flmd.evaluation import report_files
    from flmd.experiments import dvc_lock, machine

    terminal.show(*report_files.metrics_table(*report_files.read(Path("reports"))))
    machine.record(Path(), dvc_lock.read_lock(Path()))

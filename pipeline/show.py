"""Print the metrics of the last evaluation, and note what made them; no stage, nothing is computed."""

from __future__ import annotations

import sys
from pathlib import Path

from flmd import errors


def main() -> None:
    """Read reports/ and print the table; note which machine made outputs that are new."""
    from flmd.core import terminal
    from flmd.evaluation import report_files
    from flmd.experiments import dvc_lock, machine

    terminal.show(*report_files.metrics_table(*report_files.read(Path("reports"))))
    machine.record(Path(), dvc_lock.read_lock(Path()))


if __name__ == "__main__":
    sys.exit(errors.run(main))

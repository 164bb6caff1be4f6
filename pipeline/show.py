"""Print the metrics of the last evaluation; no stage, nothing is computed."""

from __future__ import annotations

import sys
from pathlib import Path

from flmd import errors
from flmd.core import terminal
from flmd.evaluation import report_files


def main() -> None:
    """Read reports/ and print the table."""
    terminal.show(*report_files.metrics_table(*report_files.read(Path("reports"))))


if __name__ == "__main__":
    sys.exit(errors.run(main))

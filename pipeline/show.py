"""Print the metrics of the last evaluation, and note what made them; no stage, nothing is computed."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the flmd beside it, in a queued experiment too

from flmd import errors


def main() -> None:
    """Call the command; what it needs is imported here, where Ctrl-C is one line."""
    from flmd.cli.show import show_command

    show_command()


if __name__ == "__main__":
    sys.exit(errors.run(main))

"""Stage `merge`: the stores of all data sets into one."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the flmd beside it, in a queued experiment too

from flmd import errors


def main() -> None:
    """Run the stage; what it needs is imported here, where Ctrl-C is one line."""
    from flmd.store.stage import merge

    merge()


if __name__ == "__main__":
    sys.exit(errors.run(main))

"""Stage `download`: one data set's raw data, as one archive."""

from __future__ import annotations

import sys

from flmd import errors


def main() -> None:
    """Run the stage; what it needs is imported here, where Ctrl-C is one line."""
    from flmd.sources.stage import download

    download(*sys.argv[1:2])


if __name__ == "__main__":
    sys.exit(errors.run(main))

"""Stage `convert`: one data set's archive to a face store, with a loss report."""

from __future__ import annotations

import sys

from flmd import errors
from flmd.conversion.stage import convert

if __name__ == "__main__":
    sys.exit(errors.run(lambda: convert(*sys.argv[1:2])))

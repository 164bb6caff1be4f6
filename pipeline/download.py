"""Stage `download`: one data set's raw data, as one archive."""

from __future__ import annotations

import sys

from flmd import errors
from flmd.sources.stage import download

if __name__ == "__main__":
    sys.exit(errors.run(lambda: download(*sys.argv[1:2])))

"""Stage `weights`: what training starts from, as one file that travels with `dvc push`."""

from __future__ import annotations

import sys

from flmd import errors
from flmd.models.stage import weights

if __name__ == "__main__":
    sys.exit(errors.run(weights))

"""Stage `merge`: the stores of all data sets into one."""

from __future__ import annotations

import sys

from flmd import errors
from flmd.store.stage import merge

if __name__ == "__main__":
    sys.exit(errors.run(merge))

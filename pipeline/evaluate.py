"""Stage `evaluate`: the best model on the test faces of every data set."""

from __future__ import annotations

import sys

from flmd import errors
from flmd.evaluation.stage import evaluate

if __name__ == "__main__":
    sys.exit(errors.run(evaluate))

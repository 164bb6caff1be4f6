"""Stage `evaluate`: the best model on the test faces of every data set."""

from __future__ import annotations

import sys

from flmd import errors


def main() -> None:
    """Run the stage; what it needs is imported here, where Ctrl-C is one line."""
    from flmd.evaluation.stage import evaluate

    evaluate()


if __name__ == "__main__":
    sys.exit(errors.run(main))

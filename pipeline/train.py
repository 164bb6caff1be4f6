"""Stage `train`: the network, from the training arrays, or live from the face store."""

from __future__ import annotations

import sys

from flmd import errors
from flmd.training.stage import train

if __name__ == "__main__":
    sys.exit(errors.run(train))

"""Stage `augment`: crops at network size, with variants of every training face."""

from __future__ import annotations

import sys

from flmd import errors
from flmd.augmentation.stage import augment

if __name__ == "__main__":
    sys.exit(errors.run(augment))

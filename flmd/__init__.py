"""flmd: data pipelines for facial-landmark models."""

import os

__version__ = "0.1.0"

# torch's OpenMP threads wait for each other by spinning. On a machine that has other work, a thread that
# lost its core then holds up all the rest: measured, two threads trained at a tenth of the speed of one. A
# short spin costs nothing on a quiet machine. Read once, when the OpenMP library is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

"""The training loop: batches, losses, optimizers, curves; the same bytes when killed and resumed."""

from flmd.core import openmp

openmp.wait_briefly()

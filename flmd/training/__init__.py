"""The training loop: batches, losses, optimizers, curves; the same bytes when killed and resumed."""

"""Everything a GPU has to do for this project, in one command: ``python -m benchmarks.gpu``."""

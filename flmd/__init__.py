"""flmd: data pipelines for facial-landmark models."""

__version__ = "0.1.0"

"""Predictions to numbers: error measures, tables, plots."""

from flmd.core import openmp

openmp.wait_briefly()

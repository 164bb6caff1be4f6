"""Predictions to numbers: error measures, tables, plots."""

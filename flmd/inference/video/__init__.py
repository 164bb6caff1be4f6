"""Predicting on pictures, videos and a camera: drawn, written as annotations, tracked and smoothed."""

"""Using a model: pictures, videos, detectors, deployment, speed."""

from flmd.core import openmp

openmp.wait_briefly()

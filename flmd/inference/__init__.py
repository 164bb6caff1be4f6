"""Using a model: pictures, videos, detectors, deployment, speed."""

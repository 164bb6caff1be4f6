"""What a network in training measures on the validation faces."""

from __future__ import annotations

import torch

from flmd.training.batch_loader import BatchLoader
from flmd.training.trainee import Trainee, seen_by_loss


@torch.inference_mode()
def measure(trainee: Trainee, faces: BatchLoader) -> tuple[float, float]:
    """Mean loss, and mean distance of a labelled point from its label in pixels of the network's input.

    Under torchrun each process measures its share, and all return the numbers of all faces.
    """
    trainee.result.eval()
    network = seen_by_loss(trainee.settings, trainee.result)
    normalisation = trainee.info.normalisation
    total = torch.zeros((), dtype=torch.float64, device=trainee.sums_on())
    distance, labelled = torch.zeros_like(total), torch.zeros_like(total)
    for batch in faces.epoch(0):
        predicted, known = trainee.predict(batch, network), batch.labelled
        count = known.sum()
        total += trainee.loss(predicted, normalisation.points(batch.points), known) * count
        coordinates = predicted if predicted.ndim == 3 else predicted[-1, ..., :2]
        away = torch.linalg.vector_norm(normalisation.denormalise_points(coordinates) - batch.points, dim=-1)
        distance += torch.where(known, away, torch.zeros_like(away)).sum()
        labelled += count
    total, distance, labelled = map(trainee.processes.sum, (total, distance, labelled))
    count = labelled.clamp(min=1)
    return float(total / count), float(distance / count)

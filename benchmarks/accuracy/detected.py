"""``python -m benchmarks.accuracy.detected``: points in detected boxes beside points in true ones.

    python -m benchmarks.accuracy.detected labels_test.xml --model best.pt --detector haar

For each annotated face: is it found (a detected box whose IoU with the true box is at least ``--iou``), and
what is its error, in the detected box and in the true one? NME as in evaluation. Detected boxes beyond the
annotated faces are counted as extra: data sets do not label every face.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

import flmd
from flmd.conversion.opening import open_faces
from flmd.core.geometry import iou
from flmd.errors import FlmdError, InputError
from flmd.evaluation import metrics
from flmd.face import Face
from flmd.inference import detection
from flmd.inference.picture import open_picture

FAILURE = 10.0  # % of the inter-ocular distance
COLUMNS = (
    "faces of",
    "pictures",
    "faces",
    "found",
    "NME, true boxes",
    "of those found, true boxes",
    "of those found, detected boxes",
    "failures, true",
    "failures, detected",
    "extra boxes",
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy.detected")
    parser.add_argument("sources", nargs="+", help="annotations with their pictures, as flmd-data reads them")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--detector", default="haar")
    parser.add_argument("--iou", type=float, default=0.3, help="from which on a face counts as found")
    parser.add_argument("--limit", type=int, help="the first so many pictures: a trial")
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    try:
        landmarker = flmd.load(chosen.model, "cpu")
        find = detection.get(chosen.detector)
        size = landmarker.info.normalisation.input_size
        print(f"{chosen.model.name}: {landmarker.info.network} at {size} px; {chosen.detector}")
        print(f"found: IoU {chosen.iou} or more; NME in % of the inter-ocular distance, failure above 10 %")
        print("| " + " | ".join(COLUMNS) + " |")
        print("|---|" + "---:|" * (len(COLUMNS) - 1))
        for source in chosen.sources:
            print(_measured(source, landmarker, find, chosen), flush=True)
    except FlmdError as error:
        raise SystemExit(str(error)) from None


def _measured(
    source: str, landmarker: flmd.Landmarker, find: detection.Detector, chosen: argparse.Namespace
) -> str:
    """One row of the table."""
    true: list[np.ndarray] = []
    detected: list[np.ndarray] = []
    wanted: list[np.ndarray] = []
    all_boxes: list[np.ndarray] = []
    extra = 0
    missing = np.full((landmarker.scheme.count, 2), np.nan)
    with open_faces(source) as faces:
        if faces.scheme.name != landmarker.scheme.name or faces.pictures is None:
            raise InputError(f"faces of scheme {faces.scheme.name}", where=source, expected="the model's")
        by_picture: dict[str, list[Face]] = defaultdict(list)
        for face in faces:
            if isinstance(face, Face) and face.box is not None:
                by_picture[face.image].append(face)
        names = list(by_picture)[: chosen.limit]
        for name in tqdm(names, desc="predict", unit="picture", disable=None):
            picture = open_picture(faces.pictures.read(name), exif=False)
            boxes = np.stack([face.box for face in by_picture[name] if face.box is not None])
            all_boxes.extend(boxes)
            true.extend(landmarker.points_of(picture, boxes))
            wanted.extend(face.landmarks for face in by_picture[name])
            found = landmarker.faces(picture, find(picture))
            taken: set[int] = set()
            overlap = iou(boxes.astype(float), np.array([f.box for f in found], float).reshape(-1, 4))
            for row in overlap:
                best = int(row.argmax()) if len(row) else -1
                if best < 0 or row[best] < chosen.iou or best in taken:
                    detected.append(missing)
                    continue
                taken.add(best)
                detected.append(found[best].landmarks)
            extra += len(found) - len(taken)
    truth, lost = np.stack(wanted), np.stack(detected)
    lengths = metrics.normaliser_lengths("inter_ocular", truth, np.stack(all_boxes), landmarker.scheme)
    in_true = 100 * metrics.nme(np.stack(true), truth, lengths)
    in_detected = 100 * metrics.nme(lost, truth, lengths)
    seen = np.isfinite(lost).all(axis=(1, 2))
    cells = [
        f"{Path(source).parent.name}/{Path(source).name}",
        str(len(names)),
        str(len(truth)),
        f"{100 * seen.mean():.1f} % ({seen.sum()})",
        f"{np.nanmean(in_true):.2f}",
        f"{np.nanmean(in_true[seen]):.2f}",
        f"{np.nanmean(in_detected[seen]):.2f}",
        f"{100 * np.mean(in_true[seen] > FAILURE):.1f} %",
        f"{100 * np.mean(in_detected[seen] > FAILURE):.1f} %",
        str(extra),
    ]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()

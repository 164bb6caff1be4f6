"""All looks at one store: subjects and pictures in two splits, copies, twins, conflicts, odd shapes."""

from __future__ import annotations

from collections import Counter

import numpy as np

from flmd.curation.alignment import align
from flmd.curation.audit import identities, outliers, pairs
from flmd.curation.audit.descriptors import views_of
from flmd.curation.audit.findings import Audit
from flmd.curation.audit.search import MOST_EACH
from flmd.store.face_store import FaceStore


def audit(store: FaceStore) -> Audit:
    """Find what is wrong with a store, from its names, pixels and landmarks.

    Everything but the crops is held in memory: about 6 kB a face of 68 points.
    """
    images, splits, subjects = store.texts("image"), store.texts("split"), store.texts("subject")
    found = Audit(str(store.path), len(store), store.scheme.name, dict(sorted(Counter(splits).items())))
    if not len(store):
        found.notes.append("the store holds no faces")
        return found
    texts = pairs.Texts(images, store.texts("image_sha256"), splits, subjects)
    found.shared_subjects = identities.shared(subjects, splits, "subject")
    found.people_elsewhere = identities.people_elsewhere(subjects, splits)
    found.shared_names = identities.shared_names(images, subjects, splits, found.shared_subjects)
    found.shared_pictures = identities.shared(images, splits, "picture")
    landmarks, boxes = store.numbers("landmarks"), store.numbers("box")
    visibility = store.numbers("visibility")
    landmarks[visibility == 0] = np.nan
    aligned = align(landmarks, store.scheme)
    found.pairs = pairs.exact_pairs(aligned, texts, store.scheme)
    if store.has_crops:
        similar, cut = pairs.similar_pairs(views_of(store, aligned), aligned, texts, store.scheme)
        found.pairs += similar
        if cut:
            found.notes.append(f"of a face with more than {MOST_EACH} candidates only the best were compared")
    else:
        found.notes.append("annotations only: pictures were not compared")
    found.conflicts = pairs.label_conflicts(landmarks, boxes, texts)
    if int(aligned.usable.sum()) < outliers.ENOUGH:
        found.notes.append(f"fewer than {outliers.ENOUGH} faces with points: shapes were not judged")
    found.outliers = outliers.find_outliers(
        aligned, landmarks, boxes, store.texts("box_source"), store.numbers("image_size"), images, splits,
        store.scheme,
    )  # fmt: skip
    return found

"""A store made again from a store: another scheme, other subjects or splits, with or without crops."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from flmd.conversion.face_source import StoredFaces
from flmd.errors import InputError
from flmd.face import Skipped
from flmd.store import face_store, h5file
from flmd.store.column_buffer import FaceSpool


def copy_store(
    faces: StoredFaces, target: Path, *, crops: bool = True, params: Mapping[str, Any] | None = None
) -> int:
    """Write the changed faces of an opened store as a store, with the same crops.

    Parameters
    ----------
    faces : of a store; its changes are applied.
    target : replaced when the new one is whole.
    crops : keep the context crops, if there are any.
    params : what the user asked for, kept in the store; by default the scheme and ``crops``.

    Returns
    -------
    How many faces were written. InputError when one cannot be changed, or none is there.
    """
    old = faces.store
    crops = crops and old.has_crops
    crop = old.crop_spec if crops else None
    scratch = h5file.temporary_beside(target, "spool")
    spool = FaceSpool(scratch, faces.scheme.count, {}, ("image_sha256",))
    try:
        with tqdm(desc="copy faces", total=len(old), unit="face", disable=None) as bar:
            for rows in old.blocks():
                block = []
                for face in old.faces(rows):
                    changed = faces.changes(face)
                    if isinstance(changed, Skipped):
                        raise InputError(changed.what, where=changed.where)
                    block.append(changed)
                spool.append(block, image_sha256=old.texts("image_sha256", rows))
                bar.update(len(block))
        if not len(spool):
            raise InputError("no faces", where=str(old.path))
        used = {"scheme": faces.scheme.name, "crops": crops} if params is None else params
        made_from = faces.made_from(used, "flmd-data convert")
        widths = {name: spool.text[name].width for name in face_store.TEXTS}
        with face_store.building(target, len(spool), widths, faces.scheme, crop, made_from) as builder:
            for rows in old.blocks():
                for name in ("landmarks", "visibility", "box", "image_size"):
                    builder.put(name, rows.start, spool.numeric[name].rows()[rows])
                for name in face_store.TEXTS:
                    builder.put_texts(name, rows.start, spool.text[name].texts(rows.start, rows.stop))
                if crops:
                    builder.put("crops", rows.start, np.asarray(old.crops[rows]))
                    builder.put("affine", rows.start, old.numbers("affine", rows))
        return len(spool)
    finally:
        spool.close()
        h5file.remove(scratch)

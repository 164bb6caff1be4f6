"""A store made again from a store: another scheme, other subjects or splits, with or without crops."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from tqdm import tqdm

from flmd.conversion.face_source import StoredFaces
from flmd.core.atomic import Scratch
from flmd.errors import InputError
from flmd.face import Skipped
from flmd.store.build import Replaced, copy_rows
from flmd.store.column_buffer import ColumnBuffer


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
    crop = old.crop_spec if crops and old.has_crops else None
    with (
        Scratch(target.parent, target.name) as scratch,
        closing(ColumnBuffer(scratch.folder, faces.scheme.count, {}, ("image_sha256",))) as buffer,
    ):
        with tqdm(desc="copy faces", total=len(old), unit="face", disable=None) as bar:
            for rows in old.blocks():
                block = []
                for face in old.faces(rows):
                    changed = faces.changes(face)
                    if isinstance(changed, Skipped):
                        raise InputError(changed.what, where=changed.where)
                    block.append(changed)
                buffer.append(block, image_sha256=old.texts("image_sha256", rows))
                bar.update(len(block))
        if not len(buffer):
            raise InputError("no faces", where=str(old.path))
        used = {"scheme": faces.scheme.name, "crops": crop is not None} if params is None else params
        made_from = faces.made_from(used, "flmd-data convert")
        pixels = {} if crop is None else {"affine": old.numbers("affine"), "crops": old.column("crops")}
        copy_rows([Replaced(buffer, numbers=pixels)], target, faces.scheme, crop, made_from)
        return len(buffer)

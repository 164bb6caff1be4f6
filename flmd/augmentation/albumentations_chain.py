"""Any pixel-level transform of albumentations, named in params, repeatable for each version of a face."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flmd.errors import ParamsError, did_you_mean, one_line

WHERE = "augment.albumentations"


class PixelTransforms:
    """A chain of albumentations transforms that change pixels and leave points where they are.

    Parameters
    ----------
    chain : one mapping each, ``name`` and the transform's own options, e.g.
        ``{"name": "ImageCompression", "quality_range": [40, 95], "p": 0.2}``. Checked by :meth:`check`;
        nothing is imported before the first use. Pickles as its settings.
    """

    def __init__(self, chain: Sequence[Mapping[str, Any]]) -> None:
        self.chain = [dict(step) for step in chain]
        self._local = threading.local()

    def __bool__(self) -> bool:
        return bool(self.chain)

    def __reduce__(self) -> tuple[type[PixelTransforms], tuple[list[dict[str, Any]]]]:
        return PixelTransforms, (self.chain,)

    def __call__(self, pixels: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
        """An (S, S) or (S, S, 3) uint8 crop, changed as ``seed`` says; the input is left alone."""
        compose = getattr(self._local, "compose", None)
        if compose is None:
            compose = self._local.compose = self._build()
        compose.set_random_seed(seed)
        changed = compose(image=np.ascontiguousarray(pixels))["image"]
        return changed  # type: ignore[no-any-return]

    def check(self) -> None:
        """ParamsError for a transform that is unknown, moves points, or does not take an option."""
        if self.chain:
            self._build()

    def _build(self) -> Any:
        os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network for news otherwise
        try:
            library = import_module("albumentations")
        except ImportError:
            raise ParamsError(
                "albumentations is not installed here", where=WHERE, hint="install it, or set []"
            ) from None
        return library.Compose([_transform(library, step) for step in self.chain], seed=0)


def _transform(library: Any, step: Mapping[str, Any]) -> Any:
    options = dict(step)
    name = options.pop("name", None)
    known = [
        n
        for n, c in vars(library).items()
        if isinstance(c, type) and issubclass(c, library.ImageOnlyTransform)
    ]
    if name not in known:
        hint = did_you_mean(str(name), known) or "what moves points belongs to augment's own settings"
        raise ParamsError(f"{name!r} is no pixel-level transform of albumentations", where=WHERE, hint=hint)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            made = getattr(library, str(name))(**options)
        except Exception as error:
            raise ParamsError(f"{name}: {one_line(error)}", where=WHERE) from None
    for warning in caught:  # an option that does not exist is only a warning there
        if "not valid" in str(warning.message):
            raise ParamsError(f"{name}: {one_line(Warning(str(warning.message)))}", where=WHERE)
    return made

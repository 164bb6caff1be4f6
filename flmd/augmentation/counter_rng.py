"""Random numbers as a function of their place: (seed, face, variant, draw) -> one number.

Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011) over
whole arrays of faces at once. No state: order, worker count and resumption cannot change a draw.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


def philox(counter: NDArray[np.uint32], key: tuple[int, int]) -> NDArray[np.uint32]:
    """Ten rounds of Philox4x32.

    Parameters
    ----------
    counter : (N, 4) uint32. key : two 32-bit numbers.

    Returns
    -------
    (N, 4) uint32, each row a function of its counter and the key alone.
    """
    a, b, c, d = (counter[:, i].astype(np.uint64) for i in range(4))
    k0, k1 = key
    for _ in range(10):
        product0, product1 = a * _MULTIPLIERS[0], c * _MULTIPLIERS[1]
        a, b, c, d = (
            (product1 >> _HALF) ^ b ^ np.uint64(k0),
            product1 & _LOW,
            (product0 >> _HALF) ^ d ^ np.uint64(k1),
            product0 & _LOW,
        )
        k0, k1 = (k0 + _WEYL[0]) & 0xFFFFFFFF, (k1 + _WEYL[1]) & 0xFFFFFFFF
    return np.stack([a, b, c, d], axis=1).astype(np.uint32)


def uniforms(seed: int, faces: ArrayLike, variants: ArrayLike, count: int) -> NDArray[np.float64]:
    """Uniform numbers in [0, 1).

    Parameters
    ----------
    seed : 32 bits. faces : (N,) uint64 keys. variants : (N,) whole numbers from 0 up. count : draws each.

    Returns
    -------
    (N, count) float64, multiples of 2**-32.
    """
    face = np.asarray(faces, dtype=np.uint64)
    variant = np.asarray(variants, dtype=np.uint64)
    blocks = -(-count // 4)
    counter = np.empty((len(face), blocks, 4), np.uint32)
    counter[..., 0], counter[..., 1] = (face & _LOW)[:, None], (face >> _HALF)[:, None]
    counter[..., 2], counter[..., 3] = variant[:, None], np.arange(blocks)
    drawn = philox(counter.reshape(-1, 4), (seed & 0xFFFFFFFF, 0x464C4D44))
    return drawn.reshape(len(face), blocks * 4)[:, :count] / 2.0**32


def face_keys(names: Iterable[str], landmarks: NDArray[np.float32]) -> NDArray[np.uint64]:
    """(N,) uint64 keys of faces, from what they are and not from where they stand in a store.

    Parameters
    ----------
    names : data set and picture of each face. landmarks : (N, K, 2) float32: tells faces of one
        picture apart.
    """
    return np.array(
        [
            int.from_bytes(
                hashlib.blake2b(
                    n.encode("utf-8", "surrogateescape") + b"\0" + p.tobytes(), digest_size=8
                ).digest(),
                "little",
            )
            for n, p in zip(names, landmarks, strict=True)
        ],
        dtype=np.uint64,
    )

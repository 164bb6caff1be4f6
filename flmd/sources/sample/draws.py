"""Random numbers of the built-in sample: the distributions of numpy's Generator, exact on every machine.

Numpy's own take libm's logarithm and exponential, a compiler may fuse their sums, and another version may
draw otherwise. These are made of Philox's 64-bit numbers alone, whose stream numpy guarantees, and of
:mod:`flmd.core.exact`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flmd.core import exact

Size = int | tuple[int, ...] | None


class Draws:
    """Independent numbers for each key and counter, as :class:`numpy.random.Philox` takes them.

    Where neither ``size`` nor an argument has a shape, a method draws one number.
    """

    def __init__(self, key: int | Sequence[int], counter: Sequence[int] | None = None) -> None:
        self._philox = np.random.Philox(key=key, counter=counter)

    def _raw(self, count: int) -> NDArray[np.uint64]:
        """The next numbers of 64 bits."""
        return np.asarray(self._philox.random_raw(count), dtype=np.uint64)

    def random(self, size: Size = None) -> Any:
        """Multiples of 2**-53 in [0, 1)."""
        if size is None:
            return float(int(self._raw(1)[0]) >> 11) * 2.0**-53
        return (self._raw(math.prod(np.atleast_1d(size).tolist())) >> np.uint64(11)).reshape(size) * 2.0**-53

    def integers(self, low: int, high: int | None = None) -> int:
        """A whole number in [low, high), or in [0, low)."""
        low, high = (0, low) if high is None else (low, high)
        return low + (int(self._raw(1)[0]) * (high - low) >> 64)

    def permutation(self, x: int | Sequence[int]) -> NDArray[Any]:
        """Whole numbers in another order; a number stands for those below it."""
        numbers = np.arange(x) if isinstance(x, int) else np.asarray(x)
        return np.asarray(numbers[np.argsort(self._raw(len(numbers)), kind="stable")])

    def choice(self, options: Sequence[Any] | NDArray[Any], p: Sequence[float] | None = None) -> Any:
        """One of the options, with probabilities in the proportions of ``p``."""
        if p is None:
            return options[self.integers(len(options))]
        edges = np.cumsum(np.asarray(p, dtype=np.float64))
        below = int(np.searchsorted(edges, self.random() * edges[-1], side="right"))
        return options[min(below, len(options) - 1)]

    def uniform(self, low: float, high: float, size: Size = None) -> Any:
        """Evenly in [low, high)."""
        return low + (high - low) * self.random(size)

    def normal(self, mean: ArrayLike, spread: ArrayLike, size: Size = None) -> Any:
        """Normal numbers, in 65536 equally likely steps up to 4.3 standard deviations."""
        m, s = np.asarray(mean, dtype=np.float64), np.asarray(spread, dtype=np.float64)
        shape = np.broadcast_shapes(m.shape, s.shape) if size is None else size
        step = self._raw(math.prod(np.atleast_1d(shape).astype(int).tolist())) >> np.uint64(48)
        return (m + s * exact.normal_levels()[step].reshape(shape))[()]

    def grain(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Standard normal numbers in as many steps, float32: the noise of a camera."""
        count = math.prod(shape)
        steps = self._raw(-(-count // 4)).astype("<u8").view("<u2")[:count]
        return np.asarray(_levels32()[steps].reshape(shape))

    def gamma(self, shape: float, scale: float) -> float:
        """A gamma number, ``shape`` at least 1 (Marsaglia and Tsang, 2000)."""
        d = shape - 1 / 3
        c = 1 / math.sqrt(9 * d)
        while True:
            x, u = float(self.normal(0, 1)), self.random()
            v = (1 + c * x) * (1 + c * x) * (1 + c * x)
            if v > 0 and u > 0 and float(exact.log(u)) < 0.5 * x * x + d * (1 - v + float(exact.log(v))):
                return d * v * scale

    def beta(self, a: float, b: float) -> float:
        """A beta number, a and b at least 1."""
        first, second = self.gamma(a, 1.0), self.gamma(b, 1.0)
        return first / (first + second)


@cache
def _levels32() -> NDArray[np.float32]:
    return exact.normal_levels().astype(np.float32)

"""The One-Euro filter: little jitter at rest, little lag in motion.

Casiez, Roussel and Vogel, "1 € filter: a simple speed-based low-pass filter for noisy input in interactive
systems", CHI 2012.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class OneEuro:
    """Smooths an array that changes over time, each number by itself.

    Parameters
    ----------
    min_cutoff : Hz, of a value at rest; lower is steadier.
    beta : Hz per unit of speed; higher lags less. Speed is measured in ``scale`` a second.
    derivative_cutoff : Hz, of the speed itself; the paper keeps it at 1.
    """

    def __init__(self, min_cutoff: float = 1.5, beta: float = 6.0, derivative_cutoff: float = 1.0) -> None:
        self.min_cutoff, self.beta, self.derivative_cutoff = min_cutoff, beta, derivative_cutoff
        self._time: float | None = None
        self._value: NDArray[np.float64] = np.zeros(0)
        self._speed: NDArray[np.float64] = np.zeros(0)

    def __call__(self, values: NDArray[np.floating], time: float, scale: float = 1.0) -> NDArray[np.float64]:
        """The smoothed values.

        Parameters
        ----------
        values : any shape, the same at each call. time : seconds; a time that does not grow is taken as
            the same moment and filters nothing.
        scale : unit of length, e.g. the side of the face, so that near and far faces are smoothed alike.
        """
        new = np.asarray(values, dtype=np.float64)
        if self._time is None or time <= self._time:
            self._time, self._value, self._speed = time, new, np.zeros_like(new)
            return new
        step = time - self._time
        speed = (new - self._value) / step
        keep = _weight(np.asarray(self.derivative_cutoff), step)
        self._speed = keep * speed + (1 - keep) * self._speed
        cutoff = self.min_cutoff + self.beta * np.abs(self._speed) / scale
        weight = _weight(cutoff, step)
        self._value = weight * new + (1 - weight) * self._value
        self._time = time
        return self._value


def _weight(cutoff: NDArray[np.floating], step: float) -> NDArray[np.float64]:
    """Of the new value, in a low-pass filter of that cutoff (Hz) after a step (s)."""
    return np.asarray(1 / (1 + 1 / (2 * np.pi * cutoff * step)))

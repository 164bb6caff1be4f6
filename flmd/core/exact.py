"""Arithmetic whose bytes no processor, compiler or library can change.

IEEE 754 fixes the result of one addition, subtraction, multiplication, division or square root to the last
bit, and numpy does one of these at a time, element by element. What hangs on the machine is the rest: the
functions of libm and of numpy's vector loops (sin, exp, log, powers), the order in which BLAS and einsum add,
and multiplications fused with additions. Here these are made of the exact five, in a fixed order.

All functions take and return float64, finite unless said otherwise. They differ from what mathematics says
by a few units in the last place at most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

# pi / 2 and log 2 in parts: whole multiples of the first ones are exact, so that reduction loses nothing.
_HALF_PI = (float.fromhex("0x1.921fb544p+0"), float.fromhex("0x1.0b4611a6p-34"), 2.0222662487959506e-21)
_LOG_2 = (float.fromhex("0x1.62e42fee00000p-1"), float.fromhex("0x1.a39ef35793c76p-33"))
_SIN, _COS = ([(-1) ** n / math.factorial(2 * n + odd) for n in range(9)] for odd in (1, 0))
_EXP = [1 / math.factorial(n) for n in range(14)]
# Wichura, "Algorithm AS 241: the percentage points of the normal distribution" (1988), PPND16: numerator and
# denominator near the middle, in the tails, and far out in them; highest power first.
_MIDDLE = (
    (2509.0809287301226727, 33430.575583588128105, 67265.770927008700853, 45921.953931549871457,
     13731.693765509461125, 1971.5909503065514427, 133.14166789178437745, 3.387132872796366608),
    (5226.495278852854561, 28729.085735721942674, 39307.89580009271061, 21213.794301586595867,
     5394.1960214247511077, 687.1870074920579083, 42.313330701600911252, 1.0),
)  # fmt: skip
_TAIL = (
    (7.7454501427834140764e-4, 0.0227238449892691845833, 0.24178072517745061177, 1.27045825245236838258,
     3.64784832476320460504, 5.7694972214606914055, 4.6303378461565452959, 1.42343711074968357734),
    (1.05075007164441684324e-9, 5.475938084995344946e-4, 0.0151986665636164571966, 0.14810397642748007459,
     0.68976733498510000455, 1.6763848301838038494, 2.05319162663775882187, 1.0),
)  # fmt: skip
_FAR = (
    (2.01033439929228813265e-7, 2.71155556874348757815e-5, 0.0012426609473880784386, 0.026532189526576123093,
     0.29656057182850489123, 1.7848265399172913358, 5.4637849111641143699, 6.6579046435011037772),
    (2.04426310338993978564e-15, 1.4215117583164458887e-7, 1.8463183175100546818e-5, 7.868691311456132591e-4,
     0.0148753612908506148525, 0.13692988092273580531, 0.59983220655588793769, 1.0),
)  # fmt: skip


def _horner(x: Floats, coefficients: Sequence[float]) -> Floats:
    """A polynomial, highest power first."""
    value = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        value *= x
        value += coefficient
    return value


def sin_cos(angle: ArrayLike) -> tuple[Floats, Floats]:
    """Sine and cosine of angles in radians, up to about 1e6 either way."""
    x = np.asarray(angle, dtype=np.float64)
    quarter = np.rint(x * (2 / np.pi))
    r = ((x - quarter * _HALF_PI[0]) - quarter * _HALF_PI[1]) - quarter * _HALF_PI[2]
    square = r * r
    sine, cosine = r * _horner(square, _SIN[::-1]), _horner(square, _COS[::-1])
    turns = quarter.astype(np.int64) & 3
    swapped = (turns & 1) == 1
    s, c = np.where(swapped, cosine, sine), np.where(swapped, sine, cosine)
    return np.where(turns >= 2, -s, s)[()], np.where((turns == 1) | (turns == 2), -c, c)[()]


def sin(angle: ArrayLike) -> Floats:
    """Sine of radians."""
    return sin_cos(angle)[0]


def cos(angle: ArrayLike) -> Floats:
    """Cosine of radians."""
    return sin_cos(angle)[1]


def exp(x: ArrayLike) -> Floats:
    """e to the power x; x at most 709. Below -708 the result is 0."""
    power = np.asarray(x, dtype=np.float64)
    clipped = np.maximum(power, -708.0)
    twos = np.rint(clipped * (1 / (_LOG_2[0] + _LOG_2[1])))
    r = (clipped - twos * _LOG_2[0]) - twos * _LOG_2[1]
    value = np.ldexp(_horner(r, _EXP[::-1]), twos.astype(np.int32))
    return np.where(power < -708.0, 0.0, value)[()]


def log(x: ArrayLike) -> Floats:
    """Natural logarithm of numbers above 0."""
    mantissa, exponent = np.frexp(np.asarray(x, dtype=np.float64))
    low = mantissa < np.sqrt(0.5)
    mantissa = np.where(low, 2 * mantissa, mantissa)
    twos = np.where(low, exponent - 1, exponent).astype(np.float64)
    s = (mantissa - 1) / (mantissa + 1)  # log m = 2 artanh s, |s| at most 0.172
    square = s * s
    series = _horner(square, [2 / n for n in range(23, 1, -2)])
    return np.asarray(twos * _LOG_2[0] + (2 * s + (s * square * series + twos * _LOG_2[1])))[()]


def power(x: ArrayLike, y: float) -> Floats:
    """x to the power y, for x of at least 0 and y above 0."""
    base = np.asarray(x, dtype=np.float64)
    positive = base > 0
    return np.where(positive, exp(y * log(np.where(positive, base, 1.0))), 0.0)[()]


def whole_power(x: NDArray[np.floating], n: int) -> NDArray[np.floating]:
    """x to the power n, n at least 1, in the precision of x: multiplications alone."""
    if n == 1:
        return x
    half = whole_power(x, n // 2)
    return half * half * x if n % 2 else half * half


def arctan2(y: ArrayLike, x: ArrayLike) -> Floats:
    """Angle of the vectors (x, y), in (-pi, pi]; 0 for (0, 0)."""
    down, right = np.broadcast_arrays(np.asarray(y, dtype=np.float64), np.asarray(x, dtype=np.float64))
    long, short = np.maximum(np.abs(down), np.abs(right)), np.minimum(np.abs(down), np.abs(right))
    t = short / np.where(long > 0, long, 1.0)
    for _ in range(2):  # half the angle, twice
        t = t / (1 + np.sqrt(1 + t * t))
    square = t * t
    angle = 4 * (t * _horner(square, [(-1) ** n / (2 * n + 1) for n in range(12, -1, -1)]))
    angle = np.where(np.abs(down) > np.abs(right), np.pi / 2 - angle, angle)
    angle = np.where(right < 0, np.pi - angle, angle)
    return np.asarray(np.where(down < 0, -angle, angle))[()]


def normal_quantile(share: ArrayLike) -> Floats:
    """Where the standard normal distribution has that share (0 to 1, without both ends) below it."""
    p = np.asarray(share, dtype=np.float64)
    q = p - 0.5
    r = 0.180625 - q * q
    middle = q * _horner(r, _MIDDLE[0]) / _horner(r, _MIDDLE[1])
    depth = np.sqrt(-log(np.minimum(p, 1 - p)))
    near, far = np.minimum(depth, 5.0) - 1.6, depth - 5
    tail = np.where(
        depth <= 5,
        _horner(near, _TAIL[0]) / _horner(near, _TAIL[1]),
        _horner(far, _FAR[0]) / _horner(far, _FAR[1]),
    )
    return np.where(np.abs(q) <= 0.425, middle, np.where(q < 0, -tail, tail))[()]


@cache
def normal_levels() -> Floats:
    """(65536,) the standard normal distribution in as many equally likely steps, rising; read-only.

    ``normal_levels()[i]`` with i drawn evenly is a normal number, of at most 4.3 standard deviations.
    """
    levels = normal_quantile((np.arange(1 << 16) + 0.5) / (1 << 16))
    levels.setflags(write=False)
    return levels


def total(values: NDArray[np.floating], axis: int = -1) -> NDArray[np.floating]:
    """Sum along an axis: the second half is added to the first until one is left."""
    left = np.moveaxis(values, axis, 0)
    if not len(left):
        return np.zeros(left.shape[1:], left.dtype)
    while len(left) > 1:
        half = len(left) // 2
        folded = left[:half] + left[half : 2 * half]
        left = np.concatenate([folded, left[2 * half :]]) if len(left) % 2 else folded
    return np.asarray(left[0])[()]


def length(vectors: NDArray[np.floating]) -> NDArray[np.floating]:
    """Length of vectors along the last axis."""
    return np.asarray(np.sqrt(total(vectors * vectors)))


def product(a: NDArray[np.floating], b: NDArray[np.floating]) -> Floats:
    """Matrix product (..., N, K) by (..., K, M): the K products are added one by one, in order."""
    out = np.asarray(a[..., :, :1] * b[..., :1, :], dtype=np.float64)
    one = np.empty_like(out)
    for k in range(1, a.shape[-1]):
        out += np.multiply(a[..., :, k : k + 1], b[..., k : k + 1, :], out=one)
    return out


def on_grid(x: NDArray[np.floating], bits: int) -> Floats:
    """The nearest multiples of 2**-bits.

    A sum of products of such numbers is exact in float64, whoever adds in whatever order and fuses what, as
    long as the sum of their sizes stays below 2**(53 - the bits of both): then nothing has to be rounded.
    """
    return np.asarray(np.rint(x * 2.0**bits) * 2.0**-bits)


def inverse(matrix: Floats) -> Floats:
    """Inverse of an (N, N) matrix by Gauss and Jordan, with the largest pivot of each column."""
    n = len(matrix)
    work = np.concatenate([np.asarray(matrix, dtype=np.float64), np.eye(n)], axis=1)
    for column in range(n):
        pivot = column + int(np.argmax(np.abs(work[column:, column])))
        if work[pivot, column] == 0:
            raise np.linalg.LinAlgError("Singular matrix")
        work[[column, pivot]] = work[[pivot, column]]
        work[column] = work[column] / work[column, column]
        share = work[:, column].copy()
        share[column] = 0
        work -= share[:, None] * work[column]
    return work[:, n:]


def interpolate(x: ArrayLike, at: ArrayLike, values: ArrayLike) -> Floats:
    """Straight lines between ``values`` at rising places ``at``, level beyond both ends, as np.interp."""
    where, places, heights = (np.asarray(v, dtype=np.float64) for v in (x, at, values))
    left = np.clip(np.searchsorted(places, where, side="right") - 1, 0, len(places) - 2)
    share = np.clip((where - places[left]) / (places[left + 1] - places[left]), 0, 1)
    return np.asarray(heights[left] + share * (heights[left + 1] - heights[left]))

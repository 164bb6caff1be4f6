"""How far a stack of unpadded convolutions and halving pools shrinks an image."""

from __future__ import annotations

from collections.abc import Sequence

from flmd.errors import ParamsError


def side_after(network: str, input_size: int, kernels: Sequence[int]) -> int:
    """The side left after [unpadded convolution of each kernel size, then a max pool of 2].

    Raises
    ------
    ParamsError : nothing is left; names the smallest input that works.
    """
    side = _shrink(input_size, kernels)
    if side < 1:
        smallest = next(s for s in range(input_size, 1 << 16) if _shrink(s, kernels) >= 1)
        raise ParamsError(
            f"network {network}: input_size is {input_size}",
            expected=f"at least {smallest} pixels",
            hint="set augment.input_size",
        )
    return side


def _shrink(side: int, kernels: Sequence[int]) -> int:
    for kernel in kernels:
        side = (side - kernel + 1) // 2
    return side

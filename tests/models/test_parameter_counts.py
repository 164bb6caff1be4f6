"""Parameter counts, worked out by hand. A batch norm has two numbers a channel."""

from __future__ import annotations

from itertools import pairwise

import pytest

from flmd import models


def count(name: str, **options: object) -> int:
    return sum(p.numel() for p in models.build(name, **options).parameters())


def separable(inputs: int, outputs: int) -> int:
    return 9 * inputs + inputs * outputs + 2 * outputs


def linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def test_xception() -> None:
    stem = (9 * 1 * 32 + 2 * 32) + (9 * 32 * 64 + 2 * 64)  # 18,912
    first = separable(64, 64) + separable(64, 128) + linear(64, 128) + 2 * 128  # 22,400
    second = separable(128, 128) + separable(128, 256) + linear(128, 256) + 2 * 256  # 85,760
    middle = 3 * separable(256, 256)  # 205,056
    out = separable(256, 256) + separable(256, 512) + linear(256, 512) + 2 * 512  # 335,360
    out += separable(512, 512) + separable(512, 1024)  # 798,720
    head = linear(1024, 136)  # 139,400
    assert (stem, first, second, middle, out, head) == (18_912, 22_400, 85_760, 205_056, 1_134_080, 139_400)
    assert stem + first + second + 6 * middle + out + head == 2_630_888
    assert count("xception") == 2_630_888
    assert count("xception", middle_blocks=2) == 2_630_888 - 4 * 205_056


def test_xception_width_halves_every_channel() -> None:
    stem = (9 * 16 + 2 * 16) + (9 * 16 * 32 + 2 * 32)
    entry = separable(32, 32) + separable(32, 64) + linear(32, 64) + 2 * 64
    entry += separable(64, 64) + separable(64, 128) + linear(64, 128) + 2 * 128
    out = separable(128, 128) + separable(128, 256) + linear(128, 256) + 2 * 256
    out += separable(256, 256) + separable(256, 512)
    by_hand = stem + entry + 2 * 3 * separable(128, 128) + out + linear(512, 136)
    assert count("xception", width=0.5, middle_blocks=2) == by_hand


def test_cnn6() -> None:
    widths = (3, 32, 64, 128, 256, 512, 1024)
    # 224 -> 222 -> 111 -> 109 -> 54 -> 52 -> 26 -> 24 -> 12 -> 10 -> 5 -> 3 -> 1: 1024 features.
    features = sum(9 * i * o + o + 2 * o for i, o in pairwise(widths))
    head = linear(1024, 512) + 2 * 512 + linear(512, 256) + 2 * 256 + linear(256, 136)
    assert (features, head) == (6_292_224, 692_616)
    assert count("cnn6") == features + head == 6_984_840


def test_naimishnet() -> None:
    # 224 -> 221 -> 110 -> 108 -> 54 -> 53 -> 26 -> 26 -> 13: 256 x 13 x 13 = 43,264 features.
    features = (16 * 32 + 32) + (9 * 32 * 64 + 64) + (4 * 64 * 128 + 128) + (1 * 128 * 256 + 256)
    features += 2 * (32 + 64 + 128 + 256)
    head = linear(43_264, 1000) + 2000 + linear(1000, 1000) + 2000 + linear(1000, 136)
    assert count("naimishnet") == features + head == 44_492_056


def residual(inputs: int, outputs: int) -> int:
    """Three [batch norm, convolution without bias] of 1x1, 3x3, 1x1; a 1x1 shortcut where widths differ."""
    half = outputs // 2
    norms = 2 * inputs + 2 * half + 2 * half
    shortcut = 0 if inputs == outputs else inputs * outputs
    return norms + inputs * half + 9 * half * half + half * outputs + shortcut


def test_hourglass() -> None:
    stem = 49 * 3 * 64 + 2 * 64 + residual(64, 128) + residual(128, 128) + residual(128, 256)
    hourglass = (4 * 3 + 1) * residual(256, 256)  # four levels of three, one in the middle
    features = residual(256, 256) + 2 * 256 + 256 * 256 + 2 * 256
    maps = linear(256, 68)
    handed_on = linear(256, 256) + linear(68, 256)
    assert residual(256, 256) == 214_016
    assert (stem, hourglass, features, maps, handed_on) == (351_168, 2_782_208, 280_576, 17_476, 83_456)
    by_hand = stem + 4 * (hourglass + features + maps) + 3 * handed_on
    assert count("hourglass") == by_hand == 12_922_576
    assert by_hand <= 15_000_000
    assert count("hourglass", stacks=3) == by_hand - hourglass - features - maps - handed_on


def test_cnn2() -> None:
    # 224 -> 220 -> 110 -> 108 -> 54: 32 x 54 x 54 = 93,312 features.
    by_hand = (25 * 16 + 16) + (9 * 16 * 32 + 32) + linear(93_312, 64) + linear(64, 136)
    assert count("cnn2") == by_hand == 5_985_928


@pytest.mark.slow
def test_resnet152() -> None:
    # torchvision's 60,192,808 less its classifier, and our head on 2048 features.
    head = linear(2048, 512) + 1024 + linear(512, 256) + 512 + linear(256, 136)
    assert count("resnet152") == 60_192_808 - linear(2048, 1000) + head == 59_360_712


@pytest.mark.slow
def test_vgg19() -> None:
    # 16 convolutions of 3x3; 224 / 32 = 7: 512 x 7 x 7 = 25,088 features.
    widths = (3, 64, 64, 128, 128, 256, 256, 256, 256, 512, 512, 512, 512, 512, 512, 512, 512)
    features = sum(9 * i * o + o for i, o in pairwise(widths))
    head = linear(25_088, 512) + 1024 + linear(512, 256) + 512 + linear(256, 136)
    assert count("vgg19") == features + head == 33_037_768

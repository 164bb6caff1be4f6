"""Philox against the known answers of its authors (Random123, kat_vectors), and its independence of order."""

from __future__ import annotations

import numpy as np

from flmd.augmentation.counter_rng import face_keys, philox, uniforms


def test_philox_known_answers() -> None:
    zeros = philox(np.zeros((1, 4), np.uint32), (0, 0))
    assert [hex(x) for x in zeros[0]] == ["0x6627e8d5", "0xe169c58d", "0xbc57ac4c", "0x9b00dbd8"]
    ones = philox(np.full((1, 4), 0xFFFFFFFF, np.uint32), (0xFFFFFFFF, 0xFFFFFFFF))
    assert [hex(x) for x in ones[0]] == ["0x408f276d", "0x41c83b0e", "0xa20bc7c6", "0x6d5451fd"]
    pi = np.array([[0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344]], np.uint32)
    assert [hex(x) for x in philox(pi, (0xA4093822, 0x299F31D0))[0]] == [
        "0xd16cfe09", "0x94fdcceb", "0x5001e420", "0x24126ea1",
    ]  # fmt: skip


def test_draws_depend_on_the_face_and_not_on_its_neighbours() -> None:
    keys = np.array([5, 2**63 + 1, 77], np.uint64)
    together = uniforms(1, keys, [0, 1, 2], 6)
    alone = uniforms(1, keys[1:2], [1], 6)
    assert (together[1] == alone[0]).all()
    assert not (uniforms(2, keys, [0, 1, 2], 6) == together).any()


def test_draws_are_uniform() -> None:
    u = uniforms(0, np.arange(20000, dtype=np.uint64), np.zeros(20000, int), 4)
    assert u.min() >= 0
    assert u.max() < 1
    # Mean of 80,000 uniform numbers: standard error 0.001.
    assert abs(u.mean() - 0.5) < 0.005
    assert abs(np.corrcoef(u.T) - np.eye(4)).max() < 0.03


def test_faces_of_one_picture_have_different_keys() -> None:
    points = np.zeros((3, 68, 2), np.float32)
    points[1, 0, 0] = 1
    keys = face_keys(["a", "a", "b"], points)
    assert len(set(keys.tolist())) == 3

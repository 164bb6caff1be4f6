"""Several systems on the same faces: numbers worked out by hand, and intervals against other code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from flmd.evaluation.compare import best_of, bootstrap_means, compare
from flmd.evaluation.measure import Evaluation


def measured(errors: list[float], subjects: list[str] | None = None) -> Evaluation:
    count = len(errors)
    frame = pd.DataFrame(
        {
            "image": [f"{i}.png" for i in range(count)],
            "dataset": "d",
            "subset": "",
            "subject": subjects or [str(i) for i in range(count)],
            "pose": ["frontal"] * (count - 1) + ["profile"],
            "size": "large",
            "nme": errors,
            "mean_shape_nme": 0.2,
        }
    )
    return Evaluation({}, {"threshold": 0.1}, frame, pd.DataFrame(), pd.DataFrame())


A = [0.02, 0.04, 0.06, np.inf, np.nan]
B = [0.03, 0.03, 0.12, 0.05, np.nan]


def test_numbers_by_hand() -> None:
    found = compare({"a": measured(A), "b": measured(B)}, seed=1)
    data = found.tree["datasets"]["d"]
    a, b = data["systems"]["a"], data["systems"]["b"]
    assert (a["found"], a["missed"], b["found"], b["missed"]) == (3, 1, 4, 0)
    assert a["nme"]["value"] == pytest.approx(0.04)  # of the three it found
    assert b["nme"]["value"] == pytest.approx(0.0575)
    assert a["auc"]["value"] == pytest.approx((0.8 + 0.6 + 0.4 + 0) / 4)
    assert b["auc"]["value"] == pytest.approx((0.7 + 0.7 + 0 + 0.5) / 4)
    assert (a["failure_rate"], b["failure_rate"]) == (0.25, 0.25)
    (pair,) = data["pairs"]
    assert pair["faces"] == 3
    assert pair["nme_difference"]["value"] == pytest.approx((-0.01 + 0.01 - 0.06) / 3)
    assert pair["auc_difference"]["value"] == pytest.approx((0.1 - 0.1 + 0.4 - 0.5) / 4)
    assert pair["a_better"] == pytest.approx(2 / 3, abs=1e-6)
    assert found.faces["best"].tolist() == ["a", "b", "a", "b", ""]
    np.testing.assert_allclose(found.faces["margin"], [0.01, 0.01, 0.06, np.inf, np.nan])
    everything = found.wins[found.wins["part"] == "all"].iloc[0]
    assert (everything["faces"], everything["a"]) == (3, pytest.approx(2 / 3))
    assert found.wins[found.wins["part"] == "pose_profile"].iloc[0]["faces"] == 0


def test_equal_errors_have_no_best() -> None:
    best, margin = best_of(np.array([[0.1, 0.1], [0.2, 0.1], [np.inf, np.inf]]), ["a", "b"])
    assert best == ["", "b", ""]
    np.testing.assert_allclose(margin, [np.nan, 0.1, np.nan])


def test_intervals_agree_with_scipys_bootstrap() -> None:
    """Each face its own subject: an ordinary percentile bootstrap of the mean of paired differences."""
    rng = np.random.default_rng(0)
    one = rng.gamma(4, 0.01, 200)
    two = one + rng.normal(0.002, 0.01, 200)
    found = compare({"a": measured(one.tolist()), "b": measured(two.tolist())}, seed=3)
    (pair,) = found.tree["datasets"]["d"]["pairs"]
    peer = stats.bootstrap((one - two,), np.mean, n_resamples=4000, method="percentile", rng=5)
    low, high = peer.confidence_interval
    assert pair["nme_difference"]["low"] == pytest.approx(low, abs=1.5e-4)
    assert pair["nme_difference"]["high"] == pytest.approx(high, abs=1.5e-4)


def test_frames_of_one_video_count_as_one_draw() -> None:
    """Ten copies of each face tell no more than the faces do: the interval is as wide as theirs."""
    rng = np.random.default_rng(1)
    errors = rng.gamma(4, 0.01, 30)
    widths = []
    for copies in (1, 10):
        subjects = [str(i) for i in range(30) for _ in range(copies)]
        values = np.repeat(errors, copies).tolist()
        other = np.repeat(errors + 0.01, copies).tolist()
        found = compare({"a": measured(values, subjects), "b": measured(other, subjects)}, seed=2)
        a = found.tree["datasets"]["d"]["systems"]["a"]["nme"]
        widths.append(a["high"] - a["low"])
        (pair,) = found.tree["datasets"]["d"]["pairs"]
        # The difference is the same on every face, so it has no spread at all.
        assert pair["nme_difference"]["low"] == pair["nme_difference"]["high"] == pytest.approx(-0.01)
    assert widths[0] == pytest.approx(widths[1])


def test_the_same_seed_draws_the_same_and_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=(50, 2))
    clusters = np.arange(50)
    whole = bootstrap_means(values, clusters, np.random.default_rng(4), 100)
    monkeypatch.setattr("flmd.evaluation.compare.CELLS", 350)
    np.testing.assert_allclose(bootstrap_means(values, clusters, np.random.default_rng(4), 100), whole)
    assert not np.allclose(bootstrap_means(values, clusters, np.random.default_rng(5), 100), whole)


def test_a_file_is_json_without_infinity(tmp_path: Path) -> None:
    import json

    nothing = measured([np.inf, np.inf, np.nan])
    tree = compare({"a": nothing, "b": measured([0.1, 0.2, np.nan])}, seed=0).tree
    text = json.dumps(tree, allow_nan=False)
    assert json.loads(text)["datasets"]["d"]["systems"]["a"]["nme"] == {
        "value": None,
        "low": None,
        "high": None,
    }

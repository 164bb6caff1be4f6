from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from flmd.errors import ParamsError
from flmd.training import optim


def parameter() -> nn.Parameter:
    return nn.Parameter(torch.tensor([1.0, -2.0]))


@pytest.mark.parametrize(
    ("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)]
)
def test_names_are_torchs_optimisers(name: str, kind: type) -> None:
    built = optim.build_optimizer(name, [parameter()], lr=0.5, weight_decay=0.125)
    assert type(built) is kind
    assert built.defaults["lr"] == 0.5
    assert built.defaults["weight_decay"] == 0.125


def test_sgd_with_momentum_by_hand() -> None:
    p = parameter()
    optimizer = optim.build_optimizer("sgd", [p], lr=0.1, momentum=0.5)
    for _ in range(2):
        p.grad = torch.ones(2)
        optimizer.step()
    # Steps of 0.1 * 1 and 0.1 * (0.5 * 1 + 1).
    torch.testing.assert_close(p.detach(), torch.tensor([1.0 - 0.25, -2.0 - 0.25]))


def test_betas_reach_adam() -> None:
    built = optim.build_optimizer("adam", [parameter()], lr=1e-3, beta1=0.8, beta2=0.9, epsilon=1e-6)
    assert (built.defaults["betas"], built.defaults["eps"]) == ((0.8, 0.9), 1e-6)


def test_cosine_is_torchs() -> None:
    p = parameter()
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(torch.optim.SGD([p], 1.0), T_max=10, eta_min=0.1)
    ours = optim.build_schedule("cosine", epochs=10, final=0.1)
    for epoch in range(10):
        assert ours.factor(epoch) == pytest.approx(theirs.get_last_lr()[0])
        theirs.optimizer.step()
        theirs.step()
    assert ours.factor(10) == pytest.approx(0.1)


def test_plateau_is_torchs() -> None:
    p = parameter()
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        torch.optim.SGD([p], 1.0), factor=0.5, patience=1, min_lr=0.2
    )
    ours = optim.build_schedule("plateau", epochs=20, factor=0.5, patience=1, minimum=0.2)
    for score in (5, 4, 4, 4, 4, 3, 3, 3, 3.5, 3.5, 3.5, 3.5, 1, 1):
        theirs.step(score)
        ours.observe(score)
        assert ours.factor(0) == pytest.approx(theirs.optimizer.param_groups[0]["lr"])


def test_restored_plateau_goes_on_the_same() -> None:
    whole = optim.build_schedule("plateau", epochs=9, patience=2)
    first = optim.build_schedule("plateau", epochs=9, patience=2)
    for score in (3.0, 3.0):
        whole.observe(score)
        first.observe(score)
    second = optim.build_schedule("plateau", epochs=9, patience=2)
    second.restore(first.state())
    for _ in range(5):
        whole.observe(3.0)
        second.observe(3.0)
        assert second.state() == whole.state()
    assert second.factor(0) < 1


def test_multistep_falls_at_its_milestones() -> None:
    schedule = optim.build_schedule("multistep", epochs=10, milestones=[3, 6], gamma=0.1)
    assert [schedule.factor(e) for e in (0, 2.99, 3, 5.9, 6, 9)] == pytest.approx(
        [1, 1, 0.1, 0.1, 0.01, 0.01]
    )


@pytest.mark.parametrize("name", ["constant", "cosine", "plateau"])
def test_warmup_climbs_linearly(name: str) -> None:
    schedule = optim.build_schedule(name, epochs=10, warmup=2)
    assert [schedule.factor(e) for e in (0, 0.5, 1, 2)] == pytest.approx([0, 0.25, 0.5, 1])


def test_cosine_falls_over_what_the_warmup_leaves() -> None:
    schedule = optim.build_schedule("cosine", epochs=10, warmup=2)
    assert schedule.factor(6) == pytest.approx((1 + math.cos(math.pi / 2)) / 2)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cosin", {}, "unknown schedule 'cosin'.*did you mean 'cosine'"),
        ("cosine", {"warm_up": 1}, "did you mean 'warmup'"),
        ("cosine", {"warmup": 10}, "warmup is 10 epochs of 10"),
        ("cosine", {"final": 1.5}, "final is 1.5"),
        ("plateau", {"factor": 1.0}, "factor is 1.0; expected less than 1"),
        ("plateau", {"patience": 1.5}, "patience is 1.5"),
        ("multistep", {}, "milestones is not set"),
        ("multistep", {"milestones": [5, 3]}, "expected rising epochs"),
        ("multistep", {"milestones": []}, r"milestones is \[\]"),
        ("constant", {"gamma": 0.1}, "unknown option of schedule constant"),
    ],
)
def test_impossible_schedules(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        optim.build_schedule(name, epochs=10, **options)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("adan", {}, "did you mean 'adam'"),
        ("adam", {"momentum": 0.9}, "unknown option of optimizer adam"),
        ("sgd", {"nesterov": True}, "nesterov without momentum"),
        ("sgd", {"momentum": 1}, "momentum is 1; expected less than 1"),
        ("adamw", {"weight_decay": -1}, "weight_decay is -1"),
    ],
)
def test_impossible_optimisers(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        optim.build_optimizer(name, [parameter()], lr=1e-3, **options)

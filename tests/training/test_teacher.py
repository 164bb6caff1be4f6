"""A teacher: its points of a crop, their share in the target, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from flmd import models
from flmd.core.crop_spec import CropSpec
from flmd.errors import FlmdError, InputError, ParamsError, StoreError
from flmd.models.checkpoint import ModelInfo, load_model, save_model, weights_of
from flmd.models.normalisation import Normalisation
from flmd.models.pretrained import place_teacher
from flmd.training.loop import fit
from flmd.training.stored_crops import StoredCrops
from flmd.training.teacher import Teacher
from tests.faces_drawn import GREY, SQUARE, squares
from tests.training.test_loop import settings

CPU = torch.device("cpu")
OPTIONS = {"width": 4, "fine_blocks": 0, "middle_blocks": 0, "coarse_blocks": 0}


def info_of(size: int, **changes: object) -> ModelInfo:
    info = ModelInfo(
        network="integral",
        options=models.resolved_options("integral", **OPTIONS),
        points=5,
        channels=1,
        scheme="square",
        normalisation=Normalisation(size),
        crop=CropSpec(size, 1.3, "grey"),
    )
    return replace(info, **changes)  # type: ignore[arg-type]


def saved(path: Path, info: ModelInfo) -> str:
    torch.manual_seed(1)
    save_model(path, weights_of(info.build()), info)
    return str(path)


def found_by_looking(images: Tensor) -> Tensor:
    """(B, 5, 2): corners and middle of the bright square, from its pixels."""
    points = []
    for image in images[:, 0].numpy():
        y, x = np.nonzero(image > 100)
        left, right, top, bottom = x.min(), x.max(), y.min(), y.max()
        middle = ((left + right) / 2, (top + bottom) / 2)
        points.append([(left, top), (right, top), (left, bottom), (right, bottom), middle])
    return torch.tensor(points, dtype=torch.float32)


def test_points_are_what_the_model_says_of_the_crop(tmp_path: Path) -> None:
    info = info_of(32)
    teacher = Teacher(saved(tmp_path / "t.pt", info), 0.5, info, CPU)
    images = torch.from_numpy(squares(6).images)[:, None]
    network, _ = load_model(tmp_path / "t.pt")
    with torch.no_grad():
        units = network((images.float() / 255 - 0.5) / 0.5)
    torch.testing.assert_close(teacher.points(images), (units + 0.5) * 32 - 0.5, atol=1e-4, rtol=0)


@pytest.mark.parametrize("own", [16, 64, 96])
def test_a_teacher_of_another_size_sees_the_crop_resized_and_answers_in_the_student_s_pixels(
    own: int, tmp_path: Path
) -> None:
    teacher = Teacher(saved(tmp_path / "t.pt", info_of(max(own, 32))), 0.5, info_of(32), CPU)
    shown: list[Tensor] = []

    class Corner(nn.Module):
        def forward(self, pixels: Tensor) -> Tensor:
            """Where the lit quarter ends, found in the resized crop itself: x and y in units of the side."""
            shown.append(pixels)
            side = pixels.shape[-1]
            across = (pixels[:, 0] > 0).sum((1, 2)) / (pixels[:, 0] > 0).any(2).sum(1)
            down = (pixels[:, 0] > 0).sum((1, 2)) / (pixels[:, 0] > 0).any(1).sum(1)
            return (torch.stack([across, down], 1) / side - 0.5)[:, None].expand(-1, 5, -1)

    teacher.model = Corner()
    teacher.info = info_of(own)
    image = torch.zeros(1, 1, 32, 32, dtype=torch.uint8)
    image[0, 0, :8, :16] = 255  # an edge after pixel 15 and one after pixel 7: at 15.5 and 7.5
    expected = torch.tensor([15.5, 7.5]).expand(1, 5, 2)
    torch.testing.assert_close(teacher.points(image), expected, atol=32 / own / 2 + 1e-4, rtol=0)
    assert shown[0].shape == (1, 1, own, own)


def test_targets_are_the_mean_of_label_and_teacher_by_its_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = info_of(32)
    teacher = Teacher(saved(tmp_path / "t.pt", info), 0.25, info, CPU)
    monkeypatch.setattr(Teacher, "points", lambda *_: torch.tensor([[[10.0, 20.0], [4.0, 8.0]]]))
    labels = torch.tensor([[[2.0, 4.0], [float("nan"), float("nan")]]])
    blended = teacher.blend(torch.zeros(1, 1, 32, 32, dtype=torch.uint8), labels)
    assert blended[0, 0].tolist() == [2 + 0.25 * 8, 4 + 0.25 * 16]
    assert blended[0, 1].isnan().all()  # what has no label stays without


def test_a_network_learns_what_its_teacher_says_and_not_the_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels lie 6 px off, and the teacher, who looks, is all that counts: the weights of true labels."""
    monkeypatch.setattr(Teacher, "points", lambda self, images: found_by_looking(images))
    true, wrong = squares(48), squares(48)
    wrong.points += 6
    taught = {"teacher": saved(tmp_path / "t.pt", info_of(32)), "teacher_weight": 1.0}
    weights = []
    for arrays, changes in ((true, {}), (wrong, taught), (wrong, {})):
        fit(
            StoredCrops(arrays),
            StoredCrops(squares(0)),
            settings(**changes, epochs=1),
            scheme=SQUARE,
            seed=3,
            crop=GREY,
            out=tmp_path / "model",
            progress=False,
        )
        weights.append(weights_of(load_model(tmp_path / "model" / "last.pt")[0]))
    by_labels, by_teacher, by_wrong_labels = weights
    assert all(torch.equal(value, by_teacher[name]) for name, value in by_labels.items())
    assert not all(torch.equal(value, by_wrong_labels[name]) for name, value in by_labels.items())


def test_a_teacher_that_sees_or_predicts_something_else_is_refused(tmp_path: Path) -> None:
    student = info_of(32)
    for name, other, message in (
        ("scheme", info_of(32, scheme="ibug68"), "predicts ibug68.*expected square"),
        ("colour", info_of(32, channels=3, crop=CropSpec(32, 1.3, "rgb")), "rgb crops.*expected grey"),
        ("padding", info_of(32, crop=CropSpec(32, 1.5, "grey")), "1.5 times the box.*expected 1.3"),
    ):
        path = saved(tmp_path / f"{name}.pt", other)
        with pytest.raises(ParamsError, match=message) as caught:
            Teacher(path, 0.5, student, CPU)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="no such file"):
        Teacher(str(tmp_path / "gone.pt"), 0.5, student, CPU)


def test_the_stage_places_a_model_whole_or_refuses_it(tmp_path: Path) -> None:
    folder, target = tmp_path / "weights", tmp_path / "teacher.pt"
    folder.mkdir()
    assert place_teacher("none", target, folder) == "none"
    assert target.read_text() == "none\n"
    path = saved(folder / "t.pt", info_of(32))
    assert place_teacher(path, target, folder) == path
    assert target.read_bytes() == Path(path).read_bytes()

    outside = saved(tmp_path / "outside.pt", info_of(32))
    damaged = folder / "damaged.pt"
    data = bytearray(Path(path).read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(data)
    tries: tuple[tuple[str, type[FlmdError], str], ...] = (
        (outside, ParamsError, "outside .*weights; copy the file to .*weights/outside.pt"),
        (str(folder / "gone.pt"), ParamsError, "no such file.*set train.teacher: none"),
        (str(damaged), StoreError, "."),
    )
    for teacher, error, message in tries:
        target.unlink(missing_ok=True)
        with pytest.raises(error, match=message):
            place_teacher(teacher, target, folder)
        assert not target.exists()

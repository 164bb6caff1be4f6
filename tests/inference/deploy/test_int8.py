"""int8: what stays float, and that the loss that is printed is the loss."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from flmd.cli import flmd as command
from flmd.errors import FlmdError, StoreError
from flmd.evaluation import evaluate
from flmd.inference.deploy import export, int8
from flmd.inference.deploy.onnx_runtime import OnnxRuntime, saturates
from flmd.store.face_store import FaceStore
from tests.cli.test_cli import call
from tests.factories import convert_list, make_face, write_picture
from tests.inference.deploy.models import model_file, noise, store  # noqa: F401  (a fixture)


def graph(*nodes: tuple[str, str, str]) -> onnx.GraphProto:
    """Nodes of (kind, input, output), each named after its output."""
    made = [onnx.helper.make_node(kind, source.split(), [out], name=out) for kind, source, out in nodes]
    return onnx.helper.make_graph(made, "g", [], [])


def test_the_first_layer_the_last_and_all_behind_it_stay_float() -> None:
    """A network with a side branch that joins before the last convolution."""
    found = int8.kept_float(
        graph(
            ("Cast", "crops", "levels"),
            ("Conv", "levels", "first"),
            ("Conv", "first", "second"),
            ("Conv", "first", "side"),
            ("Add", "second side", "joined"),
            ("Conv", "joined", "maps"),
            ("Softmax", "maps", "weights"),
            ("Constant", "", "place"),
            ("MatMul", "weights place", "mean"),
        )
    )
    assert found == ["first", "maps", "mean", "weights"]
    with pytest.raises(FlmdError, match=r"2 weighted layers; expected 3 or more"):
        int8.kept_float(graph(("Conv", "x", "a"), ("Gemm", "a", "b")))


def test_the_loss_is_that_of_the_two_files(
    tmp_path: Path,
    store: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """NME worked out from the plain definition, with predictions of onnxruntime alone."""
    model = model_file(tmp_path / "m.pt")
    assert call(monkeypatch, command, "export", model, "--int8", "--calibrate", store) == 0
    printed = capsys.readouterr().out
    path = tmp_path / "m.int8.onnx"
    export.export_model(model, tmp_path / "m.onnx", "onnx", check=store)
    said = json.loads(onnxruntime.InferenceSession(str(path)).get_modelmeta().custom_metadata_map["flmd"])
    loss = said["int8"]
    assert loss["faces"] == 8
    assert loss["calibrated"] == 16
    with FaceStore(store) as faces:
        rows = faces.rows_where(split="test")
        true = faces.numbers("landmarks", rows)
        found = {}
        for name in ("m.onnx", "m.int8.onnx"):
            backend = OnnxRuntime(tmp_path / name)
            monkeypatch.setattr(
                evaluate.measure,
                "predict",
                lambda model, images, affine, *_, backend=backend, **__: np.stack(
                    [
                        (points - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
                        for points, matrix in zip(backend(images), affine, strict=True)
                    ]
                ),
            )
            found[name] = evaluate.predict_rows(faces, rows, None, backend.info, "cpu")
    eyes = np.linalg.norm(true[:, 36] - true[:, 45], axis=1)
    for name, key in (("m.onnx", "nme_float"), ("m.int8.onnx", "nme")):
        by_hand = np.mean(np.linalg.norm(found[name] - true, axis=2).mean(axis=1) / eyes)
        assert loss[key] == pytest.approx(by_hand, rel=1e-5)
    assert loss["nme"] != loss["nme_float"]
    assert f"NME {100 * loss['nme_float']:.3f} % becomes {100 * loss['nme']:.3f} %" in printed
    weights = [t for t in onnx.load(path).graph.initializer if t.data_type == onnx.TensorProto.INT8]
    assert len(weights) >= 10
    assert path.stat().st_size < (tmp_path / "m.onnx").stat().st_size


def test_points_move_little(tmp_path: Path, store: Path) -> None:  # noqa: F811
    model = model_file(tmp_path / "m.pt")
    made = export.export_model(model, tmp_path / "m.int8.onnx", "onnx", calibrate=store)
    assert made.loss is not None
    assert 0 < made.loss.moved_px < 0.3
    assert made.difference <= 1e-4  # that of the float file it was made from


def test_a_store_without_training_or_measurable_faces_is_refused(tmp_path: Path) -> None:
    model = model_file(tmp_path / "m.pt")
    write_picture(tmp_path / "a.png", noise(100, 110, 3))
    face = make_face("a.png", split="test")
    convert_list(tmp_path, [face], tmp_path / "test.h5")[1].close()
    with pytest.raises(StoreError, match=r"test\.h5: no face has split train"):
        export.export_model(model, tmp_path / "m.onnx", "onnx", calibrate=tmp_path / "test.h5")
    blind = make_face("a.png", split="train")
    blind.landmarks[36], blind.visibility[36] = np.nan, 0
    convert_list(tmp_path, [blind], tmp_path / "blind.h5")[1].close()
    with pytest.raises(FlmdError, match="loss of int8 cannot be measured"):
        export.export_model(model, tmp_path / "m.onnx", "onnx", calibrate=tmp_path / "blind.h5")
    assert not (tmp_path / "m.onnx").exists()


def test_only_x86_without_vnni_saturates() -> None:
    assert saturates("processor : 0\nflags\t\t: fpu sse4_2 avx2 fma\n")
    assert not saturates("flags\t\t: fpu avx2 avx_vnni\n")
    assert not saturates("flags\t\t: fpu avx2 avx512f avx512_vnni\n")
    assert not saturates("Features\t: fp asimd asimddp\n")  # an ARM
    assert not saturates("")

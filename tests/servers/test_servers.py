"""Faces to Label Studio and CVAT and back, against servers that answer as these are documented to."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from flmd import open_faces
from flmd.cli.flmd_data import main
from flmd.errors import SourceError
from flmd.face import Face
from flmd.schemes import IBUG68
from flmd.servers.connection import SHOWN, Connection, Patience
from flmd.servers.cvat import decoded, encoded
from flmd.servers.label_studio import LabelStudio
from flmd.tree import open_tree
from tests.factories import blob_picture, convert_list, make_face, write_picture
from tests.servers.fake import CvatServer, LabelStudioServer, Request, serving

NAMES = ("a.jpg", "deep er/b%2F.jpg", "c.jpg")  # three, so that lists have two pages
ONCE_MORE = Patience(retries=1, backoff=0.01)
HASTY = Patience(silence=0.3, retries=1, backoff=0.01)  # of a server that is to say nothing


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Annotations of four faces in three pictures, which lie beside them; one point is not labelled."""
    from flmd import formats

    folder = tmp_path_factory.mktemp("faces")
    faces = [make_face(name, seed=i) for i, name in enumerate((*NAMES, "a.jpg"))]
    faces[-1].box = np.array([5, 5, 30, 30], np.float32)
    faces[0].landmarks[3], faces[0].visibility[3] = np.nan, 0
    for name in NAMES:
        write_picture(folder / name, blob_picture(120, 100, (60, 50)))
    for face in faces:
        face.image_size = (120, 100)
    faces = [faces[0], faces[3], faces[1], faces[2]]
    with open_tree(folder) as tree:
        formats.get("cvat").write(faces, folder / "labels.xml", IBUG68, tree)
    return folder / "labels.xml"


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVER_TOKEN", "secret")
    monkeypatch.setattr("flmd.servers.cvat.Cvat.__init__.__defaults__", (0.0,))


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["flmd-data", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def options(url: str, project: int) -> tuple[object, ...]:
    return ("--url", url, "--project", project, "--token-from-env", "SERVER_TOKEN")


def faces_in(path: Path, pictures: Path) -> dict[tuple[str, float], Face]:
    """Faces by picture and left edge of the box."""
    with open_faces(path, scheme="ibug68", pictures=pictures) as faces:
        found = [face for face in faces if isinstance(face, Face)]
    return {(face.image, round(float(face.box[0]), 2)): face for face in found if face.box is not None}


def same(one: dict[tuple[str, float], Face], two: dict[tuple[str, float], Face]) -> None:
    assert one.keys() == two.keys()
    for key, face in one.items():
        np.testing.assert_allclose(face.landmarks, two[key].landmarks, atol=1e-4)
        np.testing.assert_array_equal(face.visibility, two[key].visibility)
        np.testing.assert_allclose(face.box, two[key].box, atol=1e-4)


def test_label_studio_there_corrected_and_back(
    labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    studio = LabelStudioServer()
    with serving(studio) as server:
        where = options(server.url, 1)
        assert call(monkeypatch, "push", "label-studio", labels, *where, "--model", "m1") == 0
        assert capsys.readouterr().out == f"{server.url}: 3 pictures with 4 faces sent\n"
        assert [name for name, _ in studio.uploads] == [Path(name).name for name in NAMES]
        assert studio.uploads[0][1] == (labels.parent / "a.jpg").read_bytes()
        assert studio.config.count("<Label ") == 1 + 68
        assert studio.tasks[0]["data"] == {"image": "/data/upload/1/00000001-a.jpg", "flmd": "a.jpg"}
        assert studio.tasks[0]["predictions"][0]["model_version"] == "m1"
        assert len(studio.tasks[0]["predictions"][0]["result"]) == 1 + 67 + 1 + 68

        assert call(monkeypatch, "push", "label-studio", labels, *where) == 0
        assert capsys.readouterr().out == f"{server.url}: 0 pictures with 0 faces sent, 3 were there\n"
        assert len(studio.uploads) == len(studio.tasks) == 3

        back = tmp_path / "back.json"
        assert call(monkeypatch, "pull", "label-studio", back, *where) == 2
        assert "no task of project 1 is annotated; it has 3 tasks" in capsys.readouterr().err
        assert not back.exists()
        regions = studio.accept(1)
        moved = next(r for r in regions if r["value"].get("keypointlabels") == [IBUG68.points[10]])
        moved["value"]["x"] += 10  # percent of 120 pixels
        studio.accept(2)
        assert call(monkeypatch, "pull", "label-studio", back, *where) == 0
        assert capsys.readouterr().out == f"{back}: 2 annotated tasks of 3\n"
    sent, come = faces_in(labels, labels.parent), faces_in(back, labels.parent)
    sent = {key: face for key, face in sent.items() if key[0] != "c.jpg"}
    sent["a.jpg", 40.0].landmarks[10, 0] += 12
    same(sent, come)


def test_of_several_annotations_the_true_or_first_comes_back_and_skipped_ones_are_told(
    labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    studio = LabelStudioServer()
    with serving(studio) as server:
        where = options(server.url, 1)
        assert call(monkeypatch, "push", "label-studio", labels, *where) == 0
        results = [[studio.accept(number) for _ in range(3)] for number in (1, 2, 3)]
        for number, versions in enumerate(results, start=1):
            studio.tasks[number - 1]["annotations"] = []
            for percent, version in enumerate(versions, start=1):
                point = next(r for r in version if r["value"].get("keypointlabels") == [IBUG68.points[10]])
                point["value"]["x"] += percent  # of 120 pixels
        studio.annotate(1, results[0][0], was_cancelled=True)
        studio.annotate(1, results[0][1])
        studio.annotate(1, results[0][2])
        studio.annotate(2, results[1][0])
        studio.annotate(2, results[1][1], ground_truth=True)
        studio.annotate(3, results[2][0], was_cancelled=True)
        capsys.readouterr()
        back = tmp_path / "back.json"
        assert call(monkeypatch, "pull", "label-studio", back, *where) == 0
        said = capsys.readouterr()
        assert said.out == f"{back}: 2 annotated tasks of 3\n"
        assert said.err == (
            "left out: annotation that was skipped, 2\nleft out: further annotation of a task, 2\n"
        )
    sent, come = faces_in(labels, labels.parent), faces_in(back, labels.parent)
    sent = {key: face for key, face in sent.items() if key[0] != "c.jpg"}
    sent["a.jpg", 40.0].landmarks[10, 0] += 2 * 1.2
    for (name, _), face in sent.items():
        if name.startswith("deep"):
            face.landmarks[10, 0] += 2 * 1.2
    same(sent, come)


def test_a_picture_that_label_studio_does_not_take_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_picture(tmp_path / "faces" / "a.tif", blob_picture(120, 100, (60, 50)))
    convert_list(tmp_path / "faces", [make_face("a.tif")], tmp_path / "faces.h5")[1].close()
    with serving(LabelStudioServer()) as server:
        where = (*options(server.url, 1), "--pictures", tmp_path / "faces")
        assert call(monkeypatch, "push", "label-studio", tmp_path / "faces.h5", *where) == 2
    error = capsys.readouterr().err
    assert "a.tif: the server does not take this picture: " in error
    assert ".tif extension is not supported" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("scheme", ["Token", "Bearer"])
def test_cvat_there_and_back(
    labels: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    scheme: str,
) -> None:
    cvat = CvatServer(scheme)
    with serving(cvat) as server:
        where = options(server.url, 7)
        monkeypatch.setattr("flmd.servers.cvat.MOST", 1)  # three tasks: two pages
        assert call(monkeypatch, "push", "cvat", labels, *where) == 0
        assert capsys.readouterr().out == f"{server.url}: 3 pictures with 4 faces sent\n"
        assert [frame["name"] for task in cvat.tasks.values() for frame in task["frames"]] == [
            "a.jpg", "deep er%2Fb%252F.jpg", "c.jpg",
        ]  # fmt: skip
        assert cvat.tasks[41]["content"]["a.jpg"] == (labels.parent / "a.jpg").read_bytes()
        first = cvat.tasks[41]["shapes"][0]
        assert (first["type"], first["source"], len(first["elements"])) == ("skeleton", "auto", 68)
        assert call(monkeypatch, "push", "cvat", labels, *where) == 0
        assert "0 pictures with 0 faces sent, 3 were there" in capsys.readouterr().out
        cvat.tasks[41]["shapes"][0]["elements"][10]["points"][0] += 12
        back = tmp_path / "back.xml"
        assert call(monkeypatch, "pull", "cvat", back, *where) == 0
        assert capsys.readouterr().out == f"{back}: 3 pictures with shapes of 3\n"
    sent, come = faces_in(labels, labels.parent), faces_in(back, labels.parent)
    sent["a.jpg", 40.0].landmarks[10, 0] += 12
    same(sent, come)


def test_pictures_of_a_task_that_cvat_sorts_otherwise_keep_their_faces(
    labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(CvatServer()) as server:
        assert call(monkeypatch, "push", "cvat", labels, *options(server.url, 7)) == 0
        assert call(monkeypatch, "pull", "cvat", tmp_path / "b.xml", *options(server.url, 7)) == 0
    same(faces_in(labels, labels.parent), faces_in(tmp_path / "b.xml", labels.parent))


def test_a_project_of_an_organization_gets_tasks_of_that_organization(
    labels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cvat = CvatServer(organization=5)
    with serving(cvat) as server:
        assert call(monkeypatch, "push", "cvat", labels, *options(server.url, 7)) == 0
    assert len(cvat.tasks) == 1


def test_a_task_that_cvat_cannot_make_is_removed_and_may_be_sent_again(
    labels: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cvat = CvatServer()
    with serving(cvat) as server:
        cvat.fails = True
        assert call(monkeypatch, "push", "cvat", labels, *options(server.url, 7)) == 2
        assert "the server answers that it failed" in capsys.readouterr().err
        assert cvat.tasks == {}
        cvat.fails = False
        assert call(monkeypatch, "push", "cvat", labels, *options(server.url, 7)) == 0


def test_a_store_goes_out_as_its_crops_and_comes_back_by_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_picture(tmp_path / "pictures" / "a.jpg", blob_picture(120, 100, (60, 50)))
    convert_list(tmp_path / "pictures", [make_face("a.jpg")], tmp_path / "faces.h5")[1].close()
    studio = LabelStudioServer()
    with serving(studio) as server:
        where = options(server.url, 1)
        assert call(monkeypatch, "push", "label-studio", tmp_path / "faces.h5", *where) == 0
        assert re.fullmatch(r"a\.crop-[0-9a-f]{12}\.png", studio.tasks[0]["data"]["flmd"])
        studio.accept(1)
        assert call(monkeypatch, "pull", "label-studio", tmp_path / "back.json", *where) == 0
    fixed = tmp_path / "fixed.h5"
    capsys.readouterr()
    assert call(monkeypatch, "fix", tmp_path / "faces.h5", tmp_path / "back.json", "-o", fixed) == 0
    same(faces_in(tmp_path / "faces.h5", tmp_path), faces_in(fixed, tmp_path))


def raw(head: str, body: bytes = b"") -> bytes:
    return f"HTTP/1.1 {head}\r\n\r\n".encode() + body


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((401, {"detail": "Invalid token secret."}), "401 Unauthorized: Invalid token ***.; check the token"),
        ((403, ["no"]), "403 Forbidden: ['no']; the user of the token may not do this"),
        ((404, None), "404 Not Found; check --url and --project"),
        ((500, {"detail": "x" * 999}), "the server answers 500 Internal Server Error (attempt 2)"),
        (raw("302 Found\r\nLocation: https://elsewhere/"), "leads to 'https://elsewhere/'; name that"),
        (raw("200 OK\r\nContent-Length: 9", b"{}"), "the connection broke"),
        (raw("200 OK\r\nContent-Type: text/html\r\nContent-Length: 6", b"<html>"), "text/html, not JSON"),
        (raw("200 OK\r\nContent-Length: 90000", b"[" * 90000), "not JSON"),
        ((200, {"label_config": 3}), "no project with a label_config"),
        ((200, [1]), "no project with a label_config"),
        (raw("200 OK\r\nTransfer-Encoding: chunked", b"zz\r\n"), "the connection broke"),
        (b"\0" * 100, "no connection"),
    ],
    ids=range(12),
)
def test_what_a_server_may_answer_is_one_line_without_the_token(answer: object, message: str) -> None:
    with serving(lambda request: answer) as server, pytest.raises(SourceError) as raised:  # type: ignore[arg-type, return-value]
        list(LabelStudio(Connection(server.url, "secret", ONCE_MORE), 1).push([], IBUG68, "m"))
    assert message in str(raised.value)
    assert "secret" not in str(raised.value)
    assert len(str(raised.value)) < 400
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("before", [0, SHOWN - 3, SHOWN - 6])
def test_no_part_of_the_token_is_left_where_a_long_answer_is_cut(before: int) -> None:
    answers = {
        "/refused": (401, {"detail": "x" * before + "secret"}),
        "/moved": raw(f"302 Found\r\nLocation: {'x' * before}secret"),
    }
    with serving(lambda request: answers[request.path]) as server:  # type: ignore[arg-type, return-value]
        for path in answers:
            with pytest.raises(SourceError) as raised:
                Connection(server.url, "secret", ONCE_MORE).get(path)
            assert "sec" not in str(raised.value)


def test_the_token_goes_out_whatever_a_netrc_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login other password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with serving(lambda request: (200, {})) as server:
        Connection(server.url, "secret", ONCE_MORE).get("/x")
        assert [request.authorization for request in server.requests] == ["Token secret"]


def test_a_server_that_says_nothing_and_one_that_is_not_there() -> None:
    import threading

    over = threading.Event()

    def silent(request: Request) -> bytes:
        over.wait(10)
        return b""

    with serving(silent) as server:
        with pytest.raises(SourceError, match=r"no byte came for 0\.3 seconds"):
            Connection(server.url, "secret", HASTY).send("POST", "/x")
        over.set()
    with pytest.raises(SourceError, match=r"no connection \(Connection refused\) \(attempt 2\)"):
        Connection(server.url, "secret", HASTY).get("/x")


def test_an_answer_that_takes_too_long_or_is_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda request: (200, {"detail": "x" * 99})) as server:
        with pytest.raises(SourceError, match="the answer takes longer than -1 seconds"):
            Connection(server.url, "secret", Patience(answer=-1)).get("/x")
        monkeypatch.setattr("flmd.servers.connection.LARGEST", 50)
        with pytest.raises(SourceError, match="the answer is longer than 0 MiB"):
            Connection(server.url, "secret", Patience()).get("/x")
        assert len(server.requests) == 2  # the same would come again


@pytest.mark.parametrize("wrong", [{"id": [1]}, {"annotations": [3]}, {"data": None}])
def test_an_export_that_makes_no_sense_is_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    studio = LabelStudioServer()
    studio.tasks = [{"id": 1, "data": {"flmd": ["no name"]}, "annotations": [{"result": []}]}]

    def lying(request: Request) -> object:
        if request.path.endswith("/export"):
            return 200, [{**studio.tasks[0], **wrong}]
        return studio(request)

    with serving(lying) as server:  # type: ignore[arg-type]
        there = LabelStudio(Connection(server.url, "secret", ONCE_MORE), 1)
        with pytest.raises(SourceError, match="other tasks than it was asked for"):
            there.pull(tmp_path / "back.json")
        assert not (tmp_path / "back.json").exists()
        assert list(there.push([], IBUG68, "m")) == []


def test_lists_that_never_end_or_lie_are_refused() -> None:
    studio = LabelStudioServer()

    def lying(request: Request) -> object:
        if request.path == "/api/tasks":
            return 200, {"tasks": [], "total": 10**9}
        return studio(request)

    with serving(lying) as server, pytest.raises(SourceError, match="0 tasks of 1000000000"):  # type: ignore[arg-type]
        list(LabelStudio(Connection(server.url, "secret", ONCE_MORE), 1).push([], IBUG68, "m"))


def test_a_personal_access_token_is_exchanged_and_not_sent_elsewhere() -> None:
    studio = LabelStudioServer()

    def handle(request: Request) -> object:
        if request.path == "/api/token/refresh":
            assert request.body == {"refresh": "a.b.c"}
            return 200, {"access": "short"}
        assert request.authorization == "Bearer short"
        if request.path == "/says":
            return 400, {"detail": "no short"}
        request.authorization = "Token secret"
        return studio(request)

    with serving(handle) as server:  # type: ignore[arg-type]
        connection = Connection(server.url, "a.b.c", ONCE_MORE)
        list(LabelStudio(connection, 1).push([], IBUG68, "m"))
        assert len(server.sent("POST", "/api/token/refresh")) == 1
        with pytest.raises(SourceError, match=r"no \*\*\*"):
            connection.get("/says")


@pytest.mark.parametrize(
    ("options_", "message"),
    [
        (
            ("--url", "ftp://x", "--project", "1", "--token-from-env", "SERVER_TOKEN"),
            "expected the address of a",
        ),
        (("--url", "http://u:p@x", "--project", "1", "--token-from-env", "SERVER_TOKEN"), "holds a user"),
        (("--url", "http://x", "--project", "0", "--token-from-env", "SERVER_TOKEN"), "'--project'"),
        (
            ("--url", "http://x", "--project", "1", "--token-from-env", "s3cr3t0"),
            "names no environment variable",
        ),
        (("--url", "http://x", "--project", "1", "--token-from-env", "BLANKS"), "the token is empty"),
    ],
)
def test_mistakes_on_the_command_line_are_one_line_without_the_token(
    labels: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options_: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.setenv("BLANKS", "s3cr3t0 s3cr3t0")
    assert call(monkeypatch, "push", "cvat", labels, *options_) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "s3cr3t0" not in error
    assert error.count("\n") == 1


def test_a_labelling_interface_for_other_points_is_refused_by_name(
    labels: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    studio = LabelStudioServer()
    studio.config = (
        '<View><Image name="img" value="$pic"/><RectangleLabels name="b" toName="img"><Label value="face"/>'
        '</RectangleLabels><KeyPointLabels name="k" toName="img"><Label value="nose"/></KeyPointLabels>'
        "</View>"
    )
    with serving(studio) as server:
        assert call(monkeypatch, "push", "label-studio", labels, *options(server.url, 1)) == 2
        assert "<KeyPointLabels> of the labelling interface lacks 68 labels: " in capsys.readouterr().err
        points = "".join(f'<Label value="{name}"/>' for name in IBUG68.points)
        studio.config = studio.config.replace('<Label value="nose"/>', points)
        assert call(monkeypatch, "push", "label-studio", labels, *options(server.url, 1)) == 0
    result = studio.tasks[0]["predictions"][0]["result"]
    assert {(r["type"], r["from_name"], r["to_name"]) for r in result} == {
        ("rectanglelabels", "b", "img"),
        ("keypointlabels", "k", "img"),
    }
    assert studio.tasks[0]["data"]["pic"].startswith("/data/upload/")


@pytest.mark.parametrize("name", ["a.jpg", "a/b.jpg", "%2F", "%252F/%", "a\\b", "%5C%25"])
def test_names_of_pictures_come_back(name: str) -> None:
    assert decoded(encoded(name)) == name
    assert "/" not in encoded(name)

import csv
import dataclasses
import io
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import PurePosixPath

import cv2
import numpy as np
import pytest

from flmd.errors import ParamsError
from flmd.schemes import IBUG68
from flmd.schemes.head_pose import estimate_pose
from flmd.sources.sample import ibug300w
from flmd.sources.sample.archive import make_ibug300w, make_youtube_faces
from flmd.sources.sample.camera import FINE, Head, Light
from flmd.sources.sample.draws import Draws
from flmd.sources.sample.face import draw_head
from flmd.sources.sample.head import chart, mirrored_anchors
from flmd.sources.sample.person import Expression, draw_expression, draw_person

TOP = "ibug_300W_large_face_landmark_dataset"
REST = Expression(0.0, 0.0, 0.0, (0.0, 0.0), 0.0, (0.0, 0.0))


@pytest.fixture(scope="module")
def ibug(tmp_path_factory):
    path = tmp_path_factory.mktemp("ibug") / "ibug.tar.gz"
    make_ibug300w(path, faces=60, seed=3, workers=1)
    with tarfile.open(path) as archive:
        return {m.name: archive.extractfile(m).read() for m in archive if m.isfile()}


@pytest.fixture(scope="module")
def youtube(tmp_path_factory):
    path = tmp_path_factory.mktemp("youtube") / "youtube.zip"
    make_youtube_faces(path, faces=60, seed=3, workers=1)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def boxes(ibug, suffix):
    """(file, image size, box, points) of every box, read by the standard library alone."""
    root = ElementTree.fromstring(ibug[f"{TOP}/labels_ibug_300W{suffix}.xml"])
    for image in root.find("images"):
        size = int(image.get("width")), int(image.get("height"))
        for box in image.findall("box"):
            points = {part.get("name"): (int(part.get("x")), int(part.get("y"))) for part in box}
            assert sorted(points) == [f"{i:02d}" for i in range(68)]
            sides = tuple(int(box.get(key)) for key in ("left", "top", "width", "height"))
            yield image.get("file"), size, sides, np.array([points[f"{i:02d}"] for i in range(68)])


def pixels(data, flags=cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION):
    return cv2.imdecode(np.frombuffer(data, np.uint8), flags)


def keypoints(youtube, split):
    rows = list(csv.reader(io.StringIO(youtube[f"{split}_frames_keypoints.csv"].decode())))
    assert rows[0] == ["", *map(str, range(136))]
    return {row[0]: np.array([float(value) for value in row[1:]]).reshape(68, 2) for row in rows[1:]}


# the iBUG 300-W archive


def test_ibug_folders_and_lists_are_the_published_ones(ibug):
    folders = {str(PurePosixPath(name).parent.relative_to(TOP)) for name in ibug}
    assert folders == {".", "afw", "helen/trainset", "helen/testset", "lfpw/trainset", "lfpw/testset", "ibug"}
    assert {name for name in ibug if name.endswith(".xml")} == {
        f"{TOP}/labels_ibug_300W{suffix}.xml" for suffix in ("", "_train", "_test")
    }
    head = ibug[f"{TOP}/labels_ibug_300W_train.xml"].split(b"\n")
    assert head[0] == b"<?xml version='1.0' encoding='ISO-8859-1'?>"
    assert head[6].startswith(b'  <image file="')
    assert head[6].endswith(b"'>")


def test_ibug_every_list_holds_what_it_should(ibug):
    train, test, both = ([box[0] for box in boxes(ibug, suffix)] for suffix in ("_train", "_test", ""))
    assert len(train) + len(test) == len(both) == 60
    assert len(test) == 15
    assert sorted(train + test) == sorted(both)
    assert all(name.startswith(("afw/", "helen/trainset/", "lfpw/trainset/")) for name in train)
    assert all(name.startswith(("helen/testset/", "lfpw/testset/", "ibug/")) for name in test)
    assert {f"{TOP}/{name}" for name in both} == {name for name in ibug if name.endswith(".jpg")}


def test_ibug_sizes_are_those_of_the_pictures(ibug):
    for name, size, _, _ in boxes(ibug, ""):
        assert pixels(ibug[f"{TOP}/{name}"]).shape[1::-1] == size


def test_ibug_mirrored_twin_is_the_flipped_picture_with_flipped_labels(ibug):
    faces = {name: rest for name, *rest in boxes(ibug, "_train")}
    twins = [name for name in faces if name.endswith("_mirror.jpg")]
    assert len(twins) == 9  # a fifth of 45
    for twin in twins:
        (width, _), (left, top, wide, high), points = faces[twin.replace("_mirror", "")]
        _, (twin_left, *twin_rest), twin_points = faces[twin]
        np.testing.assert_array_equal(twin_points[:, 0], width - 1 - points[IBUG68.flip_indices(), 0])
        np.testing.assert_array_equal(twin_points[:, 1], points[IBUG68.flip_indices(), 1])
        assert twin_left == width - 1 - (left + wide - 1)
        assert twin_rest == [top, wide, high]
        original = pixels(ibug[f"{TOP}/{twin.replace('_mirror', '')}"]).astype(float)
        flipped = pixels(ibug[f"{TOP}/{twin}"])[:, ::-1].astype(float)
        shifted = np.abs(original[:, 1:] - flipped[:, :-1]).mean()
        assert np.abs(original - flipped).mean() < min(8, 0.8 * shifted)  # apart from JPEG's own blocks


def test_ibug_has_the_known_traps(ibug):
    pictures = {name: data for name, data in ibug.items() if name.endswith(".jpg")}
    grey = [name for name, data in pictures.items() if pixels(data).ndim == 2]
    assert 0 < len(grey) < len(pictures) / 4
    turned = [name for name, data in pictures.items() if b"Exif\0\0" in data[:64]]
    assert len(turned) == 1
    stored, obeyed = pixels(pictures[turned[0]]), pixels(pictures[turned[0]], cv2.IMREAD_COLOR)
    assert stored.shape[:2] == obeyed.shape[1::-1]  # orientation 6: a quarter turn
    faces = list(boxes(ibug, ""))
    assert any(left < 0 or top < 0 for _, _, (left, top, _, _), _ in faces)
    names = [name for name, *_ in faces]
    assert any(names.count(name) == 2 for name in names)


def test_ibug_boxes_fit_as_a_detector_would_draw_them(ibug):
    centre, size, ratio = [], [], []
    for _, _, (left, top, wide, high), points in boxes(ibug, ""):
        low, high_point = points.min(axis=0), points.max(axis=0)
        extent = np.sqrt(np.prod(high_point - low))
        centre.append(np.linalg.norm([left + wide / 2, top + high / 2] - (low + high_point) / 2) / extent)
        size.append(np.sqrt(wide * high) / extent)
        ratio.append(wide / high)
    assert 0.01 < np.mean(centre) < 0.1
    assert 0.95 < np.mean(size) < 1.1
    assert np.std(size) > 0.02
    assert np.abs(np.log(ratio)).max() < 0.1


def test_ibug_mean_shape_in_the_box_is_no_solution(ibug):
    train, test = (list(boxes(ibug, suffix)) for suffix in ("_train", "_test"))

    def in_box(face):
        return (face[3] - face[2][:2]) / face[2][2:]

    mean = np.mean([in_box(face) for face in train], axis=0)
    nme = [
        np.linalg.norm((in_box(f) - mean) * f[2][2:], axis=1).mean() / np.linalg.norm(f[3][36] - f[3][45])
        for f in test
    ]
    assert np.mean(nme) > 0.09


# the YouTube Faces archive


def test_youtube_layout_is_the_published_one(youtube):
    pictures = [name for name in youtube if name.endswith(".jpg")]
    assert {str(PurePosixPath(name).parent) for name in pictures} == {"training", "test"}
    assert set(youtube) - set(pictures) == {"training_frames_keypoints.csv", "test_frames_keypoints.csv"}
    second_line = youtube["training_frames_keypoints.csv"].decode().split("\n")[1]
    assert all(value.endswith(".0") for value in second_line.split(",")[1:])
    assert len(keypoints(youtube, "training")) == 48
    assert len(keypoints(youtube, "test")) == 12


def test_youtube_pictures_are_png_with_alpha_named_jpg(youtube):
    for name, data in youtube.items():
        if name.endswith(".jpg"):
            assert data.startswith(b"\x89PNG")
            assert pixels(data).shape[2] == 4
            assert min(pixels(data).shape[:2]) >= 130


def test_youtube_some_test_pictures_are_unlabelled_and_every_row_has_its_picture(youtube):
    for split, unlabelled in (("training", 0), ("test", 6)):
        on_disk = {name.split("/")[1] for name in youtube if name.startswith(f"{split}/")}
        assert on_disk >= set(keypoints(youtube, split))
        assert len(on_disk - set(keypoints(youtube, split))) == unlabelled


def test_youtube_test_names_occur_in_training_with_other_pixels(youtube):
    for name in keypoints(youtube, "test"):
        assert youtube[f"test/{name}"] != youtube[f"training/{name}"]


def test_youtube_frames_of_one_video_differ_a_little_and_share_a_size(youtube):
    points = keypoints(youtube, "training")
    pairs = [(name, name.replace("0.jpg", "1.jpg")) for name in points if name.endswith("0.jpg")]
    pairs = [pair for pair in pairs if pair[1] in points]
    assert len(pairs) > 3
    for first, second in pairs:
        a, b = (pixels(youtube[f"training/{name}"]) for name in (first, second))
        assert a.shape == b.shape
        assert 0 < np.abs(points[first].mean(axis=0) - points[second].mean(axis=0)).max() < 0.15 * a.shape[1]


def test_youtube_default_has_people_enough_and_points_outside(tmp_path):
    from flmd.sources.sample import youtube_faces

    frames = youtube_faces.plan(600, 0)
    assert len({frame.person for frame in frames}) >= 60
    assert len({frame.name.rsplit("_", 1)[0] for frame in frames}) == len({frame.person for frame in frames})
    keys = [(frame.split, frame.name) for frame in frames]
    assert len(set(keys)) == len(keys)
    outside = 0
    for frame in frames[:150:3]:
        drawn = youtube_faces.draw(0, frame)
        height, width = pixels(drawn.png).shape[:2]
        outside += bool((drawn.points < 0).any() or (drawn.points >= (width, height)).any())
    assert 0 < outside < 15


# what is drawn is where the labels say


def plain_head(yaw=0.0, pitch=0.0, roll=0.0, expression=REST, seed=5, **changes):
    person = draw_person(Draws(seed))
    look = dict.fromkeys(("beard", "moustache", "glasses", "hair_volume"), 0.0)
    look |= {"skin": np.full(3, 0.7), "ears": False, "hairline": (-1.9,) * 10}
    person = dataclasses.replace(person, **(look | changes))
    return Head(person, expression, yaw, pitch, roll, (100.0, 90.0), 60.0)


def drawn(head):
    """(200, 200, 3) of the head alone under even light before a black background."""
    canvas = np.zeros((200 * FINE, 200 * FINE, 3), np.float32)
    draw_head(canvas, head, Light(np.array([0.0, 0.0, 1.0]), np.full(3, 0.1), np.full(3, 0.8)))
    return cv2.resize(canvas, (200, 200), interpolation=cv2.INTER_AREA)


def inside(points):
    mask = np.zeros((200, 200), np.uint8)
    cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], 1, shift=4)
    return mask > 0


POSES = [(0, 0, 0), (30, 5, -10), (-25, -12, 15), (10, 15, 20)]


@pytest.mark.parametrize("pose", POSES)
@pytest.mark.parametrize("opening", [0.0, 0.25])
def test_lips_are_drawn_where_the_mouth_points_lie(pose, opening):
    head = plain_head(
        *pose, expression=dataclasses.replace(REST, open=opening), lips=np.array([1.0, 0.0, 0.0])
    )
    image, points = drawn(head), head.landmarks()
    red = (image[:, :, 0] > 2.5 * image[:, :, 1] + 0.02) | inside(points[60:68])
    mouth = inside(points[48:60])
    assert (red & mouth).sum() / (red | mouth).sum() > 0.8
    rows, columns = np.nonzero(red)
    offset = [columns.mean(), rows.mean()] - np.array([n.mean() for n in np.nonzero(mouth)[::-1]])
    assert np.abs(offset).max() < 0.7


@pytest.mark.parametrize("pose", POSES)
def test_eyes_and_brows_are_dark_and_the_white_is_inside_the_eye(pose):
    head = plain_head(*pose, iris=np.zeros(3), brow=np.zeros(3))
    image, points = drawn(head).mean(axis=2), head.landmarks()
    cheek = np.median(image[inside(points[[1, 3, 48, 31, 41]])])
    for eye in (slice(36, 42), slice(42, 48)):
        x, y = np.round(points[eye].mean(axis=0)).astype(int)
        assert image[y - 1 : y + 2, x - 1 : x + 2].min() < 0.35 * cheek
    if pose == (0, 0, 0):
        for brow in (slice(18, 21), slice(23, 26)):
            x, y = np.round(points[brow]).astype(int).T
            assert (image[y, x] < 0.7 * cheek).all()


@pytest.mark.parametrize("yaw", [-40.0, -20.0, 0.0, 20.0, 40.0])
def test_far_jaw_points_lie_on_the_visible_outline(yaw):
    head = plain_head(yaw)
    points = head.landmarks()
    silhouette = (drawn(head).max(axis=2) > 0.03).astype(np.uint8)
    silhouette[:, :] = cv2.morphologyEx(silhouette, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    depth = cv2.distanceTransform(np.pad(silhouette, 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    far = [2, 3, 4] if yaw < 0 else [12, 13, 14]
    for x, y in np.round(points[far]).astype(int):
        assert depth[y - 1 : y + 2, x - 1 : x + 2].min() <= 1.5


def test_pose_of_drawn_heads_is_recovered():
    rng = Draws(8)
    heads = [
        Head(draw_person(rng), draw_expression(rng), *angles, (100.0, 100.0), 60.0)
        for angles in np.random.default_rng(8).uniform((-40, -15, -25), (40, 15, 25), (120, 3)).tolist()
    ]
    found = np.stack(estimate_pose(np.stack([head.landmarks() for head in heads])), axis=1)
    error = np.abs(found - [(head.yaw, head.pitch, head.roll) for head in heads]).mean(axis=0)
    assert (error < (3, 4, 1.5)).all(), error


def test_average_head_is_symmetric():
    mirrored = chart().rest[mirrored_anchors()] * (-1, 1, 1)
    np.testing.assert_allclose(mirrored, chart().rest, atol=1e-12)


# bytes and errors


@pytest.mark.parametrize("make", [make_ibug300w, make_youtube_faces])
def test_bytes_depend_on_the_seed_and_not_on_the_workers(make, tmp_path):
    for name, workers, seed in (("one", 1, 7), ("two", 2, 7), ("other", 1, 8)):
        make(tmp_path / name, faces=24, seed=seed, workers=workers)
    one, two, other = ((tmp_path / name).read_bytes() for name in ("one", "two", "other"))
    assert one == two
    assert one != other
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "other", "two"]


def test_bytes_are_the_same_in_another_process(ibug, tmp_path):
    code = "import sys; from pathlib import Path; "
    code += "from flmd.sources.sample.archive import make_ibug300w as make; "
    code += "make(Path(sys.argv[1]), faces=24, seed=1, workers=1)"
    subprocess.run([sys.executable, "-c", code, tmp_path / "a"], check=True)
    make_ibug300w(tmp_path / "b", faces=24, seed=1, workers=1)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_failure_leaves_no_file_behind(tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("stop")

    monkeypatch.setattr(ibug300w, "write", fail)
    with pytest.raises(RuntimeError, match="stop"):
        make_ibug300w(tmp_path / "x.tar.gz", faces=24, workers=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("make", [make_ibug300w, make_youtube_faces])
@pytest.mark.parametrize("wrong", [{"faces": 23}, {"seed": -1}, {"seed": 1 << 64}])
def test_impossible_numbers_are_one_line_errors(make, wrong, tmp_path):
    with pytest.raises(ParamsError, match=r"is -?\d+; expected") as caught:
        make(tmp_path / "x", **wrong)
    assert "\n" not in str(caught.value)

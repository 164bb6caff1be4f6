"""CVAT for images: every way to draw a face, boxes, bad input, and both ways."""

from __future__ import annotations

import random
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from flmd.errors import FlmdError, InputError
from flmd.face import Face
from flmd.formats.cvat import Cvat
from flmd.formats.dlib_xml import DlibXml
from flmd.schemes import IBUG68, get_scheme
from flmd.tree import open_tree
from tests.formats.random_faces import image_names, make_face, same_points

CVAT = Cvat()
FIVE = get_scheme("points5")
META = (
    "<meta><task><labels><label><name>face</name><attributes>"
    "<attribute><name>blurred</name><input_type>checkbox</input_type></attribute>"
    "<attribute><name>age</name><input_type>number</input_type></attribute>"
    "</attributes></label></labels></task></meta>\n"
)
HEAD = f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n{META}'
FOOT = "</annotations>\n"
SHAPE = '<points label="face" occluded="0" points="1,2;3,4;5,6;7,8;9,10" z_order="0"{}></points>\n'
BOX = '<box label="face" xtl="{}" ytl="{}" xbr="{}" ybr="{}" occluded="0"{}/>\n'
PLACES = [(1, 2), (3, 4), (5, 6), (7, 8), (9, 10)]
EXPECTED = np.float32([[0.5, 1.5], [2.5, 3.5], [4.5, 5.5], [6.5, 7.5], [8.5, 9.5]])


def image(inside: str, name: str = "a.jpg", more: str = ' width="64" height="48"') -> str:
    return f'<image id="0" name="{name}"{more}>\n{inside}</image>\n'


def skeleton(names, more: str = "", inside: str = "", places=PLACES, **flags: str) -> str:
    plain = "outside='0' occluded='0'"
    points = "".join(
        f'<points label="{n}" {flags.get("p" + str(n), plain)} points="{x},{y}"/>\n'
        for n, (x, y) in zip(names, places, strict=False)
    )
    return f'<skeleton label="face" z_order="0"{more}>\n{points}{inside}</skeleton>\n'


def singles(names, more: str = "") -> str:
    places = dict(zip(("0", "1", "2", "3", "4"), PLACES, strict=True))
    return "".join(f'<points label="{n}" points="{places[n][0]},{places[n][1]}"{more}/>\n' for n in names)


def read(folder: Path, text: str | bytes, name: str = "annotations.xml", scheme=FIVE):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with open_tree(folder) as tree:
        return list(CVAT.read(tree, scheme, (name,)))


def reasons(found) -> list[str]:
    return [getattr(f, "reason", "face") for f in found]


def test_a_shape_of_all_points_is_a_face_half_a_pixel_off(tmp_path):
    (face,) = read(tmp_path, HEAD + image(SHAPE.format("")) + FOOT)
    assert np.array_equal(face.landmarks, EXPECTED)
    assert face.landmarks.dtype == np.float32
    assert (face.visibility == 2).all()
    assert (face.image, face.image_size, face.box, face.split) == ("a.jpg", (64, 48), None, "")
    assert face.where.endswith("annotations.xml:5 (image a.jpg, points 1)")


def test_a_skeleton_keeps_what_is_outside_and_occluded(tmp_path):
    flags = {"p1": "outside='1' occluded='0'", "p3": "outside='0' occluded='1'"}
    (face,) = read(tmp_path, HEAD + image(skeleton("01234", **flags)) + FOOT)
    assert face.visibility.tolist() == [2, 0, 2, 1, 2]
    assert np.isnan(face.landmarks[1]).all()
    assert np.array_equal(face.landmarks[[0, 2, 3, 4]], EXPECTED[[0, 2, 3, 4]])


@pytest.mark.parametrize("names", [list("40123"), list("51234"), [f"point_{i}" for i in (4, 0, 1, 2, 3)]])
def test_skeleton_points_are_keyed_by_label(tmp_path, names):
    (face,) = read(tmp_path, HEAD + image(skeleton(names)) + FOOT)
    assert np.array_equal(face.landmarks, EXPECTED[[1, 2, 3, 4, 0]])


def test_foreign_labels_take_the_order_of_the_first_skeleton(tmp_path):
    first, second = skeleton("abcde"), skeleton("edcba")
    found = read(tmp_path, HEAD + image(first) + image(second) + FOOT)
    assert np.array_equal(found[0].landmarks, EXPECTED)
    assert np.array_equal(found[1].landmarks, EXPECTED[::-1])


def test_single_points_of_a_group_are_a_face(tmp_path):
    text = singles("01234", ' group_id="7"') + singles("0234", ' group_id="8"')
    one, two = read(tmp_path, HEAD + image(text) + FOOT)
    assert np.array_equal(one.landmarks, EXPECTED)
    assert two.visibility.tolist() == [2, 0, 2, 2, 2]
    assert np.array_equal(two.landmarks[2:], EXPECTED[2:])


def test_single_points_without_group_are_a_face_when_no_label_repeats(tmp_path):
    found = read(tmp_path, HEAD + image(singles("01234")) + image(singles("012340")) + FOOT)
    assert reasons(found) == ["face", "ungrouped_points"]


def test_the_start_of_numbers_is_never_guessed(tmp_path):
    text = singles("1234", ' group_id="1"')
    assert reasons(read(tmp_path, HEAD + image(text) + FOOT)) == ["unknown_point"]
    head = HEAD.replace("</labels>", "<label><name>0</name></label></labels>")
    (face,) = read(tmp_path, head + image(text) + FOOT)
    assert face.visibility.tolist() == [0, 2, 2, 2, 2]


def test_a_box_joins_by_group(tmp_path):
    text = (
        SHAPE.format(' group_id="1"') + SHAPE.format(' group_id="2"')
        + BOX.format(0, 1, 20, 31, ' group_id="2"')
    )  # fmt: skip
    one, two = read(tmp_path, HEAD + image(text) + FOOT)
    assert one.box is None
    assert two.box.tolist() == [0, 1, 20, 30]
    assert (two.box_source, two.box.dtype) == ("annotated", np.float32)


def test_a_box_without_group_joins_when_it_is_the_only_one(tmp_path):
    around, off = BOX.format(0.5, 0, 20, 30, ""), BOX.format(30, 30, 40, 40, "")
    one, skip = read(tmp_path, HEAD + image(SHAPE.format("") + around + off) + FOOT)
    assert one.box.tolist() == [0.5, 0, 19.5, 30]
    assert skip.reason == "box_without_points"
    found = read(tmp_path, HEAD + image(SHAPE.format("") + around * 2) + FOOT)
    assert reasons(found) == ["face", "box_without_points", "box_without_points"]
    assert found[0].box is None
    found = read(tmp_path, HEAD + image(SHAPE.format("") * 2 + around) + FOOT)
    assert reasons(found) == ["face", "face", "box_without_points"]
    assert [f.box for f in found[:2]] == [None, None]


def test_attributes_have_the_types_that_meta_declares(tmp_path):
    inside = "".join(
        f'<attribute name="{n}">{v}</attribute>'
        for n, v in (("blurred", "true"), ("age", "31"), ("note", "31"))
    )
    text = skeleton("01234", ' group_id="1" occluded="1"', inside)
    text += BOX.format(0, 0, 9, 9, ' group_id="1" rotation="12.5" source="auto"')
    (face,) = read(tmp_path, HEAD + image(text.replace('label="face"', 'label="cat"')) + FOOT)
    assert face.attributes == {
        "blurred": True, "age": 31, "note": "31", "label": "cat", "occluded": True, "rotation": 12.5,
    }  # fmt: skip
    assert face.box_source == "detector"


@pytest.mark.parametrize(
    ("subset", "split", "kept"),
    [("Train", "train", ""), ("Validation", "val", ""), ("TEST", "test", ""), ("default", "", ""),
     ("common", "", "common"), ("", "", "")],
)  # fmt: skip
def test_the_subset_is_the_split(tmp_path, subset, split, kept):
    (face,) = read(tmp_path, HEAD + image(SHAPE.format(""), more=f' subset="{subset}"') + FOOT)
    assert (face.split, face.subset) == (split, kept)
    (face,) = read(tmp_path, HEAD + image(SHAPE.format("")) + FOOT, "all_test.xml")
    assert face.split == "test"


def test_pictures_lie_in_images(tmp_path):
    (tmp_path / "d/images/Train").mkdir(parents=True)
    (tmp_path / "d/images/Train/a.jpg").touch()
    (tmp_path / "d/images/b.jpg").touch()
    text = "".join(image(SHAPE.format(""), n, ' subset="Train"') for n in ("a.jpg", "b.jpg", "c.jpg"))
    found = read(tmp_path, HEAD + text + FOOT, "d/annotations.xml")
    assert [f.image for f in found] == ["d/images/Train/a.jpg", "d/images/b.jpg", "d/c.jpg"]
    assert found[0].subject == "d/images/Train/a"


@pytest.mark.parametrize(
    ("shape", "reason", "what"),
    [
        (SHAPE.format("").replace(";9,10", ""), "wrong_point_count", "4 points, expected 5"),
        (SHAPE.format("").replace("9,10", "9"), "not_a_number", "point 4 is '9'"),
        (SHAPE.format("").replace("9,10", "nan,10"), "not_a_number", "nan"),
        (SHAPE.format("").replace("9,10", "9,inf"), "not_a_number", "inf"),
        (SHAPE.format("").replace("9,10", "1e39,1"), "not_a_number", "1e39"),
        (SHAPE.format("").replace("9,10", "9,1_0"), "not_a_number", "1_0"),
        (SHAPE.format("").replace("9,10", "9,10,11"), "not_a_number", "9,10,11"),
        (skeleton("0123"), "wrong_point_count", "4 points, expected 5"),
        (skeleton("01233"), "duplicate_point", "'3' occurs twice"),
        (skeleton("01236"), "unknown_point", "'6'"),
        (skeleton(["point_0", "b", "c", "d", "e"]), "unknown_point", "'b'"),
        (skeleton("01234", places=[("x", 1)] * 5), "not_a_number", "'x,1'"),
        (singles("00", ' group_id="1"'), "duplicate_point", "'0'"),
        (BOX.format(5, 5, 5, 9, ""), "bad_box", "xtl '5'"),
        (BOX.format(5, 5, "", 9, ""), "bad_box", "xbr ''"),
        (BOX.format("-3e38", 5, "3e38", 9, ""), "bad_box", "3e38"),
        (BOX.format(5, 5, 9, 9, ""), "box_without_points", "no points"),
    ],
)
def test_bad_shapes_skip_their_face_only(tmp_path, shape, reason, what):
    found = read(tmp_path, HEAD + image(shape) + image(SHAPE.format(""), "b.jpg") + FOOT)
    assert reasons(found) == [reason, "face"]
    assert what in found[0].what
    assert "annotations.xml:5 (image a.jpg, " in found[0].where


@pytest.mark.parametrize("name", ["../../x.jpg", "/x.jpg", "C:\\x.jpg", "", "a/"])
def test_paths_that_leave_the_tree_are_refused(tmp_path, name):
    found = read(tmp_path, HEAD + image(SHAPE.format(""), name) + FOOT, "d/annotations.xml")
    assert reasons(found) == ["bad_path"]


def read_until_error(folder: Path, text: str):
    (folder / "a.xml").write_text(text)
    found = []
    with open_tree(folder) as tree, pytest.raises(InputError) as caught:
        found.extend(CVAT.read(tree, FIVE, ("a.xml",)))
    return found, str(caught.value)


def test_truncation_keeps_the_faces_before_it(tmp_path):
    found, error = read_until_error(tmp_path, HEAD + image(SHAPE.format("")) * 3 + image(SHAPE)[:60])
    assert reasons(found) == ["face"] * 3
    assert "a.xml:15: the XML ends early" in error


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("<annotation/>", "the root element is <annotation>"),
        ("", "ends early"),
        ("<!DOCTYPE annotations><annotations/>", "a DOCTYPE"),
        (HEAD + "<track id='0'/>" + FOOT, "read it with --from cvat-video"),
        (HEAD + image('<points points="<"/>') + FOOT, "broken XML"),
    ],
)
def test_what_cannot_be_read_is_one_line(tmp_path, text, what):
    found, error = read_until_error(tmp_path, text)
    assert found == []
    assert what in error
    assert "\n" not in error


def detect(folder: Path, **files: str):
    for name, text in files.items():
        (folder / f"{name}.xml").write_text(text)
    with open_tree(folder) as tree:
        return CVAT.detect(tree)


def test_only_cvat_for_images_is_known_and_what_else_it_is_is_said(tmp_path):
    found = detect(tmp_path, x="<annotation><object/></annotation>", y="<dataset><images/></dataset>")
    why = "no *.xml whose root element is <annotations> with <image> or <meta>"
    assert found.why == why + " (x.xml: the root is <annotation>)"
    found = detect(tmp_path, x=HEAD + "<track id='0'></track>")
    assert (found.files, "x.xml is CVAT for video (<track>)" in found.why) == ((), True)
    assert detect(tmp_path, z=HEAD + image(SHAPE.format("")) + FOOT).files == ("z.xml",)
    assert detect(tmp_path, z="<annotations><meta>" + "<a>x</a>\n" * 20_000).files == ("z.xml",)


def scheme_in(folder: Path, text: str) -> str:
    (folder / "a.xml").write_text(HEAD + image("") + image(text) + FOOT)
    with open_tree(folder) as tree:
        return CVAT.scheme_in(tree, ("a.xml",))


def test_the_scheme_follows_from_names_or_number(tmp_path):
    points = ";".join(["1,2"] * 68)
    assert scheme_in(tmp_path, f'<points points="{points}"/>') == "ibug68"
    assert scheme_in(tmp_path, skeleton(map(str, range(1, 69)), places=[(1, 2)] * 68)) == "ibug68"
    assert scheme_in(tmp_path, skeleton(IBUG68.points[:5])) == "ibug68"
    assert scheme_in(tmp_path, singles("01234")) == scheme_in(tmp_path, SHAPE.format(""))


def test_memory_stays_flat_and_a_huge_picture_is_one_skip(tmp_path):
    long = image(SHAPE.format("") * 110_000) + image(SHAPE.format(""))
    assert reasons(read(tmp_path, HEAD + long + FOOT)) == ["image_too_long", "face"]


def test_a_crowd_of_boxes_ends_soon(tmp_path):
    start = time.perf_counter()
    boxes = BOX.format(0, 0, 20, 30, "") * 20_000
    groups = "".join(singles("0", f' group_id="{i}"') for i in range(1, 30_000))
    found = read(tmp_path, HEAD + image(SHAPE.format("") * 600 + boxes) + image(groups) + FOOT)
    assert len(found) == 600 + 20_000 + 29_999
    assert time.perf_counter() - start < 60  # a hang, not a speed
    (skip,) = read(tmp_path, HEAD + image(groups) + FOOT, scheme=get_scheme("points9999"))
    assert skip.reason == "image_too_long"


def test_a_single_point_gives_its_face_no_label(tmp_path):
    (face,) = read(tmp_path, HEAD + image(singles("0", ' group_id="1"')) + FOOT)
    assert (face.visibility.tolist(), face.attributes) == ([2, 0, 0, 0, 0], {})


def test_mutated_files_end_in_faces_skips_or_errors(tmp_path):
    start = time.perf_counter()
    rng = random.Random(5)
    boxes = BOX.format(0, 0, 9, 9, ' group_id="1"')
    good = (HEAD + image(skeleton("01234", ' group_id="1"') + boxes + singles("0123")) * 2 + FOOT).encode()
    for _ in range(300):
        data = bytearray(good)
        for _ in range(rng.randint(1, 6)):
            at = rng.randrange(len(data))
            data[at : at + rng.choice([0, 1, 1, 9])] = rng.choice(
                [b"", b"<", b'"', b"\0", b"\xff", b"1e999", b"99999999999999999999999", b"&#0;", b";", b","]
            )
        (tmp_path / "a.xml").write_bytes(data)
        with open_tree(tmp_path) as tree:
            try:
                files = CVAT.detect(tree).files
                CVAT.scheme_in(tree, ("a.xml",))
                list(CVAT.read(tree, FIVE, ("a.xml",)))
            except FlmdError:
                assert files in ((), ("a.xml",))
    assert time.perf_counter() - start < 60  # a hang, not a speed


# Writing


COORDINATES = st.integers(-(2**20), 2**20).map(lambda n: n / 64)  # plus 0.5 is exact, as in any real picture
TEXT = st.text("a &<'>\"é\t\n\r]中 ", max_size=9)


@st.composite
def faces(draw):
    landmarks = draw(hnp.arrays(np.float32, (5, 2), elements=COORDINATES | st.floats(2**-10, 5e3, width=32)))
    landmarks[draw(st.lists(st.integers(0, 4), max_size=5))] = np.nan
    box = draw(st.none() | st.tuples(COORDINATES, COORDINATES, *[st.floats(0.125, 9e3, width=32)] * 2))
    face = make_face(
        draw(image_names()),
        landmarks,
        box=None if box is None else np.float32(box),
        box_source="none" if box is None else draw(st.sampled_from(["annotated", "detector"])),
        split=draw(st.sampled_from(["train", "val", "test", ""])),
        image_size=draw(st.none() | st.tuples(st.integers(1, 9999), st.integers(1, 9999))),
        attributes=draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "flag": st.booleans(),
                    "n<": st.integers(-99, 99) | st.floats(-9, 9),
                    "label": TEXT,
                },
            )
        ),
    )
    face.visibility[(face.visibility == 2) & draw(hnp.arrays(bool, 5))] = 1
    return face


@settings(max_examples=60, deadline=None)
@given(given_faces=st.lists(faces(), max_size=5), target=st.sampled_from(["out", "out_test.xml"]))
def test_writing_and_reading_gives_the_same_faces(tmp_path_factory, given_faces, target):
    folder = tmp_path_factory.mktemp("round")
    report = CVAT.write(iter(given_faces), folder / target, FIVE)
    assert report.faces == len(given_faces)
    assert not report.lost
    root = folder if target.endswith("xml") else folder / target
    with open_tree(root) as tree:
        found = list(CVAT.read(tree, FIVE, CVAT.detect(tree).files))
    for a, b in zip(given_faces, found, strict=True):
        assert same_points(a, b)
        assert (a.box is None) == (b.box is None)
        assert a.box is None or a.box.tolist() == b.box.tolist()
        assert (a.image, a.image_size, a.attributes, a.split, a.box_source) == (
            b.image, b.image_size, b.attributes, b.split, b.box_source,
        )  # fmt: skip


def simple(**fields) -> Face:
    return make_face(fields.pop("image", "a.jpg"), fields.pop("landmarks", EXPECTED.copy()), **fields)


def test_losses_are_counted(tmp_path):
    def lost(**fields):
        return dict(CVAT.write([simple(**fields)], tmp_path / "out.xml", FIVE).lost)

    box = np.float32([1, 2, 3, 4])
    assert lost(box=box, box_source="landmarks") == {"box source": 1}
    assert lost(box=np.float32([1, 2, 0, 4]), box_source="annotated") == {"box": 1}
    assert lost(subject="x", dataset="y") == {"subject": 1, "dataset": 1}
    assert lost(subset="common") == {}
    assert lost(subset="common", split="test") == {"subset": 1}
    assert lost(subset="train") == {"subset": 1}
    assert lost(attributes={"a": "\0"}) == {"attributes": 1}
    assert lost(image="a\\b.jpg") == {"image name": 1}
    assert lost(image="a\0.jpg") == {"face with unwritable image name": 1}
    assert lost(landmarks=np.float32([[1e-30, 0]] * 5)) == {"sub-pixel": 1}
    two = [simple(attributes={"a": 1}), simple(attributes={"a": "1"})]
    assert CVAT.write(two, tmp_path / "out.xml", FIVE).lost == {"attribute type": 1}
    with pytest.raises(InputError, match="landmarks of shape"):
        CVAT.write([simple()], tmp_path / "out.xml", IBUG68)


def test_the_file_is_as_cvat_wants_it(tmp_path):
    landmarks = np.arange(136, dtype=np.float32).reshape(68, 2)
    face = make_face("a.jpg", landmarks, box=np.float32([1, 2, 3, 4]), box_source="annotated", split="val")
    face.image_size = (7, 8)
    CVAT.write([face, face], tmp_path / "out", IBUG68)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["annotations.xml"]
    root = ET.parse(tmp_path / "out" / "annotations.xml").getroot()
    (picture,) = root.findall("image")
    assert picture.attrib == {"id": "0", "name": "a.jpg", "subset": "Validation", "width": "7", "height": "8"}
    first = picture.find("skeleton")
    assert first.find("points").attrib["points"] == "0.5,1.5"
    assert [p.get("label") for p in first.findall("points")] == list(IBUG68.points)
    rectangle = picture.find("box").attrib
    assert [rectangle[k] for k in ("xtl", "ytl", "xbr", "ybr")] == ["1.0", "2.0", "4.0", "6.0"]
    assert rectangle["group_id"] == first.get("group_id") == "1"
    labels = root.findall("meta/project/labels/label")
    assert [label.findtext("type") for label in labels] == ["skeleton", *["points"] * 68, "rectangle"]
    drawing = ET.fromstring(f"<svg>{labels[0].findtext('svg')}</svg>")
    assert [c.get("data-label-name") for c in drawing.findall("circle")] == list(IBUG68.points)


@pytest.mark.parametrize("target", ["out.xml", "out"])
def test_a_failed_write_leaves_nothing(tmp_path, target):
    def stops():
        yield simple()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        CVAT.write(stops(), tmp_path / target, FIVE)
    assert list(tmp_path.iterdir()) == []


def test_real_faces_come_back(shared_data, tmp_path):
    dlib = DlibXml()
    with open_tree(shared_data / "dlib_faces") as tree:
        given = [f for f in dlib.read(tree, IBUG68, dlib.detect(tree).files) if isinstance(f, Face)]
    assert not CVAT.write(given, tmp_path / "out", IBUG68).lost
    with open_tree(tmp_path / "out") as tree:
        found = list(CVAT.read(tree, IBUG68, CVAT.detect(tree).files))
    for a, b in zip(given, found, strict=True):
        assert same_points(a, b)
        assert (a.image, a.split, a.subject, a.attributes) == (b.image, b.split, b.subject, b.attributes)
        assert a.box.tolist() == b.box.tolist()

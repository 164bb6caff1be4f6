"""dlib XML: every trap of the format, bad input, real files against ElementTree, and both ways."""

from __future__ import annotations

import io
import os
import random
import re
import time
import tracemalloc
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flmd.errors import FlmdError, InputError
from flmd.face import Face, Skipped
from flmd.formats.common.xml_stream import CHUNK, LARGEST_KEPT, XmlStream
from flmd.formats.dlib_xml import DlibXml
from flmd.formats.layout import resolve, split_of
from flmd.schemes import IBUG68, get_scheme
from flmd.tree import open_tree
from tests.formats.random_faces import image_names, make_face, points, same_points

DLIB = DlibXml()
HEAD = "<?xml version='1.0' encoding='ISO-8859-1'?>\n<dataset>\n<name>x</name>\n<images>\n"
FOOT = "</images>\n</dataset>\n"
BOX = "<box top='20' left='10' width='30' height='40'"


def parts(names=None, **wrong: str) -> str:
    """68 parts, a line each: point i is (i, 100 + i); ``x05="nan"`` sets one value."""
    lines = []
    for name in names or [f"{i:02}" for i in range(68)]:
        x, y = (
            wrong.get(f"{axis}{name}", value) for axis, value in (("x", int(name)), ("y", 100 + int(name)))
        )
        lines.append(f"<part name='{name}' x='{x}' y='{y}'/>\n")
    return "".join(lines)


def image(boxes: str, file: str = "a.jpg", more: str = "") -> str:
    return f"<image file='{file}'{more}>\n{boxes}</image>\n"


def box(inside: str, more: str = "") -> str:
    return f"{BOX}{more}>\n{inside}</box>\n"


def read(folder: Path, text: str | bytes, name: str = "labels.xml", scheme=IBUG68) -> list[Face | Skipped]:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode("latin-1"))
    with open_tree(folder) as tree:
        return list(DLIB.read(tree, scheme, (name,)))


def read_until_error(folder: Path, text: str | bytes) -> tuple[list[Face | Skipped], InputError]:
    (folder / "labels.xml").write_bytes(text if isinstance(text, bytes) else text.encode("latin-1"))
    found: list[Face | Skipped] = []
    with open_tree(folder) as tree, pytest.raises(InputError) as caught:
        found.extend(DLIB.read(tree, IBUG68, ("labels.xml",)))  # keeps what came before the error
    assert "\n" not in str(caught.value)
    return found, caught.value


def only_skip(found: list[Face | Skipped]) -> Skipped:
    (skip,) = found
    assert isinstance(skip, Skipped)
    return skip


EXPECTED = np.stack([np.arange(68), 100 + np.arange(68)], axis=1).astype(np.float32)


def test_a_face_is_read_as_written(tmp_path):
    (face,) = read(tmp_path, HEAD + image(box(parts()), more=" width='640' height='480'") + FOOT)
    assert np.array_equal(face.landmarks, EXPECTED)
    assert face.landmarks.dtype == np.float32
    assert face.box.tolist() == [10, 20, 30, 40]
    assert face.box.dtype == np.float32
    assert (face.visibility == 2).all()
    assert (face.image, face.image_size, face.box_source) == ("a.jpg", (640, 480), "annotated")
    assert face.where.endswith("labels.xml:6 (image a.jpg, box 1)")


@pytest.mark.parametrize("width", ["", "02"])
def test_parts_come_in_any_order_with_or_without_leading_zero(tmp_path, width):
    names = [f"{i:{width}}" for i in range(68)]
    random.Random(1).shuffle(names)
    (face,) = read(tmp_path, HEAD + image(box(parts(names))) + FOOT)
    assert np.array_equal(face.landmarks, EXPECTED)


def test_attributes_of_a_part_come_in_any_order(tmp_path):
    turned = re.sub(r"name='(\d+)' x='(\d+)' y='(\d+)'", r"y='\3' name='\1' x='\2'", parts())
    (face,) = read(tmp_path, HEAD + image(box(turned)) + FOOT)
    assert np.array_equal(face.landmarks, EXPECTED)


def test_several_boxes_of_an_image_share_its_subject(tmp_path):
    faces = read(tmp_path, HEAD + image(box(parts()) + box(parts()), "p/a_mirror.jpg") + FOOT)
    assert [f.subject for f in faces] == ["p/a", "p/a"]
    assert [f.where[-6:] for f in faces] == ["box 1)", "box 2)"]


def test_a_box_may_lie_outside_and_hold_fractions(tmp_path):
    text = box(parts(x00="-7.25", y01="1e2")).replace("left='10'", "left='-33'")
    (face,) = read(tmp_path, HEAD + image(text) + FOOT)
    assert face.box[0] == -33
    assert face.landmarks[0, 0] == -7.25
    assert face.landmarks[1, 1] == 100


def test_a_box_without_parts_is_a_face_without_labels(tmp_path):
    for text in (BOX + "/>\n", box("")):
        (face,) = read(tmp_path, HEAD + image(text) + FOOT)
        assert np.isnan(face.landmarks).all()
        assert (face.visibility == 0).all()


def test_box_attributes_and_label_are_kept(tmp_path):
    more = " occluded='1' difficult='0' truncated='1' pose='3' angle='-0.5' age='31' gender='female' odd='x'"
    text = HEAD + image(box("<label>R&amp;D <![CDATA[a&b]]></label>\n" + parts(), more)) + FOOT
    (face,) = read(tmp_path, text)
    flags = {"occluded": True, "difficult": False, "truncated": True, "pose": 3.0, "angle": -0.5, "age": 31.0}
    assert face.attributes == {**flags, "gender": "female", "odd": "x", "label": "R&D a&b"}


def test_ignored_boxes_are_skipped_unless_they_have_parts(tmp_path):
    found = read(tmp_path, HEAD + image(BOX + " ignore='1'/>" + box(parts(), " ignore='1'")) + FOOT)
    assert found[0].reason == "ignored"
    assert found[1].attributes == {"ignore": True}


@pytest.mark.parametrize(
    ("inside", "reason", "what"),
    [
        (parts([f"{i:02}" for i in range(67)]), "wrong_point_count", "67 parts, expected 68"),
        (parts() + "<part name='05' x='1' y='1'/>", "duplicate_part", "'05' occurs twice"),
        (parts() + "<part name='5' x='1' y='1'/>", "duplicate_part", "'5' occurs twice"),
        (parts() + "<part name='68' x='1' y='1'/>", "unknown_part", "'68'"),
        (parts() + "<part name='nose' x='1' y='1'/>", "unknown_part", "'nose'"),
        (parts() + "<part x='1' y='1'/>", "unknown_part", "without a name"),
        (parts(x07="abc"), "not_a_number", "x of part '07' is 'abc'"),
        (parts(y07="nan"), "not_a_number", "y of part '07' is 'nan'"),
        (parts(x07="-inf"), "not_a_number", "'-inf'"),
        (parts(x07="1e39"), "not_a_number", "'1e39'"),
        (parts(x07="1_0"), "not_a_number", "'1_0'"),
        (parts(x07=""), "not_a_number", "''"),
        (parts().replace("x='7' ", ""), "not_a_number", "x of part '07' is missing"),
    ],
)
def test_bad_parts_skip_their_face_only(tmp_path, inside, reason, what):
    found = read(tmp_path, HEAD + image(box(inside) + box(parts())) + FOOT)
    assert found[0].reason == reason
    assert what in found[0].what
    assert ":6 (image a.jpg, box 1)" in found[0].where
    assert isinstance(found[1], Face)
    assert np.array_equal(found[1].landmarks, EXPECTED)


@pytest.mark.parametrize(
    "wrong", ["left='10'>", "left='x'", "left='nan'", "left='1e40'", "width='0'", "width='-3'", "height='0'"]
)
def test_bad_boxes_are_skipped(tmp_path, wrong):
    key = wrong.split("=")[0]
    text = re.sub(rf"{key}='\d+'", "" if wrong.endswith(">") else wrong, box(parts()))
    skip = only_skip(read(tmp_path, HEAD + image(text) + FOOT))
    assert skip.reason == "bad_box"
    assert key in skip.what


def test_a_box_within_a_box_is_counted(tmp_path):
    found = read(tmp_path, HEAD + image(box(box(parts()))) + FOOT)
    assert [getattr(f, "reason", "face") for f in found] == ["bad_box", "face"]


@pytest.mark.parametrize(
    "file", ["../../x.jpg", "/etc/x.jpg", "C:\\x.jpg", "", "..\\..\\..\\x.jpg", ".", "a/"]
)
def test_paths_that_leave_the_tree_are_refused(tmp_path, file):
    skip = only_skip(read(tmp_path, HEAD + image(box(parts()), file) + FOOT, "sub/labels.xml"))
    assert skip.reason == "bad_path"


def test_paths_are_relative_to_the_xml(tmp_path):
    text = HEAD + "".join(image(box(parts()), f) for f in ("a\\b.jpg", "../c.jpg", "./d.jpg")) + FOOT
    assert [f.image for f in read(tmp_path, text, "sub/labels.xml")] == ["sub/a/b.jpg", "c.jpg", "sub/d.jpg"]


def test_declared_latin1_is_respected(tmp_path):
    (face,) = read(tmp_path, (HEAD + image(box(parts()), "José ÿ.jpg") + FOOT).encode("latin-1"))
    assert face.image == "José ÿ.jpg"


def test_utf8_and_utf16_and_windows_1252_are_respected(tmp_path):
    for encoding in ("utf-8", "utf-16", "windows-1252"):
        head = HEAD.replace("ISO-8859-1", encoding)
        (face,) = read(tmp_path, (head + image(box(parts()), "a€.jpg") + FOOT).encode(encoding))
        assert face.image == "a€.jpg"


def test_utf8_bytes_under_a_latin1_header_find_their_picture(tmp_path):
    (tmp_path / "José.jpg").touch()
    text = (HEAD + image(box(parts()), "José.jpg") + FOOT).encode("utf-8")
    assert read(tmp_path, text)[0].image == "José.jpg"


@pytest.mark.parametrize(
    "name", ["a&b", "R&D;x", "a&lt b", "a<b", "O'Brien", "&", "it's <3 & more", "a>b", "100%&"]
)
@pytest.mark.parametrize("size", ["", " width='5' height='6'"])
def test_names_that_dlib_left_unescaped_are_mended_and_lines_stay(tmp_path, name, size):
    text = (
        HEAD
        + f"  <image file='{name}.jpg'{size}>\n"
        + box(parts())
        + "  </image>\n"
        + image(box(parts()))
        + FOOT
    )
    first, second = read(tmp_path, text)
    assert first.image == f"{name}.jpg"
    assert (second.image, second.where.split(":")[-1][:3]) == ("a.jpg", "78 ")


def test_escaped_names_stay_as_they_are(tmp_path):
    (face,) = read(tmp_path, HEAD + image(box(parts()), "a&amp;b &lt;&apos;&#233;&#x41;.jpg") + FOOT)
    assert face.image == "a&b <'éA.jpg"


def test_a_bare_ampersand_is_mended_wherever_a_piece_ends(tmp_path):
    for length in range(65536 - 12, 65536 + 4):
        filler = "<!--" + "x" * (length - len(HEAD) - 22) + "-->"
        text = HEAD + filler + image(box(parts()), "a&amp;b&c.jpg") + FOOT
        assert read(tmp_path, text)[0].image == "a&b&c.jpg"


def test_a_file_without_line_ends_is_read(tmp_path):
    text = (HEAD + image(box(parts()), "a&b.jpg") * 40 + FOOT).replace("\n", "")
    faces = read(tmp_path, text)
    assert len(faces) == 40
    assert all(np.array_equal(f.landmarks, EXPECTED) for f in faces)


def test_truncation_keeps_the_faces_before_it(tmp_path):
    whole = HEAD + image(box(parts())) * 30
    found, error = read_until_error(tmp_path, whole + image(box(parts()))[:-500])
    assert len(found) == 30
    line = whole.count("\n") + image(box(parts()))[:-500].count("\n") + 1
    assert f"labels.xml:{line}: the XML ends early" in str(error)


def test_an_empty_file_is_one_line(tmp_path):
    assert "ends early" in str(read_until_error(tmp_path, "")[1])


def test_an_unmendable_bracket_names_its_line(tmp_path):
    found, error = read_until_error(tmp_path, HEAD + image(box(parts())) + image(box(parts(x03="<"))) + FOOT)
    assert len(found) == 1
    assert "labels.xml:82: broken XML" in str(error)
    assert "&lt;" in str(error)


BOMB = "<!ENTITY a 'ha'>" + "".join(
    f"\n<!ENTITY {chr(98 + i)} '{'&' + chr(97 + i) + ';'} {('&' + chr(97 + i) + ';') * 9}'>"
    for i in range(20)
)


@pytest.mark.parametrize(
    "doctype",
    [
        f"<!DOCTYPE dataset [\n{BOMB}\n]>",
        "<!DOCTYPE dataset [<!ENTITY x SYSTEM 'FIFO'>]>",
        "<!DOCTYPE dataset SYSTEM 'FIFO'>",
        "<!DOCTYPE dataset SYSTEM 'http://127.0.0.1:9/x.dtd'>",
        "<!DOCTYPE dataset [<!ENTITY % p SYSTEM 'FIFO'> %p;]>",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_are_refused_unread_and_fast(tmp_path, doctype, encoding):
    fifo = tmp_path.parent / f"{tmp_path.name}.fifo"  # opening it would wait for ever
    os.mkfifo(fifo)
    start = time.perf_counter()
    body = "<dataset><images>" + image(box("<label>&x;&u;</label>" + parts())) + "</images></dataset>"
    text = f"<?xml version='1.0' encoding='{encoding}'?>\n{doctype.replace('FIFO', str(fifo))}\n{body}"
    found, error = read_until_error(tmp_path, text.encode(encoding))
    assert found == []
    assert "labels.xml:2: a DOCTYPE" in str(error)
    with open_tree(tmp_path) as tree:
        assert "DOCTYPE" in DLIB.detect(tree).why
    assert time.perf_counter() - start < 20  # a hang, not a speed


def test_another_root_is_an_error(tmp_path):
    assert "the root element is <annotation>" in str(read_until_error(tmp_path, "<annotation/>")[1])


@pytest.mark.parametrize("encoding", ["nonsense", "utf-7", "shift_jis"])
def test_an_unknown_encoding_is_one_line(tmp_path, encoding):
    text = HEAD.replace("ISO-8859-1", encoding) + image(box(parts())) + FOOT
    assert "labels.xml:1" in str(read_until_error(tmp_path, text)[1])


def test_a_megabyte_without_a_tag_is_refused(tmp_path):
    _, error = read_until_error(tmp_path, "<dataset a='" + "x" * 3_000_000)
    assert "without an end of line or tag" in str(error)


def test_a_box_of_200_000_parts_is_one_skip(tmp_path):
    text = HEAD + image(box(parts() + "<part name='00' x='1' y='2'/>\n" * 200_000) + box(parts())) + FOOT
    found = read(tmp_path, text)
    assert [getattr(f, "reason", "face") for f in found] == ["duplicate_part", "face"]


def test_line_numbers_are_exact_beyond_65535(tmp_path):
    one = image(box(parts()))
    faces = read(tmp_path, HEAD + one * 1000 + FOOT)
    lines = [int(re.search(r":(\d+) \(", f.where)[1]) for f in faces]
    assert lines == [HEAD.count("\n") + 2 + i * one.count("\n") for i in range(1000)]


def test_line_numbers_are_exact_whatever_the_layout(tmp_path):
    rng = random.Random(3)
    text, lines = HEAD + "<!-- <box -->\n" * 70_000, []
    for _ in range(60):
        text += "<image file='a.jpg'>" + rng.choice(["", "\n", "\r\n\r\n", "<!-- <box\n -->", "\r"])
        lines.append(len(re.findall("\r\n|\r|\n", text)) + 1)
        text += box(parts(), rng.choice(["", "\n", "\n pose='1'\r\n"])).replace(
            "\n", rng.choice(["\n", " "]), 69
        )
        text += "</image>"
    faces = read(tmp_path, text + FOOT)
    assert [int(re.search(r":(\d+) \(", f.where)[1]) for f in faces] == lines
    assert lines[0] > 70_000


@pytest.mark.parametrize(
    ("wrong", "what"), [("<", "broken XML"), ("\xff", "broken XML"), (None, "ends early")]
)
def test_faults_are_named_with_their_line_beyond_65535(tmp_path, wrong, what):
    good = HEAD.replace("ISO-8859-1", "utf-8") + image(box(parts())) * 1000
    bad = image(box(parts(x03=wrong))) + FOOT if wrong else image(box(parts()))[:200]
    found, error = read_until_error(tmp_path, good + bad)
    line = good.count("\n") + (bad[: bad.index(f"='{wrong}'")] if wrong else bad).count("\n") + 1
    assert len(found) == 1000
    assert f"labels.xml:{line}: " in str(error)
    assert what in str(error)


@pytest.mark.parametrize(
    "more", ["", "<junk><a/></junk>\n" * 20_000, "<junk>" + "<a/>\n" * 20_000 + "</junk>"]
)
def test_the_tree_behind_the_elements_stays_small(more):
    stream = io.BytesIO((HEAD + (image(box(parts())) + more) * 60 + FOOT).encode())
    largest = boxes = 0
    xml = XmlStream(stream, "labels.xml", ("image", "box"))
    for event, name, element in xml:
        if (event, name) == ("start", "box"):
            xml.keep(element)
        elif name == "box":
            boxes += 1
            assert len(element) == 68
            largest = max(largest, sum(1 for _ in element.getroottree().iter()))
    assert boxes == 60
    assert largest < 2 * CHUNK / len("<a/>\n")


def test_a_box_without_end_does_not_fill_the_memory(tmp_path):
    endless = "<part name='00' x='1' y='2'/>\n" * (LARGEST_KEPT // 20)
    found = read(tmp_path, HEAD + image(box(endless) + box(parts())) + FOOT)
    assert [getattr(f, "reason", "face") for f in found] == ["wrong_point_count", "face"]
    assert "more than" in found[0].what


@pytest.mark.parametrize("encoding", ["utf-7", "utf-32", "cp500", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_no_encoding_hides_a_doctype(tmp_path, encoding):
    text = f"<?xml version='1.0' encoding='{encoding}'?><!DOCTYPE dataset [{BOMB}]><dataset>&b;</dataset>"
    data = text.encode(encoding)
    if encoding == "utf-7":
        data = data.replace(b"<!DOCTYPE", b"+ADw-!DOCTYPE").replace(b"+ADwAIQ-DOCTYPE", b"+ADw-!DOCTYPE")
    found, error = read_until_error(tmp_path, data)
    assert found == []
    assert "labels.xml:1: " in str(error)
    assert ("a DOCTYPE" in str(error)) == (encoding in ("utf-16-le", "utf-16-be", "utf-8-sig"))


def test_a_doctype_is_found_after_comments_and_not_in_them(tmp_path):
    head = HEAD.replace("<dataset>", "<!-- <!DOCTYPE a> -->\n<?x <!DOCTYPE a> ?>\n%s\n<dataset>")
    assert len(read(tmp_path, head % "" + image(box(parts())) + FOOT)) == 1
    for filler in ("", "<!-- " + "long\n" * 30_000 + " -->\n"):
        _, error = read_until_error(tmp_path, head % (filler + "<!DOCTYPE a>") + FOOT)
        assert f"labels.xml:{4 + filler.count(chr(10))}: a DOCTYPE ('a')" in str(error)


def test_memory_stays_flat(tmp_path):
    (tmp_path / "labels.xml").write_text(HEAD + image(box(parts())) * 1500 + FOOT)
    with open_tree(tmp_path) as tree:
        tracemalloc.start()
        count = sum(1 for _ in DLIB.read(tree, IBUG68, ("labels.xml",)))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert count == 1500
    assert peak < 2e6


def lay_out(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / (path.name + ".xml")).write_text(text)


FULL, BARE = HEAD + image(box(parts())) + FOOT, HEAD + image(BOX + "/>") + FOOT


@pytest.mark.parametrize(
    ("files", "kept"),
    [
        (["labels", "labels_train", "labels_test"], ["labels_test", "labels_train"]),
        (["all", "d/Training", "d/testing", "d/all"], ["all", "d/Training", "d/testing"]),
        (["one", "two"], ["one", "two"]),
        (["faces", "faces_2"], ["faces", "faces_2"]),
        (["training BARE", "training_with_face_landmarks"], ["training_with_face_landmarks"]),
        (["training BARE", "training2"], ["training", "training2"]),
        (["train", "train_boxes BARE", "val"], ["train", "val"]),
        (["labels_train", "labels_unsplit"], ["labels_train", "labels_unsplit"]),
    ],
)
def test_lists_that_repeat_others_are_left_out(tmp_path, files, kept):
    lay_out(tmp_path, **{f.split(" ")[0].replace("/", "__"): BARE if "BARE" in f else FULL for f in files})
    with open_tree(tmp_path) as tree:
        found = DLIB.detect(tree)
    assert list(found.files) == [f"{k}.xml" for k in kept]
    assert ("left out" in found.why) == (len(kept) < len(files))


def test_detection_names_the_unmet_requirement(tmp_path):
    lay_out(tmp_path, a="<annotation><images/></annotation>", b="<dataset><faces/></dataset>", c="no XML")
    with open_tree(tmp_path) as tree:
        found = DLIB.detect(tree)
    assert not found.fits
    assert found.why == "no *.xml whose root element is <dataset> with <images> in it (b.xml has no <images>)"


def test_detection_looks_into_upper_case_endings_and_long_comments(tmp_path):
    (tmp_path / "TRAIN.XML").write_text(
        HEAD.replace("<images>", f"<comment>{'é & ' * 9000}</comment><images>"), "latin-1"
    )
    with open_tree(tmp_path) as tree:
        assert DLIB.detect(tree).files == ("TRAIN.XML",)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("labels_ibug_300W_train.xml", "train"), ("labels_ibug_300W.xml", None), ("training.xml", "train"),
        ("TEST.XML", "test"), ("labelsVal.xml", "val"), ("validation-2.xml", "val"), ("strain.xml", None),
        ("train_test.xml", None), ("latest.xml", None), ("train/labels.xml", None), ("x_unsplit.xml", ""),
    ],
)  # fmt: skip
def test_splits_are_words_of_the_file_name(name, split):
    assert split_of(name) == split


def test_split_of_the_name_reaches_the_faces(tmp_path):
    assert read(tmp_path, FULL, "x_test.xml")[0].split == "test"
    assert read(tmp_path, FULL, "x.xml")[0].split == ""


# Writing


ATTRIBUTES = st.fixed_dictionaries(
    {},
    optional={
        "occluded": st.booleans(),
        "difficult": st.booleans(),
        "angle": st.floats(-180, 180),
        "age": st.integers(0, 120),
        "gender": st.sampled_from(["male", "female"]),
        "label": st.text("a &<'>\"é\t\n\r]中", min_size=1, max_size=9),
    },
)
SIZES = st.none() | st.tuples(st.integers(1, 9999), st.integers(1, 9999))


@st.composite
def faces(draw):
    whole = st.integers(-3000, 9000), st.integers(-3000, 9000), st.integers(1, 9000), st.integers(1, 9000)
    landmarks = draw(points(68, whole=True) | st.just(np.full((68, 2), np.nan, np.float32)))
    return make_face(
        draw(image_names()),
        landmarks,
        box=np.array(draw(st.tuples(*whole)), np.float32),
        box_source="annotated",
        split=draw(st.sampled_from(["train", "val", "test", ""])),
        image_size=draw(SIZES),
        attributes=draw(ATTRIBUTES),
    )


def written(folder: Path) -> list[Face | Skipped]:
    with open_tree(folder) as tree:
        return list(DLIB.read(tree, IBUG68, DLIB.detect(tree).files))


@settings(max_examples=60, deadline=None)
@given(given_faces=st.lists(faces(), max_size=6))
def test_writing_and_reading_gives_the_same_faces(tmp_path_factory, given_faces):
    target = tmp_path_factory.mktemp("round") / "out"
    report = DLIB.write(iter(given_faces), target, IBUG68)
    assert report.faces == len(given_faces)
    assert not report.lost
    found = written(target)
    assert len(found) == len(given_faces)
    for split in ("train", "val", "test", ""):
        before = [f for f in given_faces if f.split == split]
        after = [f for f in found if f.split == split]
        for a, b in zip(before, after, strict=True):
            assert same_points(a, b)
            assert a.box.tolist() == b.box.tolist()
            assert (a.image, a.image_size, a.attributes) == (b.image, b.image_size, b.attributes)


@settings(max_examples=40, deadline=None)
@given(landmarks=points(68, whole=False))
def test_points_are_rounded_half_up(tmp_path_factory, landmarks):
    target = tmp_path_factory.mktemp("round") / "out.xml"
    face = make_face("a.jpg", landmarks, box=np.float32([0, 0, 5, 5]), box_source="annotated")
    report = DLIB.write([face], target, IBUG68)
    (found,) = written(target.parent)
    nearest = np.floor(landmarks.astype(np.float64) + 0.5)
    assert np.array_equal(found.landmarks, nearest.astype(np.float32))
    assert report.lost["sub-pixel"] == int((nearest != landmarks).any())


def simple(**fields) -> Face:
    fields = {"box": np.float32([1, 2, 3, 4]), "box_source": "annotated", **fields}
    return make_face(fields.pop("image", "a.jpg"), fields.pop("landmarks", EXPECTED.copy()), **fields)


def lost(tmp_path: Path, face: Face, target: str = "out.xml") -> dict[str, int]:
    return dict(DLIB.write([face], tmp_path / target, IBUG68).lost)


def test_losses_are_counted(tmp_path):
    assert lost(tmp_path, simple()) == {}
    half = EXPECTED.copy()
    half[3, 0] += 0.5
    assert lost(tmp_path, simple(landmarks=half)) == {"sub-pixel": 1}
    assert lost(tmp_path, simple(box=np.float32([1.5, 2, 3, 4]))) == {"sub-pixel": 1}
    hidden = simple()
    hidden.visibility[4] = 1
    assert lost(tmp_path, hidden) == {"visibility": 1}
    assert lost(tmp_path, simple(split="test")) == {"split": 1}
    assert lost(tmp_path, simple(split="test"), "labels_test.xml") == {}
    assert lost(tmp_path, simple(split="test"), "folder") == {}
    assert lost(tmp_path, simple(attributes={"blur": 1})) == {"attributes": 1}
    described = {"subset": "common", "dataset": "x", "subject": "somebody"}
    assert lost(tmp_path, simple(**described)) == {"subset": 1, "dataset": 1, "subject": 1}
    assert lost(tmp_path, simple(subject="a")) == {}
    assert lost(tmp_path, simple(image="a\\b.jpg")) == {"image name": 1}
    assert lost(tmp_path, simple(box_source="detector")) == {"box source": 1}


def test_a_face_without_box_gets_that_of_its_points(tmp_path):
    assert lost(tmp_path, simple(box=None, box_source="none")) == {"box": 1}
    (face,) = written(tmp_path)
    assert face.box.tolist() == [0, 100, 68, 68]


@pytest.mark.parametrize("missing", [[5], [0], [67], [66, 67], list(range(1, 68)), [0, 30, 67]])
def test_points_that_are_not_labelled_come_back_so(tmp_path, missing):
    partial = EXPECTED.copy()
    partial[missing] = np.nan
    faces = [simple(landmarks=partial) for _ in range(3)]
    assert DLIB.write(faces, tmp_path / "out.xml", IBUG68).lost == {}
    text = (tmp_path / "out.xml").read_text()
    assert f"name='{missing[0]:02}'" not in text
    for face in written(tmp_path):
        assert np.array_equal(face.landmarks, partial, equal_nan=True)
        assert np.flatnonzero(face.visibility == 0).tolist() == missing
    with open_tree(tmp_path) as tree:
        assert DLIB.scheme_in(tree, ("out.xml",)) == "ibug68"


def test_parts_that_leave_a_gap_are_points_that_are_not_labelled(tmp_path):
    """As imglab writes a face of which somebody left points out."""
    names = [f"{i:02}" for i in range(68) if i not in (3, 60)]
    (face,) = read(tmp_path, HEAD + image(box(parts(names))) + FOOT)
    assert np.flatnonzero(face.visibility == 0).tolist() == [3, 60]
    assert face.landmarks[4].tolist() == [4, 104]
    assert np.isnan(face.landmarks[[3, 60]]).all()


@pytest.mark.parametrize("comment", ["", "<!-- not labelled: 66 -->", "<!-- not labelled: 5 6 7 x -->"])
def test_parts_that_only_end_early_are_no_face(tmp_path, comment):
    """They may be cut off, or five points of another scheme."""
    names = [f"{i:02}" for i in range(5)]
    skip = only_skip(read(tmp_path, HEAD + image(box(parts(names) + comment)) + FOOT))
    assert (skip.reason, skip.what) == ("wrong_point_count", "5 parts, expected 68")


@pytest.mark.parametrize(
    ("numbers", "scheme"),
    [(range(68), "ibug68"), (range(1, 69), "ibug68"), (range(17, 68), "ibug68"), (range(5), "points5")],
)
def test_the_scheme_is_that_of_the_highest_part(tmp_path, numbers, scheme):
    (tmp_path / "a.xml").write_text(HEAD + image(box(parts([f"{i:02}" for i in numbers]))) + FOOT)
    with open_tree(tmp_path) as tree:
        assert DLIB.scheme_in(tree, ("a.xml",)) == scheme


def test_what_cannot_be_written_is_counted_not_written(tmp_path):
    nothing = np.full((68, 2), np.nan, np.float32)
    bad = [simple(image="a\x01.jpg"), simple(image="\udce9.jpg"), simple(landmarks=nothing, box=None)]
    report = DLIB.write([*bad, simple()], tmp_path / "out.xml", IBUG68)
    assert report.faces == 1
    assert report.lost == {"face with unwritable image name": 2, "face without box and points": 1}


def test_the_file_looks_like_dlibs(tmp_path):
    DLIB.write([simple(image_size=(7, 8)), simple(image_size=(7, 8))], tmp_path / "out.xml", IBUG68)
    text = (tmp_path / "out.xml").read_text()
    assert text.startswith("<?xml version='1.0' encoding='ISO-8859-1'?>\n<dataset>\n")
    assert (
        "  <image file='a.jpg' width='7' height='8'>\n    <box top='2' left='1' width='3' height='4'>\n"
        in text
    )
    assert "      <part name='00' x='0' y='100'/>\n" in text
    assert text.count("<image ") == 1
    assert text.count("<box ") == 2
    assert ET.fromstring(text).tag == "dataset"


def test_utf8_is_declared_when_a_name_needs_it(tmp_path):
    names = ["é.jpg", "中.jpg", "é & ü.jpg"]
    for name, count, encoding in (("one.xml", 1, b"ISO-8859-1"), ("all.xml", 3, b"UTF-8")):
        folder = tmp_path / name[:3]
        DLIB.write([simple(image=n) for n in names[:count]], folder / name, IBUG68)
        data = (folder / name).read_bytes()
        assert b"encoding='" + encoding + b"'" in data[:60]
        assert [e.get("file") for e in ET.fromstring(data).iter("image")] == names[:count]
        assert [p.name for p in folder.iterdir()] == [name]


def test_other_schemes_are_written_and_read(tmp_path):
    five = get_scheme("points5")
    face = make_face("a.jpg", EXPECTED[:5].copy(), box=np.float32([1, 2, 3, 4]), box_source="annotated")
    DLIB.write([face], tmp_path / "out.xml", five)
    with open_tree(tmp_path) as tree:
        assert same_points(next(DLIB.read(tree, five, ("out.xml",))), face)
    with pytest.raises(InputError, match="landmarks of shape"):
        DLIB.write([face], tmp_path / "b.xml", IBUG68)


@pytest.mark.parametrize("target", ["out.xml", "out"])
def test_a_failed_write_leaves_nothing(tmp_path, target):
    def stops():
        yield simple()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        DLIB.write(stops(), tmp_path / target, IBUG68)
    assert list(tmp_path.iterdir()) == []


def test_no_face_is_still_a_list(tmp_path):
    DLIB.write([], tmp_path / "out", IBUG68)
    with open_tree(tmp_path / "out") as tree:
        assert DLIB.detect(tree).files == ("labels.xml",)


# Fuzzing


def test_mutated_files_end_in_faces_skips_or_one_line(tmp_path):
    text = (
        HEAD + image(BOX + " ignore='1' angle='2'/>" + box("<label>x</label>" + parts(), " pose='1'")) + FOOT
    )
    whole = (text.replace("<image file='a.jpg'>", "<image file='a&b.jpg' width='5' height='6'>")).encode()
    rng = random.Random(7)
    alphabet = b"<>&'\"/=![]-;\0\xff\xfe x0.e\n"
    path = tmp_path / "labels.xml"
    for _ in range(500):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 6)):
            at = rng.randrange(len(data)) if rng.random() < 0.5 else rng.randrange(400)
            kind = rng.random()
            if kind < 0.6:
                data[at] = rng.choice(alphabet)
            elif kind < 0.8:
                del data[at : at + rng.randint(1, 30)]
            else:
                data[at:at] = data[at - 20 : at]
        path.write_bytes(data)
        with open_tree(tmp_path) as tree:
            DLIB.detect(tree)
            found: list[Face | Skipped | FlmdError] = []
            try:
                found.extend(DLIB.read(tree, IBUG68, ("labels.xml",)))
            except FlmdError as error:
                found.append(error)
            for item in found:
                text = str(item) if isinstance(item, FlmdError) else item.where
                assert "\n" not in text


# Real files


def plainly(path: Path) -> list[tuple]:
    out = []
    for picture in ET.parse(path).getroot().find("images"):
        for found in picture.findall("box"):
            xy = {p.get("name"): (int(p.get("x")), int(p.get("y"))) for p in found.findall("part")}
            numbers = [int(found.get(k)) for k in ("left", "top", "width", "height")]
            out.append((picture.get("file"), numbers, [xy[f"{i:02}"] for i in range(68)]))
    return out


@pytest.mark.parametrize(
    ("folder", "files", "count"),
    [
        ("formats/dlib_300w_xml", ["labels_ibug_300W_test"], 1008),
        ("ibug_300w", ["labels_ibug_300W_test", "labels_ibug_300W_train"], 2442),
        ("dlib_faces", ["testing_with_face_landmarks", "training_with_face_landmarks"], 43),
    ],
)
def test_every_real_number_is_that_of_elementtree(shared_data, tmp_path, folder, files, count):
    if not (shared_data / folder).is_dir():
        pytest.skip(f"no {folder} in {shared_data}")
    with open_tree(shared_data / folder) as tree:
        detection = DLIB.detect(tree)
        assert list(detection.files) == [f"{name}.xml" for name in files]
        found = list(DLIB.read(tree, get_scheme("ibug68"), detection.files))
        if folder != "formats/dlib_300w_xml":
            assert all(f.image in tree for f in found)
    expected = [row for name in detection.files for row in plainly(shared_data / folder / name)]
    assert len(found) == len(expected) == count
    assert [f.image for f in found] == [resolve("", file) for file, _, _ in expected]
    assert np.array_equal([f.box for f in found], [b for _, b, _ in expected])
    assert np.array_equal([f.landmarks for f in found], [p for _, _, p in expected])
    assert {f.split for f in found} <= {"train", "test"}
    if folder == "formats/dlib_300w_xml":
        DLIB.write(found, tmp_path / "labels_test.xml", IBUG68)
        assert plainly(tmp_path / "labels_test.xml") == expected

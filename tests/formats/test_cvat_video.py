"""CVAT for video: tracks, what is annotated and what is interpolated, boxes, frames and their pictures."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flmd.conversion.opening import open_faces
from flmd.errors import InputError
from flmd.face import Face, Skipped
from flmd.formats.cvat_video import CvatVideo
from flmd.schemes import get_scheme
from flmd.tree import open_tree
from tests.factories import write_picture
from tests.formats.random_faces import make_face, same_points
from tests.formats.test_cvat import EXPECTED, FIVE, faces
from tests.formats.text_formats import fuzz, read, reasons, tree_of
from tests.inference.video.test_video import write_avi

FORMAT = CvatVideo()
ALL = FORMAT.with_options({"frames": "all"})
META = (
    "<meta><task><size>4</size><start_frame>{start}</start_frame><stop_frame>{stop}</stop_frame>"
    "<frame_filter>{filter}</frame_filter><labels><label><name>face</name><attributes><attribute>"
    "<name>blurred</name><input_type>checkbox</input_type></attribute></attributes></label></labels>"
    "<original_size><width>64</width><height>48</height></original_size></task>"
    "<source>{source}</source></meta>\n"
)
PLACES = "1,2;3,4;5,6;7,8;9,10"


def video(*tracks: str, source: str = "clip.mp4", start: int = 0, stop: int = 3, filter: str = "") -> str:
    meta = META.format(source=source, start=start, stop=stop, filter=filter)
    return f"<annotations>\n<version>1.1</version>\n{meta}{''.join(tracks)}</annotations>\n"


def track(*shapes: str, label: str = "face", number: int = 0, more: str = "") -> str:
    return f'<track id="{number}" label="{label}"{more}>\n{"".join(shapes)}</track>\n'


def points(frame: object, places: str = PLACES, inside: str = "", **more: object) -> str:
    said = {"outside": 0, "occluded": 0, "keyframe": 1} | more
    attributes = " ".join(f'{key}="{value}"' for key, value in said.items())
    return f'<points frame="{frame}" {attributes} points="{places}">{inside}</points>\n'


def skeleton(frame: int, names: str = "01234", flags: dict[str, str] | None = None, **more: object) -> str:
    said = " ".join(f'{key}="{value}"' for key, value in ({"keyframe": 1} | more).items())
    inside = "".join(
        f'<points label="{name}" frame="{frame}" {(flags or {}).get(name, "")} points="{place}"/>\n'
        for name, place in zip(names, PLACES.split(";"), strict=True)
    )
    return f'<skeleton frame="{frame}" {said}>\n{inside}</skeleton>\n'


def box(frame: int, *edges: float, outside: int = 0) -> str:
    left, top, right, bottom = edges
    return (
        f'<box frame="{frame}" outside="{outside}" keyframe="1" xtl="{left}" ytl="{top}" xbr="{right}"'
        f' ybr="{bottom}"/>\n'
    )


def found(folder: Path, text: str, fmt: CvatVideo = FORMAT, **files: str) -> list[Face | Skipped]:
    return read(fmt, FIVE, folder, {"annotations.xml": text, **files})


def test_a_shape_of_a_track_is_a_face_half_a_pixel_off(tmp_path: Path) -> None:
    blurred = '<attribute name="blurred">true</attribute>'
    (face,) = found(tmp_path, video(track(points(2, inside=blurred, occluded=1), label="head", number=7)))
    assert isinstance(face, Face)
    assert np.array_equal(face.landmarks, EXPECTED)
    assert (face.image, face.image_size, face.subject) == ("images/frame_000002.PNG", (64, 48), "clip")
    assert face.attributes == {"blurred": True, "label": "head", "track": 7, "occluded": True}
    assert (face.box, face.split) == (None, "")
    assert face.where.endswith("annotations.xml:4 (track 7, frame 2)")


def test_the_points_of_a_skeleton_are_keyed_by_label(tmp_path: Path) -> None:
    flags = {"1": 'outside="1"', "3": 'occluded="1"'}
    plain, turned = found(tmp_path, video(track(skeleton(0, flags=flags), skeleton(1, "40123"))))
    assert plain.visibility.tolist() == [2, 0, 2, 1, 2]
    assert np.array_equal(plain.landmarks[[0, 2, 3, 4]], EXPECTED[[0, 2, 3, 4]])
    assert np.array_equal(turned.landmarks, EXPECTED[[1, 2, 3, 4, 0]])


def frames(items: list[Face | Skipped]) -> list[tuple[int, float]]:
    """The frame and the first coordinate of each face."""
    return [(int(Path(face.image).stem[-6:]), float(face.landmarks[0, 0])) for face in items]


MOVED = "5,2;7,4;9,6;11,8;13,10"


def test_only_keyframes_are_read_unless_all_frames_are_asked_for(tmp_path: Path) -> None:
    text = video(track(points(0), points(1, "9,2;3,4;5,6;7,8;9,10", keyframe=0), points(3, MOVED)), stop=4)
    assert frames(found(tmp_path, text)) == [(0, 0.5), (3, 4.5)]
    assert frames(found(tmp_path, text, ALL)) == [(0, 0.5), (1, 8.5), (2, 6.5), (3, 4.5), (4, 4.5)]


@pytest.mark.parametrize(
    ("said", "split", "kept"),
    [("Train", "train", ""), ("Validation", "val", ""), ("default", "", ""), ("common", "", "common")],
)
def test_the_subset_of_a_track_is_its_split_as_in_exports_of_projects(
    tmp_path: Path, said: str, split: str, kept: str
) -> None:
    (face,) = found(tmp_path, video(track(skeleton(0), more=f' subset="{said}" task_id="3"')))
    assert (face.split, face.subset) == (split, kept)


def test_frames_between_lie_on_a_line_until_the_face_is_outside(tmp_path: Path) -> None:
    line = video(track(points(0), points(4, MOVED), points(5, outside=1)), stop=9)
    assert frames(found(tmp_path, line, ALL)) == [(n, n + 0.5) for n in range(5)]
    gone = video(track(points(0), points(3, MOVED, outside=1), points(6, MOVED)), stop=7)
    assert frames(found(tmp_path, gone, ALL)) == [(0, 0.5), (1, 0.5), (2, 0.5), (6, 4.5), (7, 4.5)]
    steps = video(track(points(10), points(16, MOVED)), start=10, stop=19, filter="step=3")
    assert frames(found(tmp_path, steps, ALL)) == [(10, 0.5), (13, 2.5), (16, 4.5), (19, 4.5)]


def test_a_point_that_one_of_two_shapes_lacks_stays_where_it_is(tmp_path: Path) -> None:
    first, second = skeleton(0), skeleton(2, flags={"0": 'outside="1"'})
    _, between, last = found(tmp_path, video(track(first, second), stop=2), ALL)
    assert between.landmarks[0].tolist() == [0.5, 1.5]
    assert np.isnan(last.landmarks[0]).all()


def test_frames_without_end_are_not_made(tmp_path: Path) -> None:
    items = found(tmp_path, video(track(points(0)), stop=9_000_000), ALL)
    assert reasons(items) == ["", "too_many_frames"]


def test_a_box_of_the_same_group_is_the_faces_in_its_frame(tmp_path: Path) -> None:
    group = ' group_id="3"'
    boxes = track(
        box(0, 1, 2, 31, 42), box(1, 1, 2, 31, 42, outside=1), label="box", more=group + ' source="auto"'
    )
    one, two, other = found(
        tmp_path, video(track(points(0), points(1), more=group), boxes, track(points(0), number=2))
    )
    assert (one.box.tolist(), one.box_source) == ([1, 2, 30, 40], "detector")
    assert two.box is None
    assert other.box is None
    twice = found(tmp_path, video(track(points(0), more=group), boxes, boxes))
    assert [face.box for face in twice] == [None]


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        (points(0, "1,2;3,4"), "wrong_point_count"),
        (points(0, "1,2"), "wrong_point_count"),
        (points(0, "1,2;3,4;5,6;7,8;9,nan"), "not_a_number"),
        (points(0, "1,2;3,4;5,6;7,8;9"), "not_a_number"),
        (points(-1), "bad_frame"),
        (points("1e3"), "bad_frame"),
        (points(99_999_999), "bad_frame"),
        (skeleton(0, "01233"), "duplicate_point"),
        (skeleton(0, "01239"), "unknown_point"),
        (points(0, inside="<a/>\n" * (2 << 20)), "image_too_long"),
    ],
)
def test_what_is_no_face_is_skipped_and_the_next_one_read(tmp_path: Path, shape: str, reason: str) -> None:
    items = found(tmp_path, video(track(points(1), shape), track(points(2))))
    assert reasons(items)[-2:] == [reason, ""]


def test_pictures_are_found_by_number_or_by_place(tmp_path: Path) -> None:
    text = video(track(points(1), points(3)), source="clip")
    numbered = {"images/frame_000001.jpg": "", "images/frame_000003.png": ""}
    assert [face.image for face in found(tmp_path / "a", text, **numbered)] == list(numbered)
    listed = {f"clip/{name}.jpg": "" for name in "dbca"}
    assert [face.image for face in found(tmp_path / "b", text, **listed)] == ["clip/b.jpg", "clip/d.jpg"]
    some = video(track(points(10), points(16)), source="clip", start=10, stop=19, filter="step=3")
    assert [face.image for face in found(tmp_path / "c", some, **listed)] == ["clip/a.jpg", "clip/c.jpg"]


def test_frames_of_a_video_beside_it_are_pictures(tmp_path: Path) -> None:
    write_avi(tmp_path / "clip.avi")
    (tmp_path / "a.xml").write_text(video(track(points(5)), source="clip.avi"))
    with open_faces(tmp_path) as opened:
        (face,) = opened
        assert face.image == "clip/frame_000005.png"
        assert face.image in opened.pictures
        assert opened.pictures.read(face.image).startswith(b"\x89PNG")


def detect(folder: Path, text: str) -> str:
    with tree_of(folder, {"a.xml": text}) as tree:
        found = FORMAT.detect(tree)
        return found.why if not found.fits else ""


def test_a_video_of_boxes_is_told_so(tmp_path: Path) -> None:
    said = detect(tmp_path, video(track(box(0, 1, 2, 3, 4))))
    assert said.endswith("(a.xml: tracks of boxes or other shapes, no points)")
    images = (
        '<annotations><image id="0" name="a.jpg"><points label="0" points="1,2;3,4"/></image></annotations>'
    )
    assert detect(tmp_path, images) == f"no {FORMAT.detected_by}"
    assert not detect(tmp_path, video(track(skeleton(0))))


def test_the_scheme_follows_from_names_or_number(tmp_path: Path) -> None:
    def scheme_in(text: str) -> str:
        with tree_of(tmp_path, {"a.xml": text}) as tree:
            return FORMAT.scheme_in(tree, ("a.xml",))

    assert scheme_in(video(track(points(0, ";".join(["1,2"] * 68))))) == "ibug68"
    assert scheme_in(video(track(skeleton(0)))) == scheme_in(video(track(points(0))))
    with pytest.raises(InputError, match="no track of points"):
        scheme_in(video())


def test_broken_xml_is_an_error_after_the_faces_before_it(tmp_path: Path) -> None:
    text = video(track(points(0)), track(points(1)))
    with tree_of(tmp_path, {"a.xml": text[: text.index('<track id="0"', text.index("</track>"))]}) as tree:
        items = FORMAT.read(tree, FIVE, ("a.xml",))
        assert isinstance(next(items), Face)
        with pytest.raises(InputError):
            next(items)


def test_the_real_file_is_what_its_xml_says(shared_data: Path) -> None:
    """One track of points: annotated in frame 10, outside from frame 13 on, its frames three apart."""
    path = shared_data / "formats/cvat_video/annotations.xml"
    (shape, _) = ET.parse(path).getroot().iter("points")
    expected = np.array([pair.split(",") for pair in shape.attrib["points"].split(";")], float) - 0.5
    for options in ({}, {"frames": "all"}):
        with open_tree(path) as tree:
            items = list(FORMAT.with_options(options).read(tree, get_scheme("points3"), (path.name,)))
        (face,) = items
        assert np.array_equal(face.landmarks, expected.astype(np.float32))
        assert (face.image, face.image_size, face.subject) == ("images/frame_000010.PNG", (25, 20), "t")
        assert face.attributes == {"hgl": "hgkf", "label": "klhg", "track": 1}


# Writing


@settings(max_examples=60, deadline=None)
@given(
    given_faces=st.lists(faces(), max_size=5), target=st.sampled_from(["out", "out_test.xml"]), data=st.data()
)
def test_writing_and_reading_gives_the_same_faces(tmp_path_factory, given_faces, target, data) -> None:
    sizes = {face.image_size for face in given_faces}
    for face in given_faces:
        face.image_size = next(iter(sizes))
        face.subject = data.draw(st.sampled_from(["", "one", "two"]))
        face.subset = data.draw(st.sampled_from(["", "common"]))
        face.dataset = data.draw(st.sampled_from(["", "wflw"]))
        face.attributes["track"] = data.draw(st.integers(0, 2))
    folder = tmp_path_factory.mktemp("round")
    report = FORMAT.write(iter(given_faces), folder / target, FIVE)
    assert (report.faces, dict(report.lost)) == (len(given_faces), {})
    root = folder if target.endswith("xml") else folder / target
    with open_tree(root) as tree:
        (name,) = tree.names
        items = list(FORMAT.read(tree, FIVE, (name,)))
    for a, b in zip(given_faces, items, strict=True):
        assert same_points(a, b)
        assert (a.box is None) == (b.box is None)
        assert a.box is None or a.box.tolist() == b.box.tolist()
        assert (a.image, a.image_size, a.attributes, a.split, a.box_source, a.subset, a.dataset) == (
            b.image, b.image_size, b.attributes, b.split, b.box_source, b.subset, b.dataset,
        )  # fmt: skip
        assert b.subject == a.subject or not a.subject


def plain(image: str, track: int | None = None, **fields: object) -> Face:
    attributes = {} if track is None else {"track": track}
    return make_face(image, EXPECTED.copy(), attributes=attributes, **fields)


def written(folder: Path, *given: Face) -> ET.Element:
    FORMAT.write(given, folder / "out.xml", FIVE)
    return ET.parse(folder / "out.xml").getroot()


def test_faces_of_a_track_that_follow_each_other_share_it(tmp_path: Path) -> None:
    names = [f"images/frame_{number:06d}.png" for number in (3, 4, 7)]
    first, second = written(tmp_path, *(plain(n, 5) for n in names), plain(names[0], 6)).findall("track")
    shapes = [(s.get("frame"), s.get("outside", "0")) for s in first.findall("skeleton")]
    assert (first.get("id"), shapes) == ("5", [("3", "0"), ("4", "0"), ("5", "1"), ("7", "0"), ("8", "1")])
    assert [s.get("frame") for s in second.findall("skeleton")] == ["3", "4"]
    inside = first.findall("skeleton")[0].findall("points")
    assert inside[0].get("points") == "1.0,2.0"
    assert [p.get("label") for p in inside] == list(FIVE.points)


def test_nothing_is_interpolated_in_what_is_written(tmp_path: Path) -> None:
    given_faces = [plain(f"images/frame_{n:06d}.png", 1) for n in (0, 1, 5, 9)]
    FORMAT.write(given_faces, tmp_path / "out.xml", FIVE)
    with open_tree(tmp_path) as tree:
        items = list(ALL.read(tree, FIVE, ("out.xml",)))
    assert [face.image for face in items] == [face.image for face in given_faces]


def test_a_box_is_a_track_of_the_faces_group(tmp_path: Path) -> None:
    edges = {"box": np.float32([1, 2, 3, 4]), "box_source": "annotated"}
    root = written(tmp_path, plain("a.jpg", **edges), plain("b.jpg"))
    face, rectangle, other = root.findall("track")
    assert face.get("group_id") == rectangle.get("group_id") == "1" != other.get("group_id")
    shown, gone = rectangle.findall("box")
    assert [shown.get(k) for k in ("frame", "xtl", "ytl", "xbr", "ybr")] == ["0", "1.0", "2.0", "4.0", "6.0"]
    assert (gone.get("frame"), gone.get("outside")) == ("1", "1")
    types = [label.findtext("type") for label in root.findall("meta/task/labels/label")]
    assert types == ["skeleton", *["points"] * 5, "rectangle"]


def test_a_pictures_number_is_kept_where_it_says_one(tmp_path: Path) -> None:
    names = ["x.jpg", "images/frame_000004.jpg", "y.jpg", "images/frame_000004.png", "x.jpg"]
    root = written(tmp_path, *map(plain, names))
    numbers = {frame.get("name"): frame.get("number") for frame in root.findall("frame")}
    assert numbers == dict(zip(names[:4], "0456", strict=True))
    assert root.findtext("meta/task/size") == "7"


def test_losses_are_counted(tmp_path: Path) -> None:
    def lost(*given: Face) -> dict[str, int]:
        return dict(FORMAT.write(given, tmp_path / "out.xml", FIVE).lost)

    edges = np.float32([1, 2, 3, 4])
    assert lost(plain("a.jpg", box=edges, box_source="landmarks")) == {"box source": 1}
    assert lost(plain("a.jpg", box=np.float32([1, 2, 0, 4]), box_source="annotated")) == {"box": 1}
    assert lost(plain("a.jpg", image_size=(3, 4)), plain("b.jpg", image_size=(5, 4))) == {"image size": 1}
    assert lost(plain("a\0.jpg")) == {"face with unwritable image name": 1}
    assert lost(plain("a.jpg", subject="x\0")) == {"subject": 1}
    assert lost(make_face("a.jpg", np.float32([[1e-30, 0]] * 5))) == {"sub-pixel": 1}
    with pytest.raises(InputError, match="landmarks of shape"):
        FORMAT.write([plain("a.jpg")], tmp_path / "out.xml", get_scheme("ibug68"))


def test_a_store_written_twice_is_the_same(tmp_path: Path) -> None:
    edges = {"box": np.float32([1, 2, 3, 4]), "box_source": "annotated"}
    FORMAT.write([plain(f"{n}.jpg", **edges) for n in "abc"], tmp_path / "a.xml", FIVE)
    with open_tree(tmp_path) as tree:
        FORMAT.write(FORMAT.read(tree, FIVE, ("a.xml",)), tmp_path / "b.xml", FIVE)
    assert (tmp_path / "a.xml").read_bytes() == (tmp_path / "b.xml").read_bytes()


def test_a_picture_is_written_with_its_name_and_found_again(tmp_path: Path) -> None:
    write_picture(tmp_path / "images/x.png", np.zeros((8, 8, 3), np.uint8))
    FORMAT.write([plain("images/x.png")], tmp_path / "a.xml", FIVE)
    with open_faces(tmp_path) as opened:
        assert [face.image in opened.pictures for face in opened] == [True]


def test_mutated_files_end_in_faces_skips_or_errors(tmp_path: Path) -> None:
    group = ' group_id="1"'
    text = video(track(skeleton(0), points(1), more=group), track(box(0, 1, 2, 9, 9), more=group))
    fuzz(FORMAT, FIVE, tmp_path, "a.xml", text.encode())
    fuzz(ALL, FIVE, tmp_path, "a.xml", text.encode(), 100)

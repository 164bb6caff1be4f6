"""Exporting faces: to files, folders, archives and addresses, with an account; whole, or not there."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import fsspec
import numpy as np
import pytest

from flmd import formats
from flmd.curation.write_annotations import target_format, write_faces
from flmd.errors import InputError, ParamsError
from flmd.face import Face, Skipped
from flmd.schemes import IBUG68
from flmd.tree import open_tree
from tests.factories import make_face, write_picture

DLIB = formats.get("dlib-xml")


def whole(image: str, seed: int = 0, **fields) -> Face:
    """A face that a dlib list holds without loss, but for its split when written to one file."""
    face = make_face(image, seed=seed, split="", **fields)
    face.landmarks = np.round(face.landmarks)
    face.subject = image.rpartition(".")[0]
    return face


def read(path: Path | str) -> list[Face]:
    with open_tree(path) as tree:
        fmt, found = formats.choose(tree)
        return [face for face in fmt.read(tree, IBUG68, found.files) if isinstance(face, Face)]


def pictures(folder: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        write_picture(folder / name, np.full((20, 30 + number, 3), 40 * number, np.uint8))
    return folder


def test_what_is_lost_is_counted_and_written_down(tmp_path):
    faces: list[Face | Skipped] = [whole("a.jpg"), make_face("b.jpg"), Skipped("bad_box", "x:3", "no box")]
    account = write_faces(faces, DLIB, tmp_path / "x.xml", IBUG68, report=tmp_path / "loss.json")
    assert account.faces == 2
    # make_face: fractions, split "train", a subject that is not the picture's stem
    assert account.lost == {"sub-pixel": 1, "split": 1, "subject": 1}
    assert account.skipped == {"bad_box": 1}
    text = (tmp_path / "loss.json").read_text()
    assert '"sub-pixel": 1' in text
    assert "x:3: no box" in text


def test_strict_writes_only_what_loses_nothing(tmp_path):
    write_faces([whole("a.jpg")], DLIB, tmp_path / "x.xml", IBUG68, strict=True)
    with pytest.raises(InputError, match="lost: split of 1 faces, sub-pixel of 1 faces, subject of 1 faces"):
        write_faces([make_face("b.jpg")], DLIB, tmp_path / "y.xml", IBUG68, strict=True)
    skipped = Skipped("bad_box", "", "")
    with pytest.raises(InputError, match=r"skipped: 1 faces \(bad_box\)"):
        write_faces([whole("b.jpg"), skipped], DLIB, tmp_path / "y.xml", IBUG68, strict=True)
    assert [p.name for p in tmp_path.iterdir()] == ["x.xml"]


@pytest.mark.parametrize("ending", [".zip", ".tar", ".tar.gz", ".tgz"])
def test_an_archive_reads_back_and_has_the_same_bytes_each_time(tmp_path, ending):
    faces = [whole("a.jpg"), whole("b.jpg", 1)]
    source = pictures(tmp_path / "p", "a.jpg", "b.jpg")
    with open_tree(source) as tree:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            target = tmp_path / name / f"set{ending}"
            assert write_faces(faces, DLIB, target, IBUG68, pictures=tree, images="copy").pictures == 2
    one, two = (tmp_path / name / f"set{ending}" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    assert [face.image for face in read(one)] == ["a.jpg", "b.jpg"]
    with open_tree(one) as tree:
        assert tree.read("b.jpg") == (source / "b.jpg").read_bytes()
    assert list((tmp_path / "one").iterdir()) == [one]


@pytest.mark.parametrize("name", ["set**", "set**.tar", "set**.zip"])
def test_a_target_may_be_named_like_a_pattern(tmp_path, name):
    write_faces([whole("a.jpg")], formats.get("pts"), tmp_path / name, IBUG68)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_name_that_is_not_utf8_goes_into_a_tar_but_not_into_a_zip(tmp_path):
    name = os.fsdecode(b"x\xff.png")
    source = pictures(tmp_path / "p", name)
    with open_tree(source) as tree:
        write_faces(
            [whole(name)], formats.get("pts"), tmp_path / "a.tar", IBUG68, pictures=tree, images="copy"
        )
        with pytest.raises(InputError, match=r"'x\\\\xff.png' is not UTF-8.*write a folder or a .tar"):
            write_faces(
                [whole(name)], formats.get("pts"), tmp_path / "a.zip", IBUG68, pictures=tree, images="copy"
            )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar", "p"]


def test_pictures_are_copied_or_linked_where_the_list_looks_for_them(tmp_path):
    source = pictures(tmp_path / "p", "in/a.jpg", "b.jpg")
    faces = [whole("in/a.jpg"), whole("b.jpg"), whole("gone.jpg")]
    with open_tree(source) as tree:
        account = write_faces(faces, DLIB, tmp_path / "c/x.xml", IBUG68, pictures=tree, images="copy")
        assert (account.pictures, account.missing) == (2, 1)
        write_faces(faces, DLIB, tmp_path / "l/x.xml", IBUG68, pictures=tree, images="link")
    assert (tmp_path / "c/in/a.jpg").read_bytes() == (source / "in/a.jpg").read_bytes()
    assert (tmp_path / "l/in/a.jpg").is_symlink()
    assert (tmp_path / "l/in/a.jpg").resolve() == (source / "in/a.jpg").resolve()
    assert [face.image for face in read(tmp_path / "c")] == ["in/a.jpg", "b.jpg", "gone.jpg"]


def test_pictures_need_a_source_of_them(tmp_path):
    with pytest.raises(ParamsError, match="name the folder or archive of the pictures with --pictures"):
        write_faces([whole("a.jpg")], DLIB, tmp_path / "x.xml", IBUG68, images="copy")


def test_a_picture_name_that_leaves_the_target_is_refused(tmp_path):
    inside = pictures(tmp_path / "p", "a.jpg")
    with open_tree(inside) as tree:
        tree._index = {"../a.jpg": None}  # as no reader would name it
        with pytest.raises(InputError, match="would lie outside the target"):
            write_faces([whole("../a.jpg")], DLIB, tmp_path / "q/x.xml", IBUG68, pictures=tree, images="copy")
    assert list((tmp_path / "q").iterdir()) == []


def test_overwriting_is_asked_for_and_leaves_nothing_of_the_old_folder(tmp_path):
    split = [make_face("a.jpg", split="train"), make_face("b.jpg", split="test")]
    write_faces(split, DLIB, tmp_path / "out", IBUG68)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["labels_test.xml", "labels_train.xml"]
    with pytest.raises(ParamsError, match="exists already; add --overwrite"):
        write_faces(split, DLIB, tmp_path / "out", IBUG68)
    write_faces([whole("c.jpg")], DLIB, tmp_path / "out", IBUG68, overwrite=True)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["labels.xml"]
    with pytest.raises(ParamsError, match="is a folder"):
        (tmp_path / "f.xml").mkdir()
        write_faces([whole("c.jpg")], DLIB, tmp_path / "f.xml", IBUG68, overwrite=True)


def test_a_failure_in_the_middle_leaves_the_old_output(tmp_path):
    def breaking():
        yield whole("a.jpg")
        raise OSError(errno.ENOSPC, "full")

    for target in (tmp_path / "x.xml", tmp_path / "folder", tmp_path / "set.zip"):
        write_faces([whole("old.jpg")], DLIB, target, IBUG68)
        with pytest.raises(OSError, match="full"):
            write_faces(breaking(), DLIB, target, IBUG68, overwrite=True)
        assert [face.image for face in read(target)] == ["old.jpg"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "set.zip", "x.xml"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_export_leaves_the_old_output_and_the_next_cleans_up(tmp_path, number):
    target = tmp_path / "out"
    write_faces([whole("old.jpg")], DLIB, target, IBUG68)
    code = f"""
        import signal
        import time
        from pathlib import Path
        from tests.curation.test_write_annotations import DLIB, IBUG68, write_faces, whole
        # What is started in the background of a script ignores it, and so do its children.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        def slow():
            yield whole("new.jpg")
            print("writing", flush=True)
            time.sleep(60)
        write_faces(slow(), DLIB, Path({str(target)!r}), IBUG68, overwrite=True)
        """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"writing\n"
        os.kill(process.pid, number)
        process.wait(20)
    assert [face.image for face in read(target)] == ["old.jpg"]
    time.sleep(0.01)
    write_faces([whole("new.jpg")], DLIB, target, IBUG68, overwrite=True)
    assert [face.image for face in read(target)] == ["new.jpg"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_an_address_gets_the_files_whole(tmp_path):
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    write_faces([whole("a.jpg")], DLIB, "memory://bucket/set/x.xml", IBUG68, scratch=tmp_path)
    assert list(memory.store) == ["/bucket/set/x.xml"]
    split = [make_face("a.jpg", split="train"), make_face("b.jpg", split="test")]
    write_faces(split, DLIB, "memory://bucket/lists", IBUG68, scratch=tmp_path)
    assert len(read("memory://bucket/lists")) == 2
    with pytest.raises(ParamsError, match="exists already"):
        write_faces(split, DLIB, "memory://bucket/lists", IBUG68, scratch=tmp_path)
    assert list(tmp_path.iterdir()) == []
    memory.store.clear()


def test_no_face_is_an_error_and_no_file(tmp_path):
    with pytest.raises(InputError, match=r"no face could be written; skipped: 1 faces \(bad_box\)"):
        write_faces([Skipped("bad_box", "", "")], DLIB, tmp_path / "x.xml", IBUG68)
    assert list(tmp_path.iterdir()) == []


def test_the_format_follows_from_the_ending_where_only_one_has_it():
    known = {"dlib-xml": DLIB, "youtube-faces-csv": formats.get("youtube-faces-csv")}
    assert target_format("x.xml", None, known) is DLIB
    assert target_format("x.xml", "youtube-faces-csv", known).name == "youtube-faces-csv"
    with pytest.raises(ParamsError, match="--to with one of dlib-xml, youtube-faces-csv, or a name ending"):
        target_format("x.json", None, known)
    with pytest.raises(ParamsError, match="--to with one of dlib-xml, cvat"):
        target_format("x.xml", None, {"dlib-xml": DLIB, "cvat": DLIB})

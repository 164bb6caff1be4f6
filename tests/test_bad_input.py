"""Bad input, as a user meets it: one line that names the place and exit code 2, or a counted skip."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import tarfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from flmd.cli import flmd
from flmd.cli import flmd_data as command
from tests.factories import convert_list, make_face, write_picture

HEAD = "<?xml version='1.0' encoding='ISO-8859-1'?>\n"
COLUMNS = "," + ",".join(str(i) for i in range(136)) + "\n"


def parts(count: int = 68, **changed: str) -> str:
    """Part elements 00 ...; ``p05="x='a' y='2'"`` changes one."""
    texts = []
    for i in range(count):
        where = changed.get(f"p{i:02d}", f"x='{40 + i % 9 * 5}' y='{30 + i // 9 * 5}'")
        texts.append(f"<part name='{i:02d}' {where}/>")
    return "\n".join(texts)


def box(inside: str) -> str:
    return f"<box top='30' left='40' width='41' height='41'>\n{inside}\n</box>\n"


def document(*boxes: str, image: str = "a.png") -> str:
    inside = "".join(f"<image file='{image}'>\n{b}</image>\n" for b in boxes)
    return f"{HEAD}<dataset>\n<images>\n{inside}</images>\n</dataset>\n"


class Outcome:
    """What a command did: exit code, standard output, standard error."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    def one_line_error(self) -> str:
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert self.code == 2, (self.code, self.err)
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err
        return lines[0]


@pytest.fixture
def flmd_data(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """Run `flmd-data` (or `flmd`, with ``entry=flmd``) in this process."""

    def call(*arguments: object, entry: object = command) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["flmd", *map(str, arguments)])
        start = time.monotonic()
        with pytest.raises(SystemExit) as ended:
            entry.main()  # type: ignore[attr-defined]
        assert time.monotonic() - start < 60, "no input may hang a command"
        captured = capsys.readouterr()
        return Outcome(int(ended.value.code or 0), captured.out, captured.err)

    return call


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one good picture."""
    rng = np.random.default_rng(0)
    write_picture(tmp_path / "a.png", rng.integers(0, 255, (120, 140, 3), dtype=np.uint8))
    return tmp_path


def convert(flmd_data, folder: Path, name: str, text: str | bytes):  # type: ignore[no-untyped-def]
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode("latin-1"))
    report = folder / "report.json"
    done = flmd_data("convert", path, folder / "out.h5", "--workers", 1, "--report", report)
    found = json.loads(report.read_text()) if report.exists() else None
    return done, found


def skipped(found: dict[str, dict[str, dict[str, int]]]) -> dict[str, int]:
    return {reason: entry["count"] for reason, entry in found["skipped"].items()}


def test_a_good_file_first(flmd_data, folder: Path) -> None:  # type: ignore[no-untyped-def]
    done, found = convert(flmd_data, folder, "good.xml", document(box(parts())))
    assert (done.code, found["faces_kept"], found["faces_skipped"]) == (0, 1, 0)


def test_truncated_xml(flmd_data, folder: Path) -> None:  # type: ignore[no-untyped-def]
    text = document(box(parts()), box(parts()))
    done, _ = convert(flmd_data, folder, "cut.xml", text[: int(len(text) * 0.7)])
    assert "cut.xml:" in done.one_line_error()
    assert not (folder / "out.h5").exists()


def test_entity_bomb(flmd_data, folder: Path) -> None:  # type: ignore[no-untyped-def]
    laughs = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 12))
    bomb = HEAD + f'<!DOCTYPE dataset [<!ENTITY l0 "ha">{laughs}]>\n<dataset><images>&l11;</images></dataset>'
    done, _ = convert(flmd_data, folder, "bomb.xml", bomb)
    assert "bomb.xml" in done.one_line_error()


def test_external_entity(flmd_data, folder: Path) -> None:  # type: ignore[no-untyped-def]
    (folder / "secret.txt").write_text("a.png")
    text = (
        f"{HEAD}<!DOCTYPE dataset [<!ENTITY x SYSTEM 'file://{folder}/secret.txt'>]>\n"
        f"<dataset><images><image file='&x;'>{box(parts())}</image></images></dataset>"
    )
    done, _ = convert(flmd_data, folder, "external.xml", text)
    assert "external.xml" in done.one_line_error()
    assert not (folder / "out.h5").exists()


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (parts(67), "wrong_point_count"),
        (parts(p05="x='abc' y='2'"), "not_a_number"),
        (parts(p05="x='nan' y='2'"), "not_a_number"),
        (parts(p05="x='inf' y='2'"), "not_a_number"),
        (parts() + "<part name='07' x='1' y='1'/>", "duplicate_part"),
        (parts(67) + "<part name='nose' x='1' y='1'/>", "unknown_part"),
    ],
)
def test_bad_faces_are_counted_and_the_good_one_survives(  # type: ignore[no-untyped-def]
    flmd_data, folder: Path, bad: str, reason: str
) -> None:
    done, found = convert(flmd_data, folder, "mixed.xml", document(box(bad), box(parts())))
    assert done.code == 0
    assert found["faces_kept"] == 1
    assert skipped(found) == {reason: 1}
    assert "mixed.xml" in found["skipped"][reason]["first"][0]


def row(name: str, values: list[str]) -> str:
    return ",".join([name, *values]) + "\n"


GOOD_ROW = row("a.png", [f"{20.0 + i % 50}" for i in range(136)])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (COLUMNS + row("a.png", ["1.0"] * 100) + GOOD_ROW, "short_row"),
        (COLUMNS + row("a.png", ["1.0"] * 5 + ["NaN"] + ["1.0"] * 130) + GOOD_ROW, "not_a_number"),
        (COLUMNS + row("a.png", ["1.0"] * 5 + ["x"] + ["1.0"] * 130) + GOOD_ROW, "not_a_number"),
    ],
)
def test_bad_rows_are_counted(flmd_data, folder: Path, text: str, reason: str) -> None:  # type: ignore[no-untyped-def]
    done, found = convert(flmd_data, folder, "training_frames_keypoints.csv", text)
    assert done.code == 0
    assert (found["faces_kept"], skipped(found)) == (1, {reason: 1})
    assert "training_frames_keypoints.csv:2" in found["skipped"][reason]["first"][0]


@pytest.mark.parametrize("text", ["", COLUMNS.replace(",77,", ",") + GOOD_ROW])
def test_empty_csv_and_missing_column(flmd_data, folder: Path, text: str) -> None:  # type: ignore[no-untyped-def]
    done, _ = convert(flmd_data, folder, "training_frames_keypoints.csv", text)
    assert "training_frames_keypoints.csv" in done.one_line_error()


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "image_missing"),
        (b"", "image_empty"),
        (b"some text, not a picture", "image_unknown"),
        ("truncated", "image_truncated"),
        (png(1, 1), "image_too_small"),
        (png(30000, 30000), "image_too_large"),
    ],
)
def test_bad_pictures_are_counted(  # type: ignore[no-untyped-def]
    flmd_data, folder: Path, content: bytes | str | None, reason: str
) -> None:
    if content == "truncated":
        content = (folder / "a.png").read_bytes()[:3000]
    if content is not None:
        (folder / "b.jpg").write_bytes(content)  # type: ignore[arg-type]
    good = document(box(parts())).removesuffix("</images>\n</dataset>\n")
    text = good + f"<image file='b.jpg'>{box(parts())}</image></images></dataset>"
    done, found = convert(flmd_data, folder, "pictures.xml", text)
    assert done.code == 0
    assert (found["faces_kept"], skipped(found)) == (1, {reason: 1})
    assert "b.jpg" in found["skipped"][reason]["first"][0]


def test_cmyk_and_16_bit_pictures_are_read(flmd_data, folder: Path) -> None:  # type: ignore[no-untyped-def]
    from PIL import Image

    rgb = Image.open(folder / "a.png")
    rgb.convert("CMYK").save(folder / "b.jpg", "JPEG")
    done, found = convert(flmd_data, folder, "cmyk.xml", document(box(parts()), image="b.jpg"))
    assert (done.code, found["faces_kept"]) == (0, 1)
    deep = np.asarray(rgb.convert("L")).astype(np.uint16) * 257
    Image.fromarray(deep).save(folder / "c.png")
    (folder / "out.h5").unlink()
    done, found = convert(flmd_data, folder, "deep.xml", document(box(parts()), image="c.png"))
    assert (done.code, found["faces_kept"]) == (0, 1)


def test_tar_member_that_climbs_out(flmd_data, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        info = tarfile.TarInfo("../../x")
        info.size = 3
        tar.addfile(info, io.BytesIO(b"abc"))
    error = flmd_data("convert", tmp_path / "evil.tar", tmp_path / "o.h5").one_line_error()
    assert "evil.tar" in error
    assert "../../x" in error


def test_stores_that_are_none(flmd_data, folder: Path) -> None:  # type: ignore[no-untyped-def]
    _, store = convert_list(folder, [make_face("a.png")], folder / "s.h5")
    store.close()
    raw = (folder / "s.h5").read_bytes()
    (folder / "cut.h5").write_bytes(raw[: len(raw) // 2])
    (folder / "text.h5").write_text("text")
    with h5py.File(folder / "s.h5", "r+") as file:
        file.attrs["version"] = 99
    for name, words in (("cut.h5", "truncated"), ("text.h5", "not an HDF5 file"), ("s.h5", "later flmd")):
        error = flmd_data("inspect", folder / name).one_line_error()
        assert name in error
        assert words in error


def test_command_line_mistakes(flmd_data, folder: Path) -> None:  # type: ignore[no-untyped-def]
    (folder / "l.xml").write_text(document(box(parts())))
    (folder / "old.h5").write_text("keep me")
    cases = {
        ("convert", folder / "none.xml", folder / "o.h5"): "none.xml: no such file",
        ("convert", folder / "l.xml", folder / "old.h5"): "add --overwrite",
        ("convert", folder / "l.xml", folder / "o.h5", "--from", "dlib-xlm"): "did you mean 'dlib-xml'",
        ("convert", folder / "l.xml", folder / "o.h5", "--scheme", "ibug86"): "did you mean 'ibug68'",
        (
            "convert",
            folder / "l.xml",
            folder / "o.h5",
            "--box",
            "round",
        ): "'--box': 'round' is not one of 'annotated', 'landmarks', 'image'",
        (
            "convert",
            folder / "l.xml",
            folder / "o.h5",
            "--crop-size",
            "-1",
        ): "a crop of -1 pixels; expected 8 or more",
        ("convert", folder / "l.xml", folder / "o.h5", "--workers", "0"): "workers is 0",
        ("convrt",): "No such command",
        ("convert", folder / "a.png", folder / "o.h5"): "no known format fits",
    }
    for arguments, words in cases.items():
        assert words in flmd_data(*arguments).one_line_error()
    assert (folder / "old.h5").read_text() == "keep me"


def test_unknown_network_and_missing_model(flmd_data, folder: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    from tests.pipeline.project import ROOT

    _, store = convert_list(
        folder, [make_face("a.png", seed=i, subject=str(i)) for i in range(4)], folder / "s.h5"
    )
    store.close()
    text = (ROOT / "params.yaml").read_text().replace("network: xception", "network: xceptoin")
    (tmp_path / "p.yaml").write_text(text)
    arguments = ("train", folder / "s.h5", "-o", tmp_path / "run", "--params", tmp_path / "p.yaml")
    assert "did you mean 'xception'" in flmd_data(*arguments, entry=flmd).one_line_error()
    arguments = ("evaluate", folder / "s.h5", "-m", tmp_path / "none.pt", "-o", tmp_path / "e")
    assert "none.pt" in flmd_data(*arguments, entry=flmd).one_line_error()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("cannot mount a small tmpfs here (needs root)")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_full_disk_keeps_the_old_store(flmd_data, folder: Path, small_disk: Path) -> None:  # type: ignore[no-untyped-def]
    target = small_disk / "faces.h5"
    done, _ = convert(flmd_data, folder, "one.xml", document(box(parts())))
    assert done.code == 0
    one = folder / "one.xml"
    assert flmd_data("convert", one, target, "--crop-size", 64, "--workers", 1).code == 0
    before = target.read_bytes()
    many = folder / "many.xml"
    many.write_text(document(*[box(parts())] * 40))
    done = flmd_data("convert", many, target, "--overwrite", "--crop-size", 256, "--workers", 1)
    assert "disk is full" in done.one_line_error()
    assert target.read_bytes() == before
    assert [p.name for p in small_disk.iterdir()] == ["faces.h5"]


def test_full_disk_keeps_the_old_annotations(flmd_data, folder: Path, small_disk: Path) -> None:  # type: ignore[no-untyped-def]
    target = small_disk / "faces.json"
    one, many = folder / "one.xml", folder / "many.xml"
    one.write_text(document(box(parts())))
    many.write_text(document(*[box(parts())] * 2500))  # over 2 MB of JSON
    assert flmd_data("convert", one, target, "--to", "coco").code == 0
    before = target.read_bytes()
    done = flmd_data("convert", many, target, "--to", "coco", "--overwrite")
    assert "disk is full" in done.one_line_error()
    assert target.read_bytes() == before
    assert [p.name for p in small_disk.iterdir()] == ["faces.json"]

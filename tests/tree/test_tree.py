"""A folder, a tar and a zip of the same files are the same tree; hostile ones are refused."""

from __future__ import annotations

import gzip
import io
import multiprocessing
import os
import pickle
import random
import signal
import stat
import struct
import subprocess
import sys
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import flmd
from flmd.errors import InputError
from flmd.tree import FileTree, Limits, open_beside, open_tree, pack_folder
from flmd.tree.names import is_junk

Files = Mapping[str, bytes]
Maker = Callable[[Path, Files], Path]


def make_folder(at: Path, files: Files) -> Path:
    for name, data in files.items():
        (at / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (at / "folder" / name).write_bytes(data)
    (at / "folder").mkdir(exist_ok=True)
    return at / "folder"


def make_tar(at: Path, files: Files, mode: str = "w", name: str = "faces.tar") -> Path:
    with tarfile.open(at / name, mode, encoding="utf-8") as tar:  # type: ignore[call-overload]
        for member_name, data in files.items():
            member = tarfile.TarInfo(member_name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return at / name


def make_gz(at: Path, files: Files) -> Path:
    return make_tar(at, files, "w:gz", "gz")  # endings never matter


def make_bz2(at: Path, files: Files) -> Path:
    return make_tar(at, files, "w:bz2", "bz2.JPG")


def make_xz(at: Path, files: Files) -> Path:
    return make_tar(at, files, "w:xz", "xz.zip")


def make_zip(at: Path, files: Files, method: int = zipfile.ZIP_DEFLATED, name: str = "faces.zip") -> Path:
    with zipfile.ZipFile(at / name, "w", method) as archive:
        for member, data in files.items():
            archive.writestr(member, data)
    return at / name


def make_stored(at: Path, files: Files) -> Path:
    return make_zip(at, files, zipfile.ZIP_STORED, "stored.tar")


MAKERS: list[Maker] = [make_folder, make_tar, make_gz, make_bz2, make_xz, make_zip, make_stored]
KINDS = {make_folder: "folder", make_zip: "zip", make_stored: "zip"}

FILES: Files = {
    "helen/trainset/1 (2).JPG": bytes(range(256)) * 40,
    "helen/trainset/é ü.pts": b"version: 1\n",
    "ibug/" + "long" * 40 + ".png": random.Random(1).randbytes(300_000),
    "empty.txt": b"",
    "labels.xml": b"<dataset/>" * 5000,
}


@pytest.fixture(params=MAKERS, ids=lambda maker: maker.__name__)
def tree(request: pytest.FixtureRequest, tmp_path: Path):  # type: ignore[no-untyped-def]
    with open_tree(request.param(tmp_path, FILES), scratch=tmp_path / "scratch") as opened:
        assert opened.kind == KINDS.get(request.param, "tar")
        yield opened


def check_equal(tree: FileTree, files: Files) -> None:
    assert tree.names == sorted(files)
    for name, data in files.items():
        assert name in tree
        assert tree.size(name) == len(data)
        assert tree.read(name) == data


def test_names_and_bytes_come_back(tree: FileTree) -> None:
    check_equal(tree, FILES)
    assert "nobody.jpg" not in tree


def test_partial_reads_are_slices(tree: FileTree) -> None:
    for name, data in FILES.items():
        for start, size in [(0, 0), (0, 16), (5, 100), (250_000, 100_000), (10**9, 5), (7, None)]:
            assert tree.read(name, start, size) == data[start:][:size]
    with pytest.raises(ValueError, match="0 or more"):
        tree.read("labels.xml", -1, 5)


def test_streams_seek_both_ways(tree: FileTree) -> None:
    for name, data in FILES.items():
        with tree.open(name) as stream:
            assert stream.seekable()
            assert stream.read() == data
            assert stream.seek(len(data) // 2) == len(data) // 2
            assert stream.read(10) == data[len(data) // 2 :][:10]
            assert stream.seek(0, os.SEEK_END) == len(data)
            assert stream.read(1) == b""
            stream.seek(1)
            assert stream.read(3) == data[1:4]


def test_two_streams_do_not_share_a_position(tree: FileTree) -> None:
    with tree.open("labels.xml") as first, tree.open("labels.xml") as second:
        first.read(100)
        assert second.read(10) == b"<dataset/>"


def test_threads_read_the_same_bytes(tree: FileTree) -> None:
    names = [name for name in FILES for _ in range(40)]
    random.Random(2).shuffle(names)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(tree.read, names)) == [FILES[name] for name in names]


def test_pickle_round_trip(tree: FileTree) -> None:
    copy = pickle.loads(pickle.dumps(tree))
    check_equal(copy, FILES)
    assert (copy.origin, copy.kind) == (tree.origin, tree.kind)
    copy.close()
    check_equal(tree, FILES)  # closing a copy deletes nothing


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_worker_processes_read(tmp_path: Path, method: str) -> None:
    trees = [open_tree(maker(tmp_path, FILES), scratch=tmp_path) for maker in (make_gz, make_zip)]
    with multiprocessing.get_context(method).Pool(1) as pool:
        for tree in trees:
            found = pool.map(tree.read, tree.names)
            assert found == [FILES[name] for name in tree.names]
            tree.close()


def test_a_pickled_tree_does_not_depend_on_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tar(tmp_path, FILES)
    make_folder(tmp_path, FILES)
    monkeypatch.chdir(tmp_path)
    copies = [pickle.dumps(open_tree(name)) for name in ("faces.tar", "folder")]
    monkeypatch.chdir("/")
    for data in copies:
        check_equal(pickle.loads(data), FILES)


def test_a_worker_notices_another_file(tmp_path: Path) -> None:
    copy = pickle.loads(pickle.dumps(open_tree(make_tar(tmp_path, FILES))))
    make_tar(tmp_path, {"other": b"x"})
    with pytest.raises(InputError, match=r"faces\.tar: the file changed while it was in use"):
        copy.read("labels.xml")


def test_missing_name_and_closed_tree(tree: FileTree) -> None:
    with pytest.raises(InputError, match=r"nobody\.jpg: no such file"):
        tree.read("nobody.jpg")
    with pytest.raises(InputError, match="no such file"):
        tree.open("nobody.jpg")
    with pytest.raises(InputError, match="no such file"):
        tree.size("nobody.jpg")
    tree.close()
    with pytest.raises(ValueError, match="closed"):
        tree.read("labels.xml")


PARTS = st.text(
    st.characters(codec="utf-8", exclude_characters="/\\\0:", exclude_categories=["Cc", "Cs"]),
    min_size=1,
    max_size=12,
).filter(lambda part: part not in (".", "..") and not is_junk(part) and len(part.encode()) < 60)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    files=st.dictionaries(
        st.lists(PARTS, min_size=1, max_size=3).map(lambda parts: "/".join(["d", *parts])),
        st.binary(max_size=2000),
        max_size=6,
    )
)
def test_every_kind_gives_the_same_tree(files: Files, tmp_path_factory: pytest.TempPathFactory) -> None:
    names = list(files)
    if any(other.startswith(name + "/") for name in names for other in names):
        return  # a file and a folder of one name: no disk holds both
    at = tmp_path_factory.mktemp("same")
    for maker in (make_folder, make_tar, make_gz, make_zip, make_stored):
        with open_tree(maker(at, files), scratch=at) as tree:
            check_equal(tree, files)


def test_where_names_the_archive_and_the_member(tmp_path: Path) -> None:
    with open_tree(make_zip(tmp_path, {"helen/x.jpg": b""})) as tree:
        assert tree.origin == "faces.zip"
        assert tree.where("helen/x.jpg") == "faces.zip!helen/x.jpg"
    folder = make_folder(tmp_path, {"helen/x.jpg": b""})
    with open_tree(folder) as tree:
        assert tree.where("helen/x.jpg") == f"{folder}/helen/x.jpg"


def test_one_file_is_a_tree_of_one_name(tmp_path: Path) -> None:
    (tmp_path / "labels.tar.gz").write_bytes(b"<dataset>")  # the ending lies
    with open_tree(str(tmp_path / "labels.tar.gz")) as tree:
        assert tree.kind == "file"
        check_equal(tree, {"labels.tar.gz": b"<dataset>"})
        assert tree.where("labels.tar.gz") == str(tmp_path / "labels.tar.gz")


def test_junk_is_left_out(tmp_path: Path) -> None:
    junk = {
        "__MACOSX/a/._x.jpg": b"",
        "a/.DS_Store": b"",
        "a/.x.jpg.0.tmp/new/x.jpg": b"",
        "a/._x.jpg": b"",
        "Thumbs.db": b"",
        ".git/HEAD": b"",
    }
    for maker in MAKERS:
        with open_tree(maker(tmp_path, {"a/x.jpg": b"1", **junk})) as tree:
            assert tree.names == ["a/x.jpg"]


def test_names_are_made_uniform(tmp_path: Path) -> None:
    with open_tree(make_tar(tmp_path, {"./a//b.jpg": b"1"})) as tree:
        assert tree.names == ["a/b.jpg"]
    with open_tree(make_zip(tmp_path, {"data\\train\\b.jpg": b"1", "data\\empty\\": b""})) as tree:
        assert tree.names == ["data/train/b.jpg"]


def test_bytes_that_are_not_utf8_survive_and_show_safely(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9/\x1b[31mred.jpg")
    for maker in (make_folder, make_gz):
        with open_tree(maker(tmp_path, {name: b"1"})) as tree:
            check_equal(tree, {name: b"1"})
            assert tree.where(name).endswith(r"caf\xe9/\x1b[31mred.jpg")
            tree.where(name).encode("ascii")


def test_zip_names_without_the_utf8_flag(tmp_path: Path) -> None:
    path = make_zip(tmp_path, {"ab.jpg": b"1", "cd.jpg": b"2"})
    data = path.read_bytes().replace(b"ab.jpg", "é.jpg".encode()).replace(b"cd.jpg", b"\x82\x82.jpg")
    path.write_bytes(data)
    with open_tree(path) as tree:
        assert tree.names == sorted(["é.jpg", "éé.jpg"])  # UTF-8 where it is valid, else cp437


def test_zips_that_were_streamed_or_are_zip64(tmp_path: Path) -> None:
    class Pipe(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]
            return out.write(data)

    out = io.BytesIO()
    with zipfile.ZipFile(Pipe(), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in FILES.items():
            with archive.open(name, "w", force_zip64=True) as stream:
                stream.write(data)
    (tmp_path / "streamed").write_bytes(out.getvalue())
    with open_tree(tmp_path / "streamed") as tree:
        check_equal(tree, FILES)


def test_tar_from_before_posix(tmp_path: Path) -> None:
    data = bytearray(make_tar(tmp_path, {"a.pts": b"12"}).read_bytes())
    data[257:265] = bytes(8)  # no magic
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    (tmp_path / "old").write_bytes(data)
    with open_tree(tmp_path / "old") as tree:
        check_equal(tree, {"a.pts": b"12"})


# Refusals: each is one InputError that names the archive and the member.


def tar_member(at: Path, change: Callable[[tarfile.TarInfo], object], name: str = "evil") -> Path:
    with tarfile.open(at / "bad.tar", "w") as tar:
        member = tarfile.TarInfo(name)
        change(member)
        tar.addfile(member)
    return at / "bad.tar"


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        (tarfile.SYMTYPE, "symbolic link to x"),
        (tarfile.LNKTYPE, "hard link to x"),
        (tarfile.CHRTYPE, "device"),
        (tarfile.BLKTYPE, "device"),
        (tarfile.FIFOTYPE, "fifo"),
        (tarfile.GNUTYPE_SPARSE, "sparse"),
    ],
)
def test_special_tar_members_are_refused(tmp_path: Path, kind: bytes, word: str) -> None:
    def change(member: tarfile.TarInfo) -> None:
        member.type, member.linkname = kind, "x"

    with pytest.raises(InputError, match=rf"^bad\.tar!evil: it is a .*{word}"):
        open_tree(tar_member(tmp_path, change))


UNSAFE = [
    ("/etc/passwd", "absolute"),
    ("../up.jpg", "'..'"),
    ("a/../../up.jpg", "'..'"),
    ("C:\\win.ini", "drive letter"),
    ("c:win.ini", "drive letter"),
    ("a\\..\\..\\up.jpg", "'..'"),
    ("\\\\host\\share", "absolute"),
]


@pytest.mark.parametrize(("name", "word"), UNSAFE)
@pytest.mark.parametrize("maker", [make_tar, make_gz, make_zip])
def test_names_that_point_outside_are_refused(tmp_path: Path, maker: Maker, name: str, word: str) -> None:
    with pytest.raises(InputError, match=rf"^(faces\.(tar|zip)|gz)!\S+: the name .*{word}"):
        open_tree(maker(tmp_path, {"fine.jpg": b"", name: b"1"}))


@pytest.mark.parametrize("first", ["a/x.jpg", "a//x.jpg", "./a/x.jpg"])
def test_duplicate_names_are_refused(tmp_path: Path, first: str) -> None:
    pairs = [(first, b"1"), ("a/x.jpg", b"2")]
    with tarfile.open(tmp_path / "two.tar", "w") as tar:
        for name, data in pairs:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    with (
        pytest.warns() if first == "a/x.jpg" else zipfile.ZipFile(io.BytesIO(), "w"),
        zipfile.ZipFile(tmp_path / "two.zip", "w") as archive,
    ):
        for name, data in pairs:
            archive.writestr(name, data)
    for name in ("two.tar", "two.zip"):
        with pytest.raises(InputError, match=rf"^{name}!a/x\.jpg: the name occurs twice"):
            open_tree(tmp_path / name)


def test_special_zip_members_are_refused(tmp_path: Path) -> None:
    for kind, word in [(stat.S_IFLNK, "symbolic link"), (stat.S_IFIFO, "fifo")]:
        with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
            info = zipfile.ZipInfo("evil")
            info.external_attr = (kind | 0o777) << 16
            archive.writestr(info, "/etc/passwd")
        with pytest.raises(InputError, match=rf"^bad\.zip!evil: it is a .*{word}"):
            open_tree(tmp_path / "bad.zip")
    for method, word in [(zipfile.ZIP_BZIP2, "bzip2"), (zipfile.ZIP_LZMA, "LZMA")]:
        path = make_zip(tmp_path, {"evil": b"1" * 50}, method)
        with pytest.raises(InputError, match=rf"!evil: it is compressed with {word}"):
            open_tree(path)


def test_encrypted_zip_members_are_refused(tmp_path: Path) -> None:
    path = make_zip(tmp_path, {"secret.jpg": b"1"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"^faces\.zip!secret\.jpg: it is encrypted"):
        open_tree(path)


ZEROS = bytes(4 << 20)


@pytest.mark.parametrize("maker", [make_gz, make_bz2, make_xz, make_zip])
def test_a_high_ratio_is_refused(tmp_path: Path, maker: Maker) -> None:
    path = maker(tmp_path, {"zeros": ZEROS})
    with pytest.raises(InputError, match="ratio of at most 200"):
        open_tree(path, scratch=tmp_path / "scratch")
    assert not list((tmp_path / "scratch").glob("*"))  # and the unpacked bytes are gone
    with open_tree(path, limits=Limits(max_ratio=1e6)) as tree:
        assert tree.read("zeros") == ZEROS


@pytest.mark.parametrize("maker", [make_gz, make_zip])
def test_a_large_total_is_refused(tmp_path: Path, maker: Maker) -> None:
    path = maker(tmp_path, {"text": b"0123456789abcdef" * 40_000})
    with pytest.raises(InputError, match="expands to more than 600000 bytes"):
        open_tree(path, limits=Limits(max_total_bytes=600_000))


@pytest.mark.parametrize("maker", MAKERS)
def test_many_members_are_refused(tmp_path: Path, maker: Maker) -> None:
    path = maker(tmp_path, {f"{i}.jpg": b"" for i in range(11)})
    open_tree(path, limits=Limits(max_members=11)).close()
    with pytest.raises(InputError, match="more than 10 files"):
        open_tree(path, limits=Limits(max_members=10))


def test_a_plain_tar_or_folder_may_be_of_any_size(tmp_path: Path) -> None:
    for maker in (make_tar, make_folder, make_stored):
        open_tree(maker(tmp_path, FILES), limits=Limits(max_total_bytes=10)).close()


def patch_directory(path: Path, offset: int, value: int) -> None:
    data = bytearray(path.read_bytes())
    struct.pack_into("<L", data, data.index(b"PK\1\2") + offset, value)
    path.write_bytes(data)


def test_a_zip_that_lies_about_its_size_is_stopped_while_inflating(tmp_path: Path) -> None:
    path = make_zip(tmp_path, {"zeros": ZEROS})
    patch_directory(path, 24, 1000)
    with open_tree(path) as tree:
        for read in (tree.read, lambda name: tree.open(name).read()):
            with pytest.raises(InputError, match=r"faces\.zip!zeros: .*more than the 1000 bytes"):
                read("zeros")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_wrong_crc_is_an_error(tmp_path: Path, method: int) -> None:
    path = make_zip(tmp_path, {"x.jpg": b"hello world"}, method)
    patch_directory(path, 16, 0x12345678)
    right = f"{zlib.crc32(b'hello world'):08x}"
    with open_tree(path) as tree:
        assert tree.read("x.jpg", 0, 5) == b"hello"
        for read in (tree.read, lambda name: tree.open(name).read()):
            with pytest.raises(InputError, match=f"CRC-32 is {right} and should be 12345678"):
                read("x.jpg")


def test_damaged_deflate_data_is_an_error(tmp_path: Path) -> None:
    path = make_zip(tmp_path, {"x.xml": FILES["labels.xml"] + FILES["ibug/" + "long" * 40 + ".png"]})
    data = bytearray(path.read_bytes())
    data[60:200] = b"\xff" * 140
    path.write_bytes(data)
    with open_tree(path) as tree, pytest.raises(InputError, match=r"faces\.zip!x\.xml: .*corrupt"):
        tree.read("x.xml")


@pytest.mark.parametrize("maker", [make_tar, make_gz, make_bz2, make_xz, make_zip])
def test_truncated_archives_are_one_line_errors(tmp_path: Path, maker: Maker) -> None:
    path = maker(tmp_path, FILES)
    data = path.read_bytes()
    cuts = [len(data) * i // 23 for i in range(2, 23)]
    if maker is make_tar:
        padding = len(data) - len(data.rstrip(b"\0"))
        cuts = [cut for cut in cuts if cut < len(data) - padding] + [1024, 1536]
    for cut in cuts:
        path.write_bytes(data[:cut])
        with pytest.raises(InputError, match=r"truncated|corrupt") as caught:
            open_tree(path, scratch=tmp_path / "scratch")
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "scratch").exists() or not list((tmp_path / "scratch").iterdir())


def test_a_tar_that_loses_members_silently_elsewhere_is_refused(tmp_path: Path) -> None:
    """tarfile takes a damaged header, a hole of zeros or a lost end for the end of the archive."""
    path = make_tar(tmp_path, {f"{i}.jpg": b"x" * 1000 for i in range(5)})
    data = path.read_bytes()
    step = 512 + 1024
    damaged = bytearray(data)
    damaged[2 * step + 20] ^= 0xFF
    hole = data[: 2 * step] + bytes(2 * step) + data[4 * step :]
    for bad in (bytes(damaged), hole, data[: 5 * step], data + data):
        path.write_bytes(bad)
        with pytest.raises(InputError, match=r"faces\.tar: the tar archive is truncated or corrupt"):
            open_tree(path)


def test_hostile_tar_headers_neither_hang_nor_trace(tmp_path: Path) -> None:
    plain = make_tar(tmp_path, {"é" * 80: b"x" * 600, "b": b"y"}).read_bytes()
    dice = random.Random(3)
    refused = 0
    started = time.monotonic()
    for _ in range(400):
        data = bytearray(plain)
        block = dice.randrange(6) * 512
        for _ in range(dice.randrange(1, 4)):
            data[block + dice.choice([124, 125, 130, 156, 257, 263, dice.randrange(512)])] = dice.randrange(
                256
            )
        data[block + 148 : block + 156] = b" " * 8
        data[block + 148 : block + 156] = b"%06o\0 " % sum(data[block : block + 512])
        (tmp_path / "fuzz").write_bytes(data)
        try:
            with open_tree(tmp_path / "fuzz") as tree:
                for name in tree.names:
                    assert len(tree.read(name)) == tree.size(name)
        except InputError:
            refused += 1
    assert time.monotonic() - started < 10
    assert refused > 50


def test_a_tar_header_that_leads_backwards_is_refused(tmp_path: Path) -> None:
    """A negative size sends tarfile round for ever (CVE-2025-8194)."""
    data = bytearray(make_tar(tmp_path, {"a": b"", "b": b""}).read_bytes())
    data[512 + 124 : 512 + 136] = b"\xff" * 10 + struct.pack(">h", -1024)
    data[512 + 148 : 512 + 156] = b" " * 8
    data[512 + 148 : 512 + 156] = b"%06o\0 " % sum(data[512:1024])
    (tmp_path / "loop.tar").write_bytes(data)
    with pytest.raises(InputError, match=r"loop\.tar: the tar archive is .*corrupt"):
        open_tree(tmp_path / "loop.tar")


def test_hostile_zips_neither_hang_nor_trace(tmp_path: Path) -> None:
    plain = make_zip(tmp_path, {"a/é.jpg": b"x" * 600, "b": b"y"}).read_bytes()
    dice = random.Random(4)
    refused = 0
    for _ in range(600):
        data = bytearray(plain)
        for _ in range(dice.randrange(1, 4)):
            data[dice.randrange(4, len(data))] = dice.choice([0, 1, 0x7F, 0xFF, dice.randrange(256)])
        (tmp_path / "fuzz").write_bytes(data)
        try:
            with open_tree(tmp_path / "fuzz") as tree:
                for name in tree.names:
                    assert len(tree.read(name)) == tree.size(name)
        except InputError:
            refused += 1
    assert refused > 50


def test_foreign_archives_are_named(tmp_path: Path) -> None:
    for magic, kind in [
        (b"7z\xbc\xaf\x27\x1c", "7z"),
        (b"Rar!\x1a\x07\0", "RAR"),
        (b"\x28\xb5\x2f\xfd", "Zst"),
    ]:
        (tmp_path / "x.zip").write_bytes(magic + bytes(600))
        with pytest.raises(InputError, match=f"a {kind}.* archive; expected a folder, tar"):
            open_tree(tmp_path / "x.zip")
    (tmp_path / "x.gz").write_bytes(gzip.compress(b"0,1,2\n"))
    with pytest.raises(InputError, match=r"x\.gz: gzip data without a tar inside"):
        open_tree(tmp_path / "x.gz")


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        open_tree(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(InputError, match="neither a file nor a folder"):
        open_tree(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "folder" / "fifo")
    with pytest.raises(InputError, match=r"folder/fifo: it is neither a file nor a folder"):
        open_tree(tmp_path / "folder")


# Folders and links.


def test_links_that_leave_the_folder_are_passed_over_and_refused_when_read(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("x")
    folder = make_folder(tmp_path, {"a/x.jpg": b"1"})
    for target in (tmp_path / "secret.txt", tmp_path, Path("../../secret.txt"), Path("/")):
        (folder / "a" / "out").symlink_to(target)
        with open_tree(folder) as tree:
            assert tree.names == ["a/x.jpg"]
            assert list(tree.passed_over) == ["a/out"]
            for name in ("a/out", "a/out/secret.txt"):
                assert name in tree
                for use in (tree.read, tree.open, tree.size):
                    with pytest.raises(InputError, match=r"a/out: a symbolic link that leaves the folder"):
                        use(name)
        (folder / "a" / "out").unlink()
    (folder / "a" / "self").symlink_to("self")
    with (
        open_tree(folder) as tree,
        pytest.raises(InputError, match=r"folder/a/self: a symbolic link that leads nowhere"),
    ):
        tree.read("a/self")


# One file, and what it names.


def test_of_what_lies_beside_a_file_only_what_is_named_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("x")
    folder = make_folder(
        tmp_path, {"l.json": b"{}", "b.jpg": b"2", "l/1.jpg": b"3", "a/x.jpg": b"1", "a/b/y.jpg": b"4"}
    )
    os.mkfifo(folder / "fifo")
    (folder / "out").symlink_to(tmp_path)
    (folder / "a" / "out").symlink_to(tmp_path / "secret.txt")
    (folder / "a" / "back").symlink_to("../b.jpg")
    (folder / "closed").mkdir(mode=0)
    with open_beside(folder / "l.json") as tree:
        assert tree.names == ["b.jpg", "l.json", "l/1.jpg"]
        assert [tree.read(name) for name in ("a/x.jpg", "a/b/y.jpg", "a/back", "l/1.jpg")] == [
            b"1", b"4", b"2", b"3"
        ]  # fmt: skip
        for name in (
            "a",
            "a/no.jpg",
            "../secret.txt",
            "a/../../secret.txt",
            "/etc/hostname",
            "a//x.jpg",
            "a/\0",
        ):
            assert name not in tree
            with pytest.raises(InputError, match="no such file"):
                tree.read(name)
        for name in ("out/secret.txt", "a/out"):
            with pytest.raises(InputError, match="a symbolic link that leaves the folder"):
                tree.read(name)
        copy = pickle.loads(pickle.dumps(tree))
        assert copy.read("a/b/y.jpg") == b"4"
    (folder / "closed").chmod(0o700)


def test_all_names_leave_out_hidden_folders_and_virtual_environments(tmp_path: Path) -> None:
    files = ("l.json", "a/x.jpg", "a/b/y.jpg", ".cache/z.jpg", "env/pyvenv.cfg", "env/lib/w.jpg")
    folder = make_folder(tmp_path, dict.fromkeys(files, b""))
    with open_beside(folder / "l.json", limits=Limits(max_members=4)) as tree:
        assert tree.all_names() == ["a/b/y.jpg", "a/x.jpg", "l.json"]
    with open_tree(folder) as tree:
        assert set(tree.all_names()) == set(files)


def test_a_view_of_some_files_reads_them_alone(tmp_path: Path) -> None:
    with open_tree(make_folder(tmp_path, {"a": b"1", "b": b"2"})) as tree:
        view = tree.only(["b"])
        assert (view.names, "a" in view, view.read("b")) == (["b"], False, b"2")
        assert tree.names == ["a", "b"]


def test_links_inside_the_folder_are_followed_and_loops_end(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, {"a/x.jpg": b"1", "b/y.jpg": b"2"})
    (folder / "a" / "z.jpg").symlink_to("x.jpg")
    (folder / "a" / "top").symlink_to("..")
    (folder / "c").symlink_to("b")
    with open_tree(folder) as tree:
        check_equal(tree, {"a/x.jpg": b"1", "a/z.jpg": b"1", "b/y.jpg": b"2", "c/y.jpg": b"2"})
    (tmp_path / "link").symlink_to(folder)  # the folder itself may be a link
    with open_tree(tmp_path / "link") as tree:
        assert len(tree.names) == 4


# The unpacked copy of a compressed tar.


def test_the_unpacked_copy_is_deleted(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    with open_tree(make_gz(tmp_path, FILES), scratch=scratch):
        (unpacked,) = scratch.iterdir()
        assert unpacked.name == ".flmd-unpacked.0.tmp"
    assert not list(scratch.iterdir())
    tree = open_tree(make_gz(tmp_path, FILES), scratch=scratch)
    del tree
    assert not list(scratch.iterdir())


def test_a_killed_process_leaves_nothing_for_long(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    path = make_gz(tmp_path, FILES)
    code = (
        "import sys, time; from pathlib import Path; from flmd.tree import open_tree\n"
        "tree = open_tree(sys.argv[1], scratch=Path(sys.argv[2])); print('open', flush=True); time.sleep(60)"
    )
    root = str(Path(flmd.__file__).parents[1])
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(path), str(scratch)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert child.stdout is not None
    with child.stdout:
        assert child.stdout.readline() == b"open\n"
        with open_tree(path, scratch=scratch):
            assert len(list(scratch.iterdir())) == 2  # a live one is left alone
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert len(list(scratch.iterdir())) == 1
    with open_tree(path, scratch=scratch):
        assert len(list(scratch.iterdir())) == 1  # only the new one
    assert not list(scratch.iterdir())


# Packing.


def test_packing_depends_on_names_and_bytes_alone(tmp_path: Path) -> None:
    files = {**FILES, os.fsdecode(b"caf\xe9.pts"): b"1", "back\\slash.txt": b"2"}
    packed = []
    for run, order in enumerate([list(files), list(reversed(files))]):
        at = tmp_path / str(run)
        folder = make_folder(at, {name: files[name] for name in order})
        os.utime(folder / "empty.txt", (run, run))
        (folder / "empty.txt").chmod(0o600 + run)
        (folder / ".DS_Store").write_bytes(b"%d" % run)
        pack_folder(folder, at / "out" / "packed")
        packed.append((at / "out" / "packed").read_bytes())
        assert [path.name for path in (at / "out").iterdir()] == ["packed"]
        with open_tree(at / "out" / "packed") as tree:
            check_equal(tree, files)
    assert packed[0] == packed[1]
    with tarfile.open(fileobj=io.BytesIO(packed[0])) as tar:
        for member in tar:
            assert (member.mtime, member.uid, member.gid, member.mode) == (0, 0, 0, 0o644)


def test_packing_refuses(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.write_bytes(b"old")
    with pytest.raises(InputError, match="no such folder"):
        pack_folder(tmp_path / "nowhere", target)
    with pytest.raises(InputError, match="holds no files"):
        pack_folder(make_folder(tmp_path, {}), target)
    folder = make_folder(tmp_path, {"x": b""})
    with pytest.raises(InputError, match="into the folder that it packs"):
        pack_folder(folder, folder / "deep" / "out")
    (folder / "out").symlink_to("/etc/hostname")
    with pytest.raises(InputError, match="leaves the folder"):
        pack_folder(folder, target)
    assert target.read_bytes() == b"old"


@pytest.mark.parametrize("place", [".cache", "env/bin"])
def test_links_of_hidden_folders_and_virtual_environments_do_not_stop_packing(
    tmp_path: Path, place: str
) -> None:
    folder = tmp_path / "data"
    (folder / place).mkdir(parents=True)
    (folder / "a.jpg").write_bytes(b"a")
    (folder / "env").mkdir(exist_ok=True)
    (folder / "env" / "pyvenv.cfg").write_text("")
    (folder / place / "python").symlink_to("/bin/sh")
    pack_folder(folder, tmp_path / "out.tar")
    with tarfile.open(tmp_path / "out.tar") as tar:
        assert tar.getnames() == ["a.jpg", "env/pyvenv.cfg"]
    (folder / "b.jpg").symlink_to("/bin/sh")
    with pytest.raises(InputError, match="b.jpg: a symbolic link that leaves the folder"):
        pack_folder(folder, tmp_path / "out2.tar")

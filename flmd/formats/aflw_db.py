"""AFLW's data base, read from a file that somebody else made: its tables alone, for a limited time."""

from __future__ import annotations

import contextlib
import re
import shutil
import sqlite3
from collections.abc import Iterator
from itertools import groupby, islice
from typing import Any
from urllib.parse import quote

from flmd.core.atomic import ScratchFile, default_folder
from flmd.errors import InputError, one_line
from flmd.tree import FileTree

MAGIC = b"SQLite format 3\0"
FEATURES = (
    "LeftBrowLeftCorner", "LeftBrowCenter", "LeftBrowRightCorner",
    "RightBrowLeftCorner", "RightBrowCenter", "RightBrowRightCorner",
    "LeftEyeLeftCorner", "LeftEyeCenter", "LeftEyeRightCorner",
    "RightEyeLeftCorner", "RightEyeCenter", "RightEyeRightCorner",
    "LeftEar", "NoseLeft", "NoseCenter", "NoseRight", "RightEar",
    "MouthLeftCorner", "MouthCenter", "MouthRightCorner", "ChinCenter",
)  # fmt: skip
EARS = ("LeftEar", "RightEar")
POINTS = tuple(feature for feature in FEATURES if feature not in EARS)
TABLES = {
    "Faces": ("face_id", "file_id", "db_id"),
    "FaceImages": ("image_id", "db_id", "file_id", "filepath", "bw", "width", "height"),
    "FaceRect": ("face_id", "x", "y", "w", "h"),
    "FeatureCoords": ("face_id", "feature_id", "x", "y"),
    "FeatureCoordTypes": ("feature_id", "descr", "code", "x", "y", "z"),
    "FacePose": ("face_id", "roll", "pitch", "yaw"),
    "FaceMetaData": ("face_id", "sex", "occluded", "glasses", "bw"),
}
_STRANGE = re.compile(r"virtual|without\s+rowid", re.IGNORECASE)
NEEDED = ("Faces", "FeatureCoords")
_USED = {  # the columns of the other tables that are asked for
    "FaceImages": ("file_id", "filepath", "width", "height"),
    "FaceRect": ("x", "y", "w", "h"),
    "FacePose": ("roll", "pitch", "yaw"),
    "FaceMetaData": ("sex", "occluded", "glasses", "bw"),
}
_MOST_ROWS = 1000  # of one face in FeatureCoords; the others are not looked at
_LARGEST = 4 << 30  # bytes; AFLW's has 30 million
_STEP = 100_000  # instructions of SQLite's machine between two looks at how many there were
_STEPS_PER_BYTE = 40  # AFLW's own takes less than ten

Record = dict[str, Any]


class Database:
    """An AFLW data base, open for reading; use it as a context manager.

    A copy in a scratch file is read: what lies in an archive has no path, and SQLite then finds no journal
    beside it. Views, virtual tables, functions of the schema, attached files and queries without end are
    refused. Raises InputError when it is no data base, is damaged, or has not the tables.
    """

    def __init__(self, tree: FileTree, name: str) -> None:
        self.where = tree.where(name)
        self._steps = _STEPS_PER_BYTE * tree.size(name) // _STEP + 100
        if tree.size(name) > _LARGEST:
            raise InputError(f"{tree.size(name)} bytes", where=self.where, expected=f"{_LARGEST} or less")
        self._copy = ScratchFile(default_folder(), "flmd-sqlite")
        try:
            with tree.open(name) as stream:
                shutil.copyfileobj(stream, self._copy.stream, 1 << 20)
            self._copy.stream.flush()
            path = quote(str(self._copy.path.absolute()))
            self._connection = sqlite3.connect(
                f"file:{path}?mode=ro&immutable=1", uri=True, isolation_level=None
            )
        except BaseException:
            self._copy.discard()
            raise
        try:
            with self._errors():
                self._restrict()
                self._columns = self._tables()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the data base and of the copy."""
        self._connection.close()
        self._copy.discard()

    def faces(self) -> Iterator[tuple[Record, list[tuple[Any, Any, Any]]]]:
        """Each face in the order of ``face_id``, with (feature, x, y) of its points.

        The record has ``face_id``, ``file_id`` and what ``_USED`` names, ``None`` where there is no row;
        of several rows of one face in a table the first counts. ``feature`` is a name of ``FEATURES`` or
        None. Both queries run side by side, so memory does not grow with the number of faces.
        """
        with self._errors():
            names = self._features()
            points = groupby(
                self._rows(
                    "SELECT face_id, feature_id, x, y FROM FeatureCoords ORDER BY face_id, feature_id"
                ),
                key=lambda row: row[0],
            )
            ahead = next(points, None)
            group = list(islice(ahead[1], _MOST_ROWS)) if ahead else []
            last: object = object()
            for record in self._records():
                face = record["face_id"]
                if face == last or not isinstance(face, int):
                    continue
                last = face
                while ahead and (not isinstance(ahead[0], int) or ahead[0] < face):
                    ahead = next(points, None)
                    group = list(islice(ahead[1], _MOST_ROWS)) if ahead else []
                mine = group if ahead and ahead[0] == face else []
                yield record, [(names.get(feature), x, y) for _, feature, x, y in mine]

    def _records(self) -> Iterator[Record]:
        """Every row of Faces with what other tables say of it.

        Of each other table the first row of every key is copied to a temporary table with an index: the
        file's own may have none, and then a join takes the product of the numbers of rows.
        """
        fields, joins = ["Faces.face_id", "Faces.file_id"], []
        for table, columns in _USED.items():
            key, kind = ("file_id", "TEXT") if table == "FaceImages" else ("face_id", "INTEGER")
            if key not in self._columns.get(table, ()):
                continue
            present = [c for c in columns if c in self._columns[table] and c != key]
            listed = ", ".join([key, *present])
            rest = "".join(f", {c}" for c in present)
            self._connection.execute(f"CREATE TEMP TABLE {table} ({key} {kind} PRIMARY KEY{rest})")
            self._connection.execute(
                f"INSERT OR IGNORE INTO temp.{table} SELECT {listed} FROM main.{table} "
                f"WHERE typeof({key}) IN ('text', 'integer') ORDER BY rowid"
            )
            fields += [f"{table}.{c} AS {table}_{c}" for c in present]
            joins.append(f"LEFT JOIN temp.{table} ON {table}.{key} = CAST(Faces.{key} AS {kind})")
        query = f"SELECT {', '.join(fields)} FROM main.Faces {' '.join(joins)} ORDER BY Faces.face_id"
        names = [field.rpartition(" ")[2].rpartition(".")[2] for field in fields]
        return (dict(zip(names, row, strict=True)) for row in self._rows(query))

    def _rows(self, query: str) -> Iterator[tuple[Any, ...]]:
        return self._connection.execute(query)

    def _features(self) -> dict[object, str]:
        """Which feature an id means: as the data base's own table says, else in AFLW's order from 1."""
        if {"feature_id", "descr"} <= set(self._columns.get("FeatureCoordTypes", ())):
            found = self._rows("SELECT feature_id, descr FROM FeatureCoordTypes LIMIT 1000")
            names = {feature: descr for feature, descr in found if descr in FEATURES}
            if names:
                return names
        return dict(enumerate(FEATURES, 1))

    def _restrict(self) -> None:
        connection = self._connection
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 1 << 20)
        connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        connection.set_progress_handler(self._count, _STEP)

    def _count(self) -> int:
        self._steps -= 1
        return int(self._steps < 0)  # not 0 stops the query

    def _tables(self) -> dict[str, tuple[str, ...]]:
        """The columns of AFLW's tables that are there, under their own names."""
        known = {table.lower(): table for table in TABLES}
        out: dict[str, tuple[str, ...]] = {}
        for kind, name, sql in self._rows("SELECT type, name, sql FROM sqlite_master LIMIT 10000"):
            table = known.get(str(name).lower())
            if table is None:
                continue
            # Columns that are VIRTUAL are refused with virtual tables: AFLW has neither.
            if kind != "table" or _STRANGE.search(str(sql)):
                raise InputError(f"{table} is no plain table", where=self.where, expected="AFLW's data base")
            found = {str(row[1]).lower() for row in self._rows(f"PRAGMA table_info({table})")}
            out[table] = tuple(c for c in TABLES[table] if c in found)
        for table in NEEDED:
            wanted = set(TABLES[table]) - {"db_id"}
            if missing := sorted(wanted - set(out.get(table, ()))):
                raise InputError(
                    f"table {table} has no column {missing[0]}" if table in out else f"no table {table}",
                    where=self.where,
                    expected="the data base of AFLW",
                )
        return out

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, UnicodeError, OverflowError, MemoryError) as error:
            # UnicodeError: SQLite's message quotes bytes of the file that are no text.
            what = f"a damaged or endless data base ({one_line(error)})"
            raise InputError(what, where=self.where) from None

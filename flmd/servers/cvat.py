"""CVAT: tasks with shapes go to a project, their shapes come back as CVAT for images 1.1.

The paths and bodies are those of CVAT's REST API 2 (https://docs.cvat.ai, ``/api/docs``). Shapes travel as
JSON, which all its versions take at once; a task is made in the background and waited for. A picture is
called by its path there, with ``/`` written ``%2F``: by that name it is known to be there already, and its
shapes find their picture again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tqdm import tqdm

from flmd.core.atomic import whole_or_nothing
from flmd.errors import FlmdError, InputError, SourceError
from flmd.formats.cvat_meta import BOX_LABEL, drawing
from flmd.schemes import Scheme
from flmd.servers.connection import Connection, RefusedError
from flmd.servers.cvat_shapes import Document, Labels, shapes_of
from flmd.servers.outgoing import Picture
from flmd.servers.pulled import Pulled

FACE = "face"
PAGE = 100
MOST, LARGEST = 50, 64 << 20  # pictures and bytes of a task
WAIT = 1800.0  # seconds for CVAT to make a task
_FAILED, _DONE = ("failed",), ("finished",)


class Cvat:
    """A project of a CVAT.

    Parameters
    ----------
    connection : to the server; its token may be a key of ``/api/auth/login`` or a personal access token.
    project : the number in the project's address. poll : seconds between two looks at a task being made.
    """

    def __init__(self, connection: Connection, project: int, poll: float = 1.0) -> None:
        self._server, self._project, self._poll = connection, project, poll
        self._asked: dict[str, int] = {}  # of whom a task is made: else it is of the user alone

    def push(self, pictures: list[Picture], scheme: Scheme, model: str) -> Iterator[Picture]:
        """Send the pictures that the project does not have, with their faces as shapes of source "auto".

        Yields them as soon as they are there, a task at a time. A task that does not get whole is removed.
        The project gets labels for the scheme where it has none.

        Parameters
        ----------
        model : named in the names of tasks.

        Raises
        ------
        InputError : the project's labels have no place for such faces. SourceError : what the server does.
        """
        self._enter()
        labels = self._labels_for(scheme)
        there = {frame["name"] for task in self._tasks() for frame in self._frames(task)}
        new = [picture for picture in pictures if encoded(picture.name) not in there]
        with tqdm(total=len(new), desc="push", unit="picture", disable=None) as bar:
            for batch in batches(new):
                self._send(batch, labels, f"{model} {batch[0][0].name}"[:200])
                bar.update(len(batch))
                yield from (picture for picture, _ in batch)

    def pull(self, target: Path) -> Pulled:
        """Write the pictures that have shapes, with these, as CVAT for images 1.1.

        Raises
        ------
        InputError : no picture has a shape. SourceError : what the server does.
        """
        self._enter()
        labels, tasks = list(self._labels()), list(self._tasks())
        done = Pulled()
        with whole_or_nothing(target) as new, new.open("w", encoding="utf-8") as file:
            writer = Document(file, labels)
            for task in tqdm(tasks, desc="pull", unit="task", disable=None):
                frames = self._frames(task)
                path = f"/api/tasks/{task}/annotations"
                try:
                    done.written += writer.add(self._server.get(path), frames, decoded)
                except (KeyError, TypeError, ValueError, IndexError, AttributeError):
                    raise self._server.lies(path, "shapes that cannot be understood") from None
                done.there += len(frames)
            writer.end()
            if not done.written:
                what = f"no picture of project {self._project} has a shape"
                raise InputError(
                    what, where=self._server.url, hint=f"it has {done.there} pictures in {len(tasks)} tasks"
                )
        return done

    def _send(self, batch: list[tuple[Picture, bytes]], labels: Labels, name: str) -> None:
        """Make one task with pictures and shapes; it is removed again when that does not end well."""
        body = {"name": name, "project_id": self._project}
        made = self._post("/api/tasks", params=self._asked, json=body)
        number = made.get("id") if isinstance(made, dict) else None
        if not isinstance(number, int):
            raise self._server.lies("/api/tasks", "without the number of the task")
        try:
            self._fill(number, batch, labels)
        except BaseException as error:
            try:
                self._server.send("DELETE", f"/api/tasks/{number}")
            except FlmdError:
                if isinstance(error, SourceError):
                    hint = f"remove task {number}, which is not whole, before you push again"
                    raise SourceError(error.what, where=error.where, hint=hint) from None
            raise

    def _fill(self, number: int, batch: list[tuple[Picture, bytes]], labels: Labels) -> None:
        path = f"/api/tasks/{number}/data"
        files = {
            f"client_files[{i}]": (encoded(picture.name), content, "application/octet-stream")
            for i, (picture, content) in enumerate(batch)
        }
        began = self._post(path, data={"image_quality": "95"}, files=files)
        self._wait(number, began.get("rq_id") if isinstance(began, dict) else None)
        index = {frame["name"]: i for i, frame in enumerate(self._frames(number))}
        if index.keys() != {encoded(picture.name) for picture, _ in batch}:
            raise self._server.lies(f"{path}/meta", "other pictures than those that were sent")
        shapes: list[dict[str, Any]] = []
        for picture, _ in batch:
            for face in picture.faces:
                shapes += shapes_of(face, index[encoded(picture.name)], len(shapes) + 1, labels)
        body = {"version": 0, "tags": [], "shapes": shapes, "tracks": []}
        path = f"/api/tasks/{number}/annotations"
        kept = self._server.send("PATCH", path, params={"action": "create"}, json=body)
        if not isinstance(kept, dict) or len(kept.get("shapes", ())) != len(shapes):
            raise self._server.lies(path, f"another number of shapes than the {len(shapes)} that were sent")

    def _wait(self, number: int, request: object) -> None:
        """Until CVAT has made a task of the uploaded pictures."""
        path = (
            f"/api/requests/{quote(request, safe='=&')}"
            if isinstance(request, str)
            else f"/api/tasks/{number}/status"
        )
        end = time.monotonic() + WAIT
        while True:
            answer = self._server.get(path)
            said = answer.get("status", answer.get("state")) if isinstance(answer, dict) else None
            if not isinstance(said, str):
                raise self._server.lies(path, "without a status")
            if said.lower() in _DONE:
                return
            if said.lower() in _FAILED:
                raise self._server.lies(path, f"that it failed: {str(answer.get('message', ''))[-160:]}")
            if time.monotonic() > end:
                raise self._server.lies(path, f"{said!r} after {WAIT:g} seconds")
            time.sleep(self._poll)

    def _post(self, path: str, **body: Any) -> Any:
        return self._server.send("POST", path, **body)

    def _tasks(self) -> Iterator[int]:
        """The numbers of the tasks that have pictures."""
        for task in listed(self._server, "/api/tasks", project_id=self._project):
            if task.get("size", 1):
                yield task["id"]

    def _frames(self, number: int) -> list[dict[str, Any]]:
        """Name, width and height of each picture of a task."""
        path = f"/api/tasks/{number}/data/meta"
        answer = self._server.get(path)
        frames = answer.get("frames") if isinstance(answer, dict) else None
        known = isinstance(frames, list) and all(
            isinstance(f, dict) and isinstance(f.get("name"), str)
            and isinstance(f.get("width"), int) and isinstance(f.get("height"), int)
            for f in frames
        )  # fmt: skip
        if not known:
            raise self._server.lies(path, "no list of pictures")
        return frames  # type: ignore[return-value]

    def _labels(self) -> Iterator[dict[str, Any]]:
        return listed(self._server, "/api/labels", project_id=self._project)

    def _enter(self) -> None:
        """See whether the project is there, whose it is, and how the server wants the token."""
        path = f"/api/projects/{self._project}"
        try:
            project = self._server.get(path)
        except RefusedError as error:
            if error.status != 401:
                raise
            self._server.authorization = lambda: f"Bearer {self._server.token}"  # a personal access token
            project = self._server.get(path)
        if isinstance(project, dict):
            organization = project.get("organization_id", project.get("organization"))
            self._asked = {"org_id": organization} if isinstance(organization, int) else {}

    def _labels_for(self, scheme: Scheme) -> Labels:
        """The labels that faces of a scheme need; made where the project has no label at all."""
        labels = list(self._labels())
        if not labels:
            path = f"/api/projects/{self._project}"
            self._server.send("PATCH", path, json={"labels": made_for(scheme)})
            labels = list(self._labels())
        boxes = [label["id"] for label in labels if label.get("name") == BOX_LABEL]
        for label in sorted(labels, key=lambda label: label.get("name") != FACE):
            points: dict[Any, Any] = {
                point.get("name"): point.get("id")
                for point in label.get("sublabels") or ()
                if isinstance(point, dict) and isinstance(point.get("id"), int)
            }
            if label.get("type") == "skeleton" and set(scheme.points) <= points.keys():
                numbers = tuple(points[name] for name in scheme.points)
                return Labels(label["id"], numbers, boxes[0] if boxes else None)
        what = f"no skeleton among its labels has the {scheme.count} points of {scheme.name}"
        raise InputError(
            what,
            where=f"{self._server.url}/projects/{self._project}",
            hint="remove its labels, and flmd makes them; or map the faces with --scheme",
        )


def listed(server: Connection, path: str, **asked: Any) -> Iterator[dict[str, Any]]:
    """Everything on all pages of a list; SourceError for one that makes no sense."""
    count, page = 0, 1
    while True:
        answer = server.get(path, **asked, page=page, page_size=PAGE)
        results = answer.get("results") if isinstance(answer, dict) else None
        if not isinstance(results, list) or not isinstance(answer.get("count"), int):
            raise server.lies(path, "no list with its length")
        for item in results:
            if not isinstance(item, dict) or not isinstance(item.get("id"), int):
                raise server.lies(path, "something without a number")
            yield item
        count += len(results)
        if count >= answer["count"]:
            return
        if not results:
            raise server.lies(path, f"{count} of {answer['count']}")
        page += 1


def batches(pictures: list[Picture]) -> Iterator[list[tuple[Picture, bytes]]]:
    """Pictures of one task each time, with their bytes: at most ``MOST``, and ``LARGEST`` bytes."""
    size = count = number = 0

    def read() -> Iterator[tuple[int, Picture, bytes]]:
        nonlocal size, count, number
        for picture in pictures:
            content = picture.content()
            if count and (count == MOST or size + len(content) > LARGEST):
                size, count, number = 0, 0, number + 1
            size, count = size + len(content), count + 1
            yield number, picture, content

    for _, group in groupby(read(), key=lambda item: item[0]):
        yield [(picture, content) for _, picture, content in group]


def made_for(scheme: Scheme) -> list[dict[str, Any]]:
    """The labels of a new project: a skeleton of the scheme's points, and the box."""
    points = [{"name": name, "type": "points", "attributes": []} for name in scheme.points]
    face = {"name": FACE, "type": "skeleton", "attributes": [], "sublabels": points, "svg": drawing(scheme)}
    return [face, {"name": BOX_LABEL, "type": "rectangle", "attributes": []}]


def encoded(name: str) -> str:
    """A picture's path as CVAT may call it: in one piece, so that it keeps none of the folders back."""
    return name.replace("%", "%25").replace("/", "%2F").replace("\\", "%5C")


def decoded(name: str) -> str:
    """The path that :func:`encoded` was given."""
    return name.replace("%5C", "\\").replace("%2F", "/").replace("%25", "%")

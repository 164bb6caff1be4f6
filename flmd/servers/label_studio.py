"""Label Studio: tasks with predictions go to a project, annotated tasks come back as its JSON export.

The paths and bodies are those of Label Studio's REST API (https://labelstud.io/api): a picture is uploaded
(``import?commit_to_project=false``), its address asked for (``import/file-upload``), and the task imported
with it. A task's data hold the picture's own name under ``flmd``. By that name a task is known to be there
already, and its annotations find their picture again.
"""

from __future__ import annotations

import json
import posixpath
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from lxml import etree
from tqdm import tqdm

from flmd.core.atomic import whole_or_nothing
from flmd.errors import InputError
from flmd.formats.label_studio_writer import LOCAL, regions_of_face
from flmd.schemes import Scheme
from flmd.servers.connection import Connection, RefusedError
from flmd.servers.outgoing import Picture
from flmd.servers.pulled import Pulled

NAME = "flmd"  # the key of a task's data
FACE = "face"
PAGE = 100
SKIPPED, FURTHER = "annotation that was skipped", "further annotation of a task"
ACCESS = 240.0  # seconds that an access token is used; Label Studio's lasts 300
_CONFIG = """<View>
  <Image name="image" value="$image" zoom="true" zoomControl="true"/>
  <RectangleLabels name="box" toName="image"><Label value="face"/></RectangleLabels>
  <KeyPointLabels name="points" toName="image" strokeWidth="2">
{labels}
  </KeyPointLabels>
</View>
"""


@dataclass(frozen=True)
class Controls:
    """What a project's labelling interface calls its parts.

    Attributes
    ----------
    image : the picture. key : of it in a task's data. box, points : what makes rectangles and key points.
    """

    image: str = "image"
    key: str = "image"
    box: str = "box"
    points: str = "points"


class LabelStudio:
    """A project of a Label Studio.

    Parameters
    ----------
    connection : to the server; its token may be a legacy one or a personal access token.
    project : the number in the project's address.
    """

    def __init__(self, connection: Connection, project: int) -> None:
        self._server, self._project = connection, project
        self._access, self._until = "", 0.0
        if connection.token.count(".") == 2:  # a JSON Web Token: it is exchanged for one of five minutes
            connection.authorization = self._bearer

    def push(self, pictures: list[Picture], scheme: Scheme, model: str) -> Iterator[Picture]:
        """Send the pictures that the project does not have, with their faces as predictions.

        Yields each as soon as it is there. The project gets a labelling interface for the scheme where it has
        none.

        Parameters
        ----------
        model : the version that the predictions are said to be of.

        Raises
        ------
        InputError : the labelling interface has no place for such faces. SourceError : what the server does.
        """
        controls = self._controls(scheme)
        there = {name for _, data in self._tasks() if isinstance(name := data.get(NAME), str)}
        for picture in tqdm(
            [p for p in pictures if p.name not in there], desc="push", unit="picture", disable=None
        ):
            self._send(picture, scheme, controls, model)
            yield picture

    def pull(self, target: Path) -> Pulled:
        """Write the annotated tasks as a JSON export, their pictures by their own names.

        A task comes with one annotation: the one marked as ground truth, else the first that was submitted.
        Those that were skipped are left out.

        Raises
        ------
        InputError : no task is annotated. SourceError : what the server does.
        """
        path = f"/api/projects/{self._project}/export"
        ids = [number for number, _ in self._tasks()]
        done = Pulled(there=len(ids))
        with (
            whole_or_nothing(target) as new,
            new.open("w", encoding="utf-8") as file,
            tqdm(total=len(ids), desc="pull", unit="task", disable=None) as bar,
        ):
            for first in range(0, len(ids), PAGE):
                page = ids[first : first + PAGE]
                asked = {"exportType": "JSON", "download_all_tasks": "true", "ids[]": page}
                for task in self._exported(self._server.get(path, **asked), set(page), path):
                    chosen = _chosen(task["annotations"], done)
                    if chosen is None:
                        continue
                    task["annotations"] = [chosen]
                    name = task["data"].get(NAME)
                    if isinstance(name, str):
                        task["data"] = {"image": LOCAL + quote(name, errors="surrogateescape")}
                    file.write((",\n" if done.written else "[\n") + json.dumps(task))
                    done.written += 1
                bar.update(len(page))
            file.write("\n]\n")
            if not done.written:
                raise InputError(
                    f"no task of project {self._project} is annotated", where=self._server.url,
                    hint=f"it has {len(ids)} tasks; annotate one and submit it",
                )  # fmt: skip
        return done

    def _exported(self, answer: Any, asked: set[int], path: str) -> Iterator[dict[str, Any]]:
        """The tasks of an answer, each once, those that were asked for."""
        if not isinstance(answer, list):
            raise self._server.lies(path, "no list of tasks")
        for task in answer:
            if not _is_whole(task) or task["id"] not in asked:
                raise self._server.lies(path, "other tasks than it was asked for")
            asked.discard(task["id"])
            yield task
        if asked:
            raise self._server.lies(path, f"without task {min(asked)}")

    def _tasks(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The number and the data of every task."""
        path, seen, rows, page = "/api/tasks", set[int](), 0, 1
        while True:
            answer = self._server.get(path, project=self._project, page=page, page_size=PAGE)
            tasks = answer.get("tasks") if isinstance(answer, dict) else None
            if not isinstance(tasks, list) or not isinstance(answer.get("total"), int):
                raise self._server.lies(path, "no list of tasks with its length")
            for task in tasks:
                number, data = (task.get("id"), task.get("data")) if isinstance(task, dict) else (None, None)
                if not isinstance(number, int) or not isinstance(data, dict):
                    raise self._server.lies(path, "a task without number or data")
                if number not in seen:  # one that was made meanwhile may move another to the next page
                    seen.add(number)
                    yield number, data
            rows += len(tasks)  # a server may have shorter pages than it is asked for
            if rows >= answer["total"]:
                return
            if not tasks:
                raise self._server.lies(path, f"{rows} tasks of {answer['total']}")
            page += 1

    def _send(self, picture: Picture, scheme: Scheme, controls: Controls, model: str) -> None:
        """Upload a picture and make its task."""
        path = f"/api/projects/{self._project}/import"
        name = posixpath.basename(picture.name)
        upload = {"file": (name, picture.content(), "application/octet-stream")}
        try:
            done = self._server.send("POST", path, files=upload, params={"commit_to_project": "false"})
        except RefusedError as error:
            if error.status != 400:
                raise
            where = picture.tree.where(picture.name)
            hint = "make it a JPEG or PNG, or leave it out"
            raise InputError(
                f"the server does not take this picture: {error.what}", where=where, hint=hint
            ) from None
        numbers = done.get("file_upload_ids") if isinstance(done, dict) else None
        if not isinstance(numbers, list) or len(numbers) != 1 or not isinstance(numbers[0], int):
            raise self._server.lies(path, "without the number of the uploaded file")
        where = f"/api/import/file-upload/{numbers[0]}"
        file = self._server.get(where)
        place = file.get("file") if isinstance(file, dict) else None
        if not isinstance(place, str) or not place:
            raise self._server.lies(where, "without the place of the uploaded file")
        before = urlsplit(self._server.url).path
        task = {
            "data": {controls.key: f"{before}/data/{place}", NAME: picture.name},
            "predictions": [{"model_version": model, "result": _result(picture, scheme, controls)}],
        }
        made = self._server.send("POST", path, json=[task])
        if not isinstance(made, dict) or made.get("task_count", 1) != 1:
            raise self._server.lies(path, "that it made another number of tasks than one")

    def _controls(self, scheme: Scheme) -> Controls:
        """What the labelling interface calls things; it is made for a scheme where there is none."""
        path = f"/api/projects/{self._project}"
        project = self._server.get(path + "/")
        text = project.get("label_config") if isinstance(project, dict) else None
        if not isinstance(text, str):
            raise self._server.lies(path, "no project with a label_config")
        config = _parsed(text)
        if config is None or not config.findall(".//*[@toName]"):
            labels = "\n".join(f'    <Label value="{point}"/>' for point in scheme.points)
            self._server.send("PATCH", path + "/", json={"label_config": _CONFIG.format(labels=labels)})
            return Controls()
        return _found(config, scheme, f"{self._server.url}/projects/{self._project}")

    def _bearer(self) -> str:
        """The header for a personal access token, renewed before it ends."""
        if time.monotonic() > self._until:
            refresh = Connection(self._server.url, self._server.token, self._server.patience)
            refresh.authorization = lambda: ""
            try:
                answer = refresh.send("POST", "/api/token/refresh", json={"refresh": self._server.token})
            except RefusedError as error:
                hint = "check the token that --token-from-env names"
                raise InputError("the server does not take the token", where=error.where, hint=hint) from None
            if not isinstance(answer, dict) or not isinstance(answer.get("access"), str):
                raise self._server.lies("/api/token/refresh", "without an access token")
            self._access, self._until = answer["access"], time.monotonic() + ACCESS
            self._server.keep_secret(self._access)
        return f"Bearer {self._access}"


def _is_whole(task: object) -> bool:
    """Whether a task of an export has all that is needed of it."""
    if not isinstance(task, dict) or not isinstance(task.get("id"), int):
        return False
    annotations = task.get("annotations")
    whole = isinstance(annotations, list) and all(isinstance(each, dict) for each in annotations)
    return whole and isinstance(task.get("data"), dict)


def _chosen(annotations: list[dict[str, Any]], done: Pulled) -> dict[str, Any] | None:
    """The annotation of a task that is written; the others are counted as left out."""
    submitted = [each for each in annotations if each.get("was_cancelled") is not True]
    done.left_out[SKIPPED] += len(annotations) - len(submitted)
    if not submitted:
        return None
    done.left_out[FURTHER] += len(submitted) - 1
    return next((each for each in submitted if each.get("ground_truth") is True), submitted[0])


def _parsed(text: str) -> Any:
    """A labelling interface; None for what is no XML."""
    try:
        return etree.fromstring(text.encode(), etree.XMLParser(resolve_entities=False, no_network=True))
    except (etree.XMLSyntaxError, ValueError):
        return None


def _found(config: Any, scheme: Scheme, where: str) -> Controls:
    """The controls of a labelling interface; InputError for what it lacks of a scheme."""
    found: dict[str, Any] = {}
    for kind in ("Image", "RectangleLabels", "KeyPointLabels"):
        element = config.find(f".//{kind}")
        if element is None or not element.get("name"):
            hint = "empty it, and flmd makes one; or add what is missing"
            raise InputError(f"the labelling interface has no <{kind} name=...>", where=where, hint=hint)
        found[kind] = element
    for kind, wanted in (("RectangleLabels", (FACE,)), ("KeyPointLabels", scheme.points)):
        labels = {label.get("value") for label in found[kind].findall(".//Label")}
        missing = [name for name in wanted if name not in labels]
        if missing:
            some = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
            what = f"<{kind}> of the labelling interface lacks {len(missing)} labels: {some}"
            raise InputError(what, where=where, hint=f"the faces are {scheme.name}; --scheme maps them")
    image, box, points = (found[kind].get("name") for kind in found)
    return Controls(image, found["Image"].get("value", "$image").removeprefix("$"), box, points)


def _result(picture: Picture, scheme: Scheme, controls: Controls) -> list[dict[str, Any]]:
    """The regions of all faces in a picture."""
    made_with = {"rectanglelabels": controls.box, "keypointlabels": controls.points}
    return [
        {**region, "from_name": made_with[region["type"]], "to_name": controls.image}
        for number, face in enumerate(picture.faces)
        for region in regions_of_face(face, f"face{number}", scheme.points)
    ]

"""Annotation formats: a registry of readers and writers behind one small interface.

Built-in formats are one module and one line of ``BUILT_IN`` each; others come from installed packages
through the entry-point group ``flmd.formats``. A broken plugin is reported and left out.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

from flmd.core.orientation import FRAMES
from flmd.errors import InputError, ParamsError, did_you_mean, one_line
from flmd.formats.base import Certainty, Detection, Format, WriteReport
from flmd.formats.choosing import detection_of, refusal
from flmd.tree import FileTree

__all__ = [
    "BUILT_IN",
    "Certainty",
    "Detection",
    "Format",
    "WriteReport",
    "broken",
    "choose",
    "detect",
    "get",
    "names",
]

BUILT_IN = {
    "aflw": "flmd.formats.aflw:Aflw",
    "cofw": "flmd.formats.cofw:Cofw",
    "cofw68": "flmd.formats.cofw68:Cofw68",
    "aflw2000": "flmd.formats.aflw2000:Aflw2000",
    "300w-lp": "flmd.formats.w300lp:W300Lp",
    "kaggle-csv": "flmd.formats.kaggle_csv:KaggleCsv",
    "dlib-xml": "flmd.formats.dlib_xml:DlibXml",
    "cvat": "flmd.formats.cvat:Cvat",
    "cvat-video": "flmd.formats.cvat_video:CvatVideo",
    "csv": "flmd.formats.mapped_csv:MappedCsv",
    "yolo-pose": "flmd.formats.yolo_pose:YoloPose",
    "youtube-faces-csv": "flmd.formats.youtube_faces_csv:YouTubeFacesCsv",
    "pts": "flmd.formats.pts:Pts",
    "merl-rav-pts": "flmd.formats.merl_rav_pts:MerlRavPts",
    "mediapipe": "flmd.formats.mediapipe:MediaPipe",
    "openpose": "flmd.formats.openpose:OpenPose",
    "ljson": "flmd.formats.ljson:Ljson",
    "openface": "flmd.formats.openface:OpenFace",
    "300vw": "flmd.formats.w300vw:W300Vw",
    "coco": "flmd.formats.coco:Coco",
    "datumaro": "flmd.formats.datumaro:Datumaro",
    "label-studio": "flmd.formats.label_studio:LabelStudio",
    "labelme": "flmd.formats.labelme:LabelMe",
    "spiga-json": "flmd.formats.spiga_json:SpigaJson",
    "retinaface": "flmd.formats.retinaface:RetinaFace",
    "hf-dataset": "flmd.formats.hf_dataset:HfDataset",
    "webdataset": "flmd.formats.webdataset:WebDataset",
    "wflw": "flmd.formats.wflw:Wflw",
    "vggface2": "flmd.formats.vggface2:VggFace2",
    "celeba": "flmd.formats.celeba:CelebA",
    "facesynthetics": "flmd.formats.facesynthetics:FaceSynthetics",
    "lapa": "flmd.formats.lapa:LaPa",
    "lfw": "flmd.formats.lfw:Lfw",
    "mtcnn": "flmd.formats.mtcnn:Mtcnn",
}


@cache
def _registry() -> tuple[dict[str, Format], dict[str, str]]:
    """All formats by name, and the plugins that could not be loaded with the reason."""
    formats: dict[str, Format] = {}
    failed: dict[str, str] = {}
    for name, path in BUILT_IN.items():
        module, _, attribute = path.partition(":")
        formats[name] = getattr(import_module(module), attribute)()
    for entry in entry_points(group="flmd.formats"):
        if entry.name in formats:
            failed[entry.name] = "a format of this name exists already"
            continue
        try:
            plugin = entry.load()()
            if not isinstance(plugin, Format):
                raise TypeError(f"{entry.value} is not a flmd.formats.Format")
            if plugin.scheme is None and type(plugin).scheme_in is Format.scheme_in:
                raise TypeError(f"{entry.value} has neither a scheme nor a scheme_in that counts points")
            if plugin.frame not in FRAMES:
                raise TypeError(f"{entry.value} has frame {plugin.frame!r}, expected {' or '.join(FRAMES)}")
        except Exception as error:
            failed[entry.name] = f"{type(error).__name__}: {one_line(error)}"
        else:
            formats[entry.name] = plugin
    return formats, failed


def names() -> list[str]:
    """Names of all usable formats, built-in first."""
    return list(_registry()[0])


def broken() -> dict[str, str]:
    """Plugins that could not be loaded: name -> reason."""
    return dict(_registry()[1])


def get(name: str) -> Format:
    """The format of that name; ParamsError that names the nearest one otherwise."""
    formats, failed = _registry()
    if name in formats:
        return formats[name]
    if name in failed:
        raise ParamsError(f"format {name!r} comes from a plugin that does not load: {failed[name]}")
    expected, hint = "one of " + ", ".join(formats), did_you_mean(name, formats)
    raise ParamsError(f"unknown format {name!r}", expected=expected, hint=hint)


def detect(tree: FileTree) -> dict[str, Detection]:
    """What each format says of a tree, by name."""
    return {name: detection_of(fmt, tree) for name, fmt in _registry()[0].items()}


def choose(tree: FileTree, name: str | None = None) -> tuple[Format, Detection]:
    """The format to read a tree with: the named one, or the only one that fits as surely as any.

    Raises
    ------
    InputError : none fits (the nearest ones are named, with what they lack), or several do (all are).
    """
    if name is not None:
        fmt = get(name)
        found = detection_of(fmt, tree)
        if not found.fits:
            raise InputError(f"not {name}: {found.why}", where=tree.origin)
        return fmt, found
    found_by_name = detect(tree)
    surest = max((f.certainty for f in found_by_name.values() if f.fits), default=None)
    fitting = [n for n, f in found_by_name.items() if f.fits and f.certainty == surest]
    if len(fitting) == 1:
        return get(fitting[0]), found_by_name[fitting[0]]
    if fitting:
        raise InputError(
            f"several formats fit: {', '.join(fitting)}", where=tree.origin, hint="choose one with --from"
        )
    raise refusal(tree, found_by_name, tree.origin, tree.origin)

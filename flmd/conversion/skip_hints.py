"""What to try where no face could be used: a hint for every reason that a face is skipped for."""

from __future__ import annotations

from collections.abc import Mapping

MOST_HINTS = 3

_EDIT = "mend the file where the loss report says"  # nothing else would read it
_NAMES = "--names FILE says which name is which point, --names keep takes them as they stand"
_COUNT = (
    "--scheme NAME when the points are another scheme's (`flmd-data schemes`), --from when it is no such file"
)
_FROM = "--from NAME when it is another format (`flmd-data detect --all` lists them)"
_PICTURES = "--pictures DIR says where the pictures are"
_FETCH = "fetch the file again: it is damaged"
_LOOK = "look at the pictures that the loss report names"
_DATA = "the annotations say so of every face; other ones are needed"

HINTS: Mapping[str, str] = {
    # the box
    "no_box": "--box landmarks draws one around the points",
    "box_outside": "--exif shown or --exif stored when pictures are turned, --base when pixels are counted "
    "otherwise, --box landmarks when only the boxes are wrong",
    "bad_box": f"--box landmarks does not mend it: {_EDIT}",
    "rotated_box": f"boxes that are turned cannot be read: {_EDIT}",
    "box_without_points": "boxes alone give no landmarks; `flmd predict` finds some",
    # the pictures
    "image_missing": f"{_PICTURES}, --images none keeps the annotations alone",
    "image_unreadable": f"{_PICTURES}, --images none keeps the annotations alone",
    "image_empty": f"{_PICTURES}, when those beside the annotations are stand-ins",
    "image_unknown": f"{_PICTURES}, when those beside the annotations are stand-ins",
    "image_truncated": _FETCH,
    "image_damaged": _FETCH,
    "bad_picture": _FETCH,
    "image_too_large": "params.yaml: convert.max_megapixels, or CropSettings(max_pixels=...), allows more; "
    "--images none decodes none",
    "image_too_many_scans": "save the picture again, not progressive",
    "image_unsupported": "pip install 'flmd[heic]' reads HEIC",
    "image_too_small": "--pictures DIR when the originals are elsewhere",
    "image_too_long": "write the shapes of one picture as several faces",
    "unknown_image": _EDIT,
    "bad_path": f"{_PICTURES}; names in the annotations must be relative paths below it",
    "no_image_size": f"{_PICTURES}: their sizes are needed",
    "rotated_image": "undo the rotation in the tool that wrote it, and export again",
    "units_open": "--option keypoint_scale=3 or =4, as OpenPose ran",
    # the points: how many, and which is which
    "wrong_point_count": _COUNT,
    "wrong_face_count": _EDIT,
    "unknown_label": _NAMES,
    "unknown_part": _NAMES,
    "unknown_point": _NAMES,
    "unknown_order": _NAMES,
    "duplicate_part": _NAMES,
    "duplicate_point": _NAMES,
    "unknown_id": _EDIT,
    "ungrouped_points": "group the points of each face in the tool that wrote them, and export again",
    "merl_rav_signs": "--from merl-rav-pts",
    "mixed_signs": "--from pts",
    "no_landmarks": _DATA,
    "no_points": "boxes alone give no landmarks; `flmd predict` finds some",
    "no_keypoints": "boxes alone give no landmarks; `flmd predict` finds some",
    "no_face": "run OpenPose with --face",
    "not_tracked": _DATA,
    "face_not_valid": _DATA,
    "ignored": _DATA,
    "bad_point": _EDIT,
    "bad_visibility": _EDIT,
    "not_a_number": f"{_EDIT}, or {_FROM}",
    # the file
    "bad_header": _FROM,
    "bad_line": _FROM,
    "bad_structure": _FROM,
    "bad_json": f"{_EDIT}, or {_FROM}",
    "truncated_file": _FETCH,
    "unreadable_file": "see that the files can be read",
    "short_row": f"{_EDIT}, or {_FROM}",
    "long_row": f"{_EDIT}, or {_FROM}",
    "duplicate_row": _EDIT,
    "bad_value": "see that the table's map fits it (docs/csv-map.md)",
    "bad_flag": f"{_EDIT}, or {_FROM}",
    "bad_attributes": f"{_EDIT}, or {_FROM}",
    "bad_frame": f"{_EDIT}, or {_FROM}",
    "bad_frame_number": _EDIT,
    "too_many_frames": "--option frames=keyframes reads none in between",
    "bad_split": _EDIT,
    "bad_annotation": f"{_EDIT}, or {_FROM}",
    "cancelled_annotation": "export annotations that were not cancelled",
    "further_annotation": _DATA,
    # who it is, and who trains
    "subject_not_found": "--subject-from must be found in every picture's name",
    "no_standard_split": "--split subject draws a split, or params.yaml: datasets.NAME.split",
    "mirrored_test_face": "--split subject, or params.yaml: datasets.NAME.split",
}  # fmt: skip

NOT_KNOWN = "--report FILE names the first of each"
NONE_FOUND = "see what `flmd-data detect --all` says of it"
_OTHER_BOX = "--box image takes the whole picture"


def hints(skipped: Mapping[str, int], box: str = "annotated") -> str:
    """What to try, of the most frequent reasons first: "--box landmarks ...; --names FILE ...".

    Parameters
    ----------
    skipped : reason -> how many faces.
    box : the policy that boxes were made by (``flmd.conversion.settings.BoxPolicy``).
    """
    reasons = sorted(skipped, key=lambda reason: (-skipped[reason], reason))
    if not reasons:
        return NONE_FOUND
    found = dict.fromkeys(hint_of(reason, box) for reason in reasons)
    return "; ".join(list(found)[:MOST_HINTS])


def hint_of(reason: str, box: str = "annotated") -> str:
    """What to try against one reason; for one that only a plugin knows, where to look."""
    if reason == "no_box" and box != "annotated":
        return _OTHER_BOX
    return HINTS.get(reason, NOT_KNOWN)

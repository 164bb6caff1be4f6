"""Annotations and pictures in, one face store out, with a report of every face.

Three passes, each streaming, so that memory stays flat: the annotations go to a column buffer on disk; the
splits are drawn; the pictures are decoded once each, in parallel, and the store is written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from flmd.conversion import crop_pass
from flmd.conversion.annotations_only import keep_annotations
from flmd.conversion.face_source import FaceSource
from flmd.conversion.loss_report import LossReport
from flmd.conversion.opening import open_faces
from flmd.conversion.settings import (
    CROP,
    REPORTING,
    SPLIT,
    WORKERS,
    BoxPolicy,
    CropSettings,
    Reporting,
    SplitPolicy,
    SplitSettings,
    Workers,
    chosen,
)
from flmd.conversion.skip_hints import hints
from flmd.conversion.splits import by_subject, hold_out
from flmd.core.atomic import Scratch, naming
from flmd.errors import InputError, ParamsError
from flmd.face import Face, Skipped
from flmd.sources.datasets.rules import DatasetRules, rules_for
from flmd.store.build import copy_rows
from flmd.store.column_buffer import ColumnBuffer

ROWS_A_BLOCK = 512


def convert(
    source: FaceSource | Path | str,
    target: Path | str,
    *,
    scheme: str | None = None,
    box: str | None = None,
    crop: CropSettings | None = CROP,
    split: SplitSettings = SPLIT,
    dataset: DatasetRules | str | None = None,
    reporting: Reporting = REPORTING,
    workers: Workers = WORKERS,
) -> LossReport:
    """Convert annotated faces and their pictures to a face store.

        flmd.convert("labels.xml", "faces.h5", box="landmarks")

    Parameters
    ----------
    source : a file, folder, archive or address in any known format; or an opened one
        (:func:`flmd.conversion.opening.open_faces`), where more has to be said of how it is read.
    target : the store; the old one stays until the new one is whole.
    scheme : of the faces wanted; the source's own by default. Only for a source that is opened here.
    box : what the box of a face is, "annotated", "landmarks" (around the points) or "image" (all of it);
        by default annotated where the format has boxes, else landmarks.
    crop : how faces are cropped. None: a store of annotations alone; pictures are opened for their size at
        most, and need not be there.
    split : who trains and who tests.
    dataset : the name of the data set, or what is known of it: subjects, subsets, its standard split. By
        default the source's name.
    reporting : where the loss report goes, and what is kept of where the store came from.
    workers : who decodes and crops; no byte of the store depends on it.

    Returns
    -------
    The loss report: how many faces were read, kept and skipped, and why.

    Raises
    ------
    InputError : annotations that cannot be read on; no usable face at all; a strict report, and a face
        that cannot be used.
    ParamsError : settings that do not fit each other or the source.
    """
    target = Path(target)
    target.absolute().parent.mkdir(parents=True, exist_ok=True)
    with _opened(source, scheme, target) as faces:
        box = chosen(BoxPolicy, box or ("annotated" if faces.boxes else "landmarks"), "box")
        if not isinstance(dataset, DatasetRules):
            dataset = rules_for(dataset or faces.name)
        return _Conversion(faces, target, box, crop, split, dataset, reporting, workers).run()


def _opened(
    source: FaceSource | Path | str, scheme: str | None, target: Path
) -> AbstractContextManager[FaceSource]:
    if isinstance(source, str | Path):
        return open_faces(source, scheme=scheme, scratch=target.absolute().parent)
    if scheme is not None:
        what = f"scheme is {scheme!r}, but the source is open already"
        raise ParamsError(what, where=source.origin, hint="tell the scheme to open_faces")
    return nullcontext(source)


@dataclass(frozen=True)
class _Conversion:
    """One conversion, everything about it settled."""

    faces: FaceSource
    target: Path
    box: str
    crop: CropSettings | None
    split: SplitSettings
    rules: DatasetRules
    reporting: Reporting
    workers: Workers

    def run(self) -> LossReport:
        """Write the store; returns what became of every face."""
        faces, crop = self.faces, self.crop
        if crop is not None and faces.pictures is None:
            what = "a store has crops of its own, and no pictures to cut others from"
            hint = "name its pictures, or set crop to None; `flmd-data convert` keeps the crops it has"
            raise ParamsError(what, where=faces.origin, hint=hint)
        report = LossReport(
            self.rules.name,
            faces.kind,
            faces.detection,
            box=self.box,
            split=self.split.policy,
            strict=self.reporting.strict,
        )
        report.made_from = self._made_from()
        points, extra = faces.scheme.count, {} if crop is None else crop_pass.columns(crop)
        with (
            naming(self.target),
            Scratch(self.target.parent, self.target.name) as scratch,
            closing(ColumnBuffer(scratch.folder / "annotations", points)) as annotated,
            closing(ColumnBuffer(scratch.folder / "faces", points, extra, ("image_sha256",))) as done,
        ):
            self._read(annotated, report)
            report.published = Counter(filter(None, annotated.texts("split")))
            splits = self._splits(annotated)
            self._crop(annotated, splits, done, report)
            self._report(report, done)
            kept = None if crop is None else crop.spec
            copy_rows([done], self.target, faces.scheme, kept, report.made_from)
        return report

    def _made_from(self) -> Mapping[str, Any]:
        if self.reporting.made_from is not None:
            return self.reporting.made_from
        params = {
            "dataset": self.rules.name,
            "format": self.faces.kind,
            "scheme": self.faces.scheme.name,
            "box": self.box,
            "crop": None if self.crop is None else asdict(self.crop),
            "split": asdict(self.split),
        }
        return self.faces.made_from(params, "flmd.convert")

    def _read(self, annotated: ColumnBuffer, report: LossReport) -> None:
        """First pass: every annotation to the column buffer."""
        block: list[Face] = []
        with tqdm(desc="read annotations", unit="face", disable=None) as bar:
            for item in self.faces:
                report.read += 1
                face = item if isinstance(item, Skipped) else self.rules.describe(item, self.split.policy)
                if isinstance(face, Skipped):
                    report.skip(face)
                    continue
                if np.isnan(face.landmarks).all():
                    report.skip(Skipped("no_landmarks", face.where, "not one point is labelled"))
                    continue
                block.append(face)
                if len(block) == ROWS_A_BLOCK:
                    annotated.append(block)
                    bar.update(len(block))
                    block = []
            annotated.append(block)
            bar.update(len(block))

    def _splits(self, annotated: ColumnBuffer) -> list[str]:
        """Second pass: the split of every face."""
        subjects = annotated.texts("subject")
        split = self.split
        if split.policy == SplitPolicy.SUBJECT:
            return by_subject(subjects, val=split.val, test=split.test, seed=split.seed)
        published = annotated.texts("split")
        return hold_out(subjects, published, val=split.val, seed=split.seed)

    def _crop(
        self, annotated: ColumnBuffer, splits: list[str], done: ColumnBuffer, report: LossReport
    ) -> None:
        """Third pass: the faces that are kept."""
        pictures, crop = self.faces.pictures, self.crop
        if crop is None or pictures is None:
            keep_annotations(annotated, splits, pictures, self.box, done, self.faces.frame)
            return
        with crop_pass.shared_work(
            pictures, crop, self.box, self.workers.executor, self.target, self.faces.frame
        ) as work:
            crop_pass.crop_faces(work, annotated, splits, self.workers, done, report)

    def _report(self, report: LossReport, done: ColumnBuffer) -> None:
        """The loss report; InputError when there is nothing to make a store of."""
        report.describe(done)
        if self.reporting.path is not None:
            report.write(self.reporting.path)
        if len(done):
            return
        hint = f"skipped: {report.summary() or 'none found'}; {hints(report.skipped, self.box)}"
        raise InputError("no usable face", where=self.faces.origin, hint=hint)

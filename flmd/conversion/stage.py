"""Stage `convert`: one data set's archive to a face store, with a loss report."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from flmd.conversion.converter import convert as convert_faces
from flmd.conversion.face_source import FaceSource
from flmd.conversion.opening import open_faces
from flmd.conversion.settings import CropSettings, Reporting, SplitSettings, Workers
from flmd.core import params, processor, provenance
from flmd.core.dataset_params import AUTO, DatasetParams
from flmd.errors import ParamsError
from flmd.parallel import dask_cluster
from flmd.schemes.name_choice import PointNames
from flmd.tree import Limits


def convert(name: str = "") -> None:
    """Write data/stores/<name>.h5 and reports/data/<name>.json."""
    processor.restart_pinned("portable", needed=False)
    settings = params.load()
    dataset, how = settings.dataset(name), settings.convert
    raw, target = Path("data/raw") / name, Path("data/stores") / f"{name}.h5"
    target.parent.mkdir(parents=True, exist_ok=True)
    limits = Limits.of(settings.download)
    with (
        dataset_faces(name, dataset, raw, how.scheme, limits=limits, scratch=target.parent) as faces,
        dask_cluster.connected() as executor,  # FLMD_SCHEDULER; the same bytes with and without
    ):
        box = box_of(dataset, faces)
        used = {"dataset": _said(dataset, faces, box), "convert": how, "seed": settings.seed}
        report = convert_faces(
            faces,
            target,
            box=box,
            crop=CropSettings(how.crop_size, how.margin, how.color, how.max_megapixels * 1e6),
            split=SplitSettings(dataset.split, dataset.val_share, dataset.test_share, settings.seed),
            dataset=name,
            reporting=Reporting(
                Path("reports/data") / f"{name}.json",
                made_from=provenance.made_from([raw], used, stage="convert"),
            ),
            workers=Workers(executor=executor),
        )
    print(f"{name}: {report}")
    if "split" not in dataset.model_fields_set and {"train", "test"} <= set(report.published):
        counts = ", ".join(f"{split} {count}" for split, count in report.published.items())
        print(
            f"{name}: its annotations publish a split ({counts}), and another was drawn by subject; "
            f"datasets.{name}.split: published keeps it"
        )


@contextmanager
def dataset_faces(
    name: str, dataset: DatasetParams, source: Path | str, scheme: str, **options: Any
) -> Iterator[FaceSource]:
    """A data set's faces as its params say, mapped to ``scheme``.

    ``options`` are passed on to :func:`~flmd.conversion.opening.open_faces`. ParamsError, naming the data
    set, when its points cannot be mapped.
    """
    where = f"datasets.{name}"
    with ExitStack() as stack:
        try:
            faces = stack.enter_context(
                open_faces(
                    source,
                    from_=None if dataset.format == AUTO else dataset.format,
                    scheme=scheme,
                    read_as=None if dataset.scheme == AUTO else dataset.scheme,
                    names=PointNames.of(dataset.names, f"params.yaml: {where}.names"),
                    exif=dataset.exif,
                    **options,
                )
            )
        except ParamsError as error:
            at = f"{where}: {error.where}" if error.where else where
            raise ParamsError(error.what, where=at, expected=error.expected, hint=error.hint) from None
        yield faces


def box_of(dataset: DatasetParams, faces: FaceSource) -> str:
    """What the box of a face is, where params leave it to the format."""
    if dataset.box != AUTO:
        return dataset.box
    return "annotated" if faces.boxes else "landmarks"


def _said(dataset: DatasetParams, faces: FaceSource, box: str) -> dict[str, Any]:
    """What the store's record says of the data set, without scheme, names and frame where they are usual."""
    keys = {"format", "box", "split", "val_share", "test_share"}
    keys |= {key for key in ("names", "exif", "scheme") if getattr(dataset, key) != AUTO}
    # Which kind of source, and never the path: a model then knows whether its faces were drawn.
    source = dataset.address if dataset.address in ("sample", "official") else "own"
    return {**dataset.model_dump(include=keys), "format": faces.kind, "box": box, "source": source}

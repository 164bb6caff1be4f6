"""The report of an experiment: complete, self-contained, safe, and drawn by a real browser."""

from __future__ import annotations

import contextlib
import csv
import json
import logging
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from ruamel.yaml import YAML

from flmd.cli import flmd
from flmd.experiments import revision_files
from flmd.experiments.report_page import charts, report
from tests.browser import Browser
from tests.html_reading import POISON, shown, what_acts

HOSTILE = "<script>alert('x')</script>$_{"
DVC_YAML = {
    "stages": {
        "evaluate": {
            "cmd": "true",
            "params": ["train"],
            "outs": ["reports/evaluation.json", "reports/plots", "reports/training", "reports/data"],
            "metrics": [{"reports/metrics.json": {"cache": False}}],
        }
    }
}


def write_experiment(root: Path, *, nme: float, lr: float, losses: list[float], shade: int) -> None:
    """What the pipeline leaves behind, for two data sets, one of them with a name that is an attack."""
    reports = root / "reports"
    curves, plots, data = reports / "training/plots/metrics", reports / "plots", reports / "data"
    for folder in (curves, plots, data):
        folder.mkdir(parents=True, exist_ok=True)
    metrics = {
        name: {"faces": 20, "nme": nme, "auc08": 0.4, "common": {"nme": nme}, "nme_jaw": 2 * nme}
        for name in ("ibug300w", HOSTILE)
    }
    (reports / "metrics.json").write_text(json.dumps(metrics))
    settings = {
        "normaliser": "inter_ocular",
        "threshold": 0.08,
        "made_from": {"flmd": "0.1.0", "inputs": {"faces.h5": "ab" * 32}},
    }
    (reports / "evaluation.json").write_text(json.dumps(settings))
    for name, factor in (("train_loss", 1.0), ("val_loss", 1.2), ("val_error_px", 50.0), ("lr", 0.01)):
        rows = "".join(f"{i}\t{factor * loss}\n" for i, loss in enumerate(losses, start=1))
        (curves / f"{name}.tsv").write_text(f"step\t{name}\n{rows}")
    (plots / "ced.csv").write_text(
        f"threshold,ibug300w,ibug300w_mean_shape,{HOSTILE}\n0.0,0,0,0\n0.05,0.5,0.1,0.2\n0.1,0.9,0.3,0.8\n"
    )
    (plots / "regions.csv").write_text(
        "dataset,region,label,nme,mean_shape_nme\n"
        + "".join(f"{d},{r},{d} {r},{nme},0.2\n" for d in ("ibug300w", HOSTILE) for r in ("jaw", "left_eye"))
    )
    for name in ("worst", "random", "ced", "extra"):
        same = name == "extra"
        picture = np.full((40, 60, 3), 90 if same else shade, np.uint8)
        (plots / f"{name}.png").write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    account = {
        "faces_read": 103,
        "faces_kept": 100,
        "faces_skipped": 3,
        "skipped": {"image_missing": {"count": 3, "first": [f"a.xml: {HOSTILE}"]}},
        "splits": {"train": 80, "test": 20},
        "subjects_shared": {"train-test": {"count": 4, "first": ["s1"]}},
        "duplicate_pictures": {"groups": 2, "across_splits": 1},
    }
    (data / "ibug300w.json").write_text(json.dumps(account))
    params = {"train": {"lr": lr, "network": HOSTILE}, "seed": 7}
    with (root / "params.yaml").open("w") as file:
        YAML().dump(params, file)


def save(root: Path, tag: str) -> None:
    """Into DVC's cache and into git, under a tag."""
    from dvc.repo import Repo

    with contextlib.chdir(root), Repo(str(root)) as repo:
        repo.commit(force=True)
    who = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
    for command in (["add", "-A"], [*who, "commit", "-q", "-m", tag], ["tag", tag]):
        subprocess.run(["git", *command], cwd=root, check=True, capture_output=True)


BEFORE: dict[str, Any] = {"nme": 0.05, "lr": 0.001, "losses": [0.5, 0.3, 0.2], "shade": 30}
AFTER: dict[str, Any] = {"nme": 0.04, "lr": 0.0003, "losses": [0.4, 0.2, 0.1, 0.05], "shade": 200}


@pytest.fixture(scope="module", autouse=True)
def _quiet_dvc() -> Iterator[None]:
    """DVC logs to the standard output of the test that imported it first, which is closed by now."""
    import dvc.logger  # sets the level

    logger = logging.getLogger(dvc.__name__)
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(level)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the tags `before` and `after`; its files are those of `after`."""
    from dvc.repo import Repo

    root = tmp_path_factory.mktemp("project")
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    Repo.init(str(root)).close()
    with (root / "dvc.yaml").open("w") as file:
        YAML().dump(DVC_YAML, file)
    for tag, experiment in (("before", BEFORE), ("after", AFTER)):
        write_experiment(root, **experiment)
        save(root, tag)
    return root


@pytest.fixture
def project(original: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(original, tmp_path / "project", symlinks=True))


@pytest.fixture(scope="module")
def page(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of `after` against `before`."""
    target = tmp_path_factory.mktemp("page") / "report.html"
    assert report.write(original, target, "before") == []
    return target


CONTRAST = """
const linear = x => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4;
const light = colour => {
  const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map(x => linear(x / 255));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const back = e => {
  for (; e; e = e.parentElement) {
    const colour = getComputedStyle(e).backgroundColor;
    if (!/, 0\\)$/.test(colour)) return colour;
  }
};
const ratio = e => {
  const style = getComputedStyle(e);
  const lights = [light(e instanceof SVGElement ? style.fill : style.color), light(back(e))];
  return (Math.max(...lights) + 0.05) / (Math.min(...lights) + 0.05);
};
const texts = document.querySelectorAll('h1,h2,p,td,th,li,b,span,figcaption,summary,svg text');
return Math.min(...[...texts].map(ratio));
"""


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_a_real_browser_shows_everything(browser: Browser, page: Path, width: int, dark: bool) -> None:
    browser.open(page, width=width, dark=dark)
    assert browser.errors() == []
    assert [address for address in browser.requests() if not address.startswith("data:")] == [page.as_uri()]
    widths = browser.picture_widths()
    assert widths == {
        f"{name}, {side}": 60 for name in ("worst", "random") for side in ("now", "baseline")
    } | {"extra, both": 60}
    sizes = browser.script(
        "return [...document.querySelectorAll('svg')].map(s => s.getBoundingClientRect().width)"
    )
    assert len(sizes) == 3 + 2 + 2  # loss, error, rate; then two data sets each
    assert min(sizes) > 200
    assert browser.overflow() == 0
    assert browser.script("return document.querySelectorAll('script').length") == 0
    # WCAG's contrast of text on what is behind it: 4.5 and more is readable.
    assert browser.script(CONTRAST) > 4.5


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def rows(html: str) -> list[list[str]]:
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", html)]


def test_metrics_stand_against_the_baseline(page: Path) -> None:
    found = rows(text_of(page))
    assert ["ibug300w.nme", "0.05", "0.04", "-0.01 (-20.00 %)", "better"] in found
    assert ["ibug300w.auc08", "0.4", "0.4", "0", "same"] in found
    assert ["train.lr", "0.001", "0.0003"] in found
    assert next(row for row in found if row[:1] == ["image missing"])[:2] == ["image missing", "3"]
    assert ["subjects in both of train-test", "4"] in found
    assert "The splits share subjects or pictures" in text_of(page)
    assert ["inputs.faces.h5", "ab" * 32] in found
    states = {row[0]: row[2] for row in found if row and row[0].startswith("reports/") and len(row) == 3}
    assert states == {
        "reports/data": "same",
        "reports/evaluation.json": "same",
        "reports/metrics.json": "differs",
        "reports/plots": "differs",
        "reports/training": "differs",
    }
    assert {row[0] for row in found if row} >= {
        "python",
        "torch",
        "numpy",
        "opencv-python-headless",
        "h5py",
        "flmd",
    }


def test_the_other_way_round_is_worse(project: Path, tmp_path: Path) -> None:
    write_experiment(project, **BEFORE)
    report.write(project, tmp_path / "page.html", "after")
    assert ["ibug300w.nme", "0.04", "0.05", "+0.01 (+25.00 %)", "worse"] in rows(
        text_of(tmp_path / "page.html")
    )


def test_names_from_outside_are_text(page: Path) -> None:
    html = text_of(page)
    assert "<script" not in html
    assert html.count("&lt;script&gt;alert(") > 5


def test_poisoned_names_are_text_in_every_section(project: Path, tmp_path: Path) -> None:
    reports = project / "reports"
    (reports / "metrics.json").write_text(json.dumps({name: {"nme": 0.1, "faces": 2} for name in POISON}))
    settings = {"normaliser": POISON[0], "made_from": {"x": POISON}}
    (reports / "evaluation.json").write_text(json.dumps(settings))
    reason = {name: {"count": 1, "first": [name]} for name in POISON}
    account = {"faces_read": 8, "skipped": reason, "splits": dict.fromkeys(POISON, 1), "box": POISON[2]}
    (reports / "data" / "<b>.json").write_text(json.dumps(account))
    with (project / "params.yaml").open("w") as file:
        YAML().dump({"train": dict.fromkeys(POISON, 1), "seed": POISON[0]}, file)
    ced = [["threshold", *POISON], *([at, *[10 * at] * len(POISON)] for at in (0, 0.1))]
    regions = [["dataset", "region", "nme"], *([name, name, 0.1] for name in POISON)]
    for name, table in (("ced", ced), ("regions", regions)):
        with (reports / "plots" / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows(table)
    report.write(project, tmp_path / "page.html")
    page = text_of(tmp_path / "page.html")
    assert what_acts(page) == []
    texts = shown(page)
    for poison in POISON:
        for words in (f"NME of {poison}", f"{poison}.nme", f"in split {poison}", f"train.{poison}"):
            assert words in texts
        for chart in ("CED", "Regions"):
            assert f"{chart} {poison}" in texts


def test_both_experiments_lie_in_one_chart(page: Path) -> None:
    loss = re.findall(r"<svg.*?</svg>", text_of(page), flags=re.DOTALL)[0]
    assert 'aria-label="Loss"' in loss
    assert "before (" in loss
    assert ">now, val<" in loss
    assert {"var(--now)", "var(--base)"} <= set(re.findall(r"var\(--\w+\)", loss))
    assert not re.search(r"#0[1-5]0[1-5]0[1-5]", loss)


def test_the_same_files_give_the_same_bytes(original: Path, page: Path, tmp_path: Path) -> None:
    report.write(original, tmp_path / "again.html", "before")
    assert (tmp_path / "again.html").read_bytes() == page.read_bytes()
    assert str(original) not in text_of(page)


def test_a_baseline_out_of_the_cache_is_said_and_no_remote_is_asked(project: Path, tmp_path: Path) -> None:
    from dvc.repo import Repo

    (project / ".dvc" / "config").write_text(
        f"[core]\n    remote = there\n['remote \"there\"']\n    url = {tmp_path / 'remote'}\n"
    )
    with Repo(str(project)) as repo:
        repo.push(revs=["before"])
    assert any((tmp_path / "remote").rglob("*.dir"))
    shutil.rmtree(project / ".dvc" / "cache")
    shutil.rmtree(project / ".dvc" / "tmp", ignore_errors=True)
    with revision_files.revision(project, "before") as files:
        assert files.read("reports/metrics.json") is not None  # git's
        assert files.read("reports/evaluation.json") is None
    said = report.write(project, tmp_path / "page.html", "before")
    for name in ("reports/evaluation.json", "reports/training/plots/metrics", "reports/data"):
        assert any(f"{name} of before" in line and "dvc fetch" in line for line in said), name
    assert ["ibug300w.nme", "0.05", "0.04", "-0.01 (-20.00 %)", "better"] in rows(
        text_of(tmp_path / "page.html")
    )


def test_an_empty_folder_is_one_line_and_no_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["flmd", "report", "-o", "page.html"])
    with pytest.raises(SystemExit) as ended:
        flmd.main()
    assert ended.value.code == 2
    assert "nothing of an experiment is here" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_page_of_little_says_what_is_not_here(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("seed: 7\n")
    said = report.write(tmp_path, tmp_path / "page.html")
    assert "no reports/metrics.json in the workspace" in said
    assert "no params.yaml in the workspace" not in said
    browser.open(tmp_path / "page.html")
    assert browser.errors() == []
    shown = browser.script("return document.body.innerText")
    assert all(line in shown for line in said)


def charts_of(html: str) -> set[str]:
    """What a screen reader calls the charts of a page."""
    return set(re.findall(r'aria-label="([^"]*)"', html))


def test_regions_stay_when_those_of_the_baseline_are_not_here(project: Path, tmp_path: Path) -> None:
    shutil.rmtree(project / ".dvc" / "cache")
    report.write(project, tmp_path / "page.html", "before")
    assert {"Regions ibug300w", "CED ibug300w"} <= charts_of(text_of(tmp_path / "page.html"))


def only(project: Path, dataset: str) -> None:
    """Leave one data set of this name, and one picture, in the project's reports."""
    reports = project / "reports"
    (reports / "metrics.json").write_text(json.dumps({dataset: {"nme": 0.1}}))
    (reports / "plots" / "ced.csv").write_text(f"threshold,{dataset}\n0,0\n0.1,1\n")
    (reports / "plots" / "regions.csv").write_text(f"dataset,region,nme\n{dataset},jaw,0.1\n")
    (reports / "plots" / "extra.png").rename(reports / "plots" / f"{dataset}.png")


def test_a_data_set_that_one_side_lacks_is_shown(project: Path, tmp_path: Path) -> None:
    only(project, "wflw")
    report.write(project, tmp_path / "page.html", "before")
    html = text_of(tmp_path / "page.html")
    for dataset in ("wflw", "ibug300w"):
        assert f"NME of {dataset}; " in html
        assert {f"CED {dataset}", f"Regions {dataset}"} <= charts_of(html)
    found = rows(html)
    assert ["wflw.nme", "-", "0.1", "-", "missing in the baseline"] in found
    assert ["ibug300w.nme", "0.05", "-", "-", "missing now"] in found
    assert 'alt="wflw, now"' in html
    assert 'alt="extra, baseline"' in html


def test_broken_files_are_named_and_the_rest_is_shown(project: Path, tmp_path: Path) -> None:
    reports = project / "reports"
    (reports / "metrics.json").write_text('{"ibug300w": {"nme": NaN, "auc08": "high"}}')
    (reports / "evaluation.json").write_text("{")
    (reports / "plots" / "ced.csv").write_text("threshold,a\n1\n")
    (reports / "plots" / "worst.png").write_bytes(b"not a picture")
    (reports / "training" / "plots" / "metrics" / "lr.tsv").write_bytes(b"step\tlr\n0\t\xff\n")
    (reports / "data" / "ibug300w.json").write_text("[1]")
    (reports / "plots" / "regions.csv").write_text("dataset,region,nme\nibug300w,jaw,none\n")
    said = "\n".join(report.write(project, tmp_path / "page.html", "before"))
    for name in ("evaluation.json", "plots/ced.csv", "plots/worst.png", "lr.tsv", "data/ibug300w.json"):
        assert name in said
    html = text_of(tmp_path / "page.html")
    assert ["ibug300w.nme", "0.05", "nan", "-", "not a number now"] in rows(html)
    assert 'alt="random, now"' in html
    assert 'alt="worst, now"' not in html


def test_what_is_newer_than_the_lock_is_said(project: Path, tmp_path: Path) -> None:
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("0.0003", "0.5"))
    (project / "reports" / "metrics.json").write_text('{"ibug300w": {"nme": 0.001}}')
    said = report.write(project, tmp_path / "page.html")
    assert "stage evaluate ran with train.lr: 0.0003, params.yaml says 0.5" in said
    assert "reports/metrics.json is not what dvc.lock says; `dvc repro` makes it again" in said


def test_an_unknown_baseline_writes_nothing(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project / "reports")  # the project around the folder is found
    for baseline, code in (("nosuch", 2), ("before", 0)):
        monkeypatch.setattr("sys.argv", ["flmd", "report", "--baseline", baseline, "-o", "page.html"])
        with pytest.raises(SystemExit) as ended:
            flmd.main()
        assert (ended.value.code or 0) == code
        assert (project / "reports" / "page.html").exists() == (code == 0)
    assert "no revision 'nosuch'" in capsys.readouterr().err


def test_a_loss_that_is_no_number_leaves_a_gap() -> None:
    line = charts.Line("now", [1, 2, 3], [float("nan"), 0.5, float("inf")])
    assert "<svg" in charts.lines("gap", [line], x="epoch", y="loss", log=True)

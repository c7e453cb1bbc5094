"""The command: one file that fetches nothing, in which text of data is text; never over a file that is no report."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from invertone import command_line
from invertone.cluster.formats.signals import ClipFormat
from invertone.cluster.storage.folder import Folder
from invertone.eval.report.page import is_report
from tests.eval.report.runs import HOSTILE, evaluated, generated, inferred, swept, trained
from tests.made import made_clips, made_shards, write_shards

KNOWN = """html head meta title style body a div header p h1 h2 h3 h4 button nav ol ul li main section table thead tbody tr th
td small b em code figure figcaption details summary span dl dt dd img i audio svg desc path line text circle g strong script
br"""


class Page(HTMLParser):
    """Every element with its attributes, and the text of scripts and of everything else."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        (self.scripts if self.cdata_elem == "script" else self.words).append(data)

    def every(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def at(path: Path) -> Folder:
    return Folder.at(str(path))


def every_run(place: Path) -> list[str]:
    """A run of every kind below `place`, with hostile text wherever a run may hold text."""
    clips = made_clips(5, "train")
    write_shards(at(place / "shards"), [clips])
    evaluated(at(place / "table"), HOSTILE)
    inferred(at(place / "encoder"), at(place / "shards"), HOSTILE, failed=["train/0004"])
    inferred(at(place / "hybrid"), at(place / "shards"), "hybrid")
    trained(at(place / "training"), extra=f'{{"step": 31, "validation/{HOSTILE.replace(chr(34), "")}": 1.0}}\n')
    generated(at(place / "made"))
    swept(at(place / "sweep"))
    return [str(place / name) for name in ("table", "encoder", "hybrid", "training", "made", "shards", "sweep")]


def test_axes_are_those_of_the_clips(tmp_path: Path) -> None:
    stereo = ClipFormat(44_100, 65_536, 2)
    made_shards(at(tmp_path / "shards"), train=(3,), validation=0, clips=stereo)
    out = tmp_path / "report.html"
    assert command_line.main(["report", f"{tmp_path}/shards", f"out={out}", "clips=3"]) == 0
    page = Page(out.read_text())
    assert {name for name, _ in page.elements} <= set(KNOWN.split())
    assert f"3 of {stereo}" in page.words
    pictures = [each["alt"] or "" for each in page.every("img")]
    assert len(pictures) == 3 and all(": 1.49 s, loudest at " in each for each in pictures)
    for label in ("22.05", " kHz", "11", "0.0", "0.5", "1.0 s"):
        assert page.words.count(label) == 3, label


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of every kind of run."""
    place = tmp_path_factory.mktemp("runs")
    out = place / "pages/report.html"
    assert command_line.main(["report", *every_run(place), f"out={out}", "clips=4", f"title=All {HOSTILE}"]) == 0
    return out


@pytest.fixture(scope="module")
def page(report: Path) -> Page:
    return Page(report.read_text(encoding="utf-8"))


def test_text_of_data_stays_text_everywhere(page: Page) -> None:
    assert "".join(page.words).count("<script>alert('x')</script>") >= 8
    assert len(page.every("script")) == 1 and page.every("title") == [{}, *[{}] * (len(page.every("title")) - 1)]
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert {tag for tag, _ in page.elements} <= set(KNOWN.split())


def test_nothing_is_fetched_and_only_our_own_script_may_run(page: Page) -> None:
    (policy,) = [each["content"] for each in page.every("meta") if each.get("http-equiv") == "Content-Security-Policy"]
    digest = base64.b64encode(hashlib.sha256("".join(page.scripts).encode()).digest()).decode()
    assert policy is not None and policy.startswith("default-src 'none';")
    assert f"script-src 'sha256-{digest}'" in policy and "http" not in policy
    for tag in ("img", "audio"):
        assert page.every(tag) and all((each["src"] or "").startswith("data:") for each in page.every(tag))
    assert all((each["href"] or "").startswith("#") for each in page.every("a")) and not page.every("link")
    assert not re.search(r"url\(|@import|https?:", "".join(page.words))


def test_every_link_leads_somewhere_and_every_player_and_chart_has_a_name(page: Page) -> None:
    ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    assert {(each["href"] or "")[1:] for each in page.every("a")} <= ids
    assert all(each.get("aria-label") and "controls" in each for each in page.every("audio"))
    charts = [each for each in page.every("svg") if each.get("class") == "chart"]
    assert charts and len(page.every("desc")) == len(charts) and all(each["role"] == "img" for each in charts)
    assert all(each.get("alt") for each in page.every("img"))


def test_the_head_names_runs_digests_and_versions(page: Page) -> None:
    words = " ".join(" ".join(page.words).split())
    for expected in ("training", "train wae-debug", "2026-01-02 03:04:05", "invertone", "7 runs"):
        assert expected in words
    assert re.search(r"\b[0-9a-f]{12}\b", words)


def test_an_older_report_is_replaced_and_nothing_else_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(tmp_path / "run")
    evaluated(at(tmp_path / "run"), drawn=False)
    out = tmp_path / "report.html"
    assert command_line.main(["report", run, f"out={out}"]) == 0
    first = out.read_bytes()
    assert is_report(first)
    assert command_line.main(["report", run, f"out={out}", "title=Another"]) == 0
    assert out.read_bytes() != first and b"Another" in out.read_bytes()
    capsys.readouterr()

    foreign = tmp_path / "thesis.html"
    foreign.write_text("<!doctype html><p>invertone report")
    (tmp_path / "folder.html").mkdir()
    for name, said in (
        ("thesis.html", "out is a file that is no report of ours; give another out, or remove it yourself"),
        ("folder.html", "out is a folder; give the name of a file"),
        ("report.txt", "out is not named *.html; for example out=report.html"),
    ):
        for flags in ([], ["--dry-run"]):
            assert command_line.main(["report", run, f"out={tmp_path / name}", *flags]) == 2
            assert capsys.readouterr().err.startswith(f"invertone: {tmp_path / name}: {said}")
    assert foreign.read_text() == "<!doctype html><p>invertone report"
    assert not (tmp_path / "report.txt").exists()


def test_a_report_that_fails_leaves_the_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluated(at(tmp_path / "run"), drawn=False)
    words = ["report", str(tmp_path / "run"), f"out={tmp_path / 'report.html'}"]
    assert command_line.main(words) == 0
    before = (tmp_path / "report.html").read_bytes()

    def full(path: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    assert command_line.main([*words, "title=Another"]) == 2
    assert "No space left on device; make room, then run the same command again" in capsys.readouterr().err
    assert (tmp_path / "report.html").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "run"]


def test_a_dry_run_lists_what_would_be_shown_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluated(at(tmp_path / "table"))
    made_shards(at(tmp_path / "shards"), train=(3,), validation=0)
    inferred(at(tmp_path / "latents"), at(tmp_path / "shards"))
    before = sorted(tmp_path.rglob("*"))
    words = [str(tmp_path / "table"), str(tmp_path / "latents"), f"out={tmp_path}/new/report.html", "--dry-run"]
    assert command_line.main(["report", *words]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"would show: {tmp_path}/table: evaluation, its table, figures scatter 'Latents', lines 'Curve', histogram 'Spread', "
        f"matrix {'Matrix ' + HOSTILE!r}, images 'Grid'",
        f"would show: {tmp_path}/latents: inference, 1 Parquet files, clips beside their reconstructions",
        f"would write: {tmp_path}/new/report.html",
    ]
    assert sorted(tmp_path.rglob("*")) == before


def test_the_same_runs_give_the_same_page_but_for_its_date(tmp_path: Path) -> None:
    made_shards(at(tmp_path / "shards"), train=(6,), validation=0)
    run = inferred(at(tmp_path / "run"), at(tmp_path / "shards"))
    pages = []
    for name in ("a", "b"):
        assert command_line.main(["report", run.uri, f"out={tmp_path / name}.html", "clips=2"]) == 0
        pages.append(re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "", (tmp_path / f"{name}.html").read_text()))
    assert pages[0] == pages[1]


def test_runs_and_report_may_lie_on_s3(s3: str) -> None:
    place = Folder.at(f"{s3}/report")
    made_shards(place / "shards", train=(4,), validation=0)
    runs = [inferred(place / "latents", place / "shards"), evaluated(place / "table"), trained(place / "training")]
    words = ["report", *(run.uri for run in runs), f"out={place.uri}/page.html", "clips=2"]
    assert command_line.main(words) == 0 and command_line.main(words) == 0
    page = Page(place.read_bytes("page.html").decode())
    assert len(page.every("audio")) == 2 * 2 + 1 + 2 * 2 and not [text for text in page.words if "cannot be" in text]
    place.publish_bytes("other.html", b"<p>mine")
    assert command_line.main(["report", runs[0].uri, f"out={place.uri}/other.html"]) == 2

"""The page: complete, self-contained, small, and safe with names that contain HTML."""

from __future__ import annotations

import base64
import gzip
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import plotly.offline
import pytest

from autotrain.errors import StudyError
from autotrain.reporting.report.facts import ReportFacts
from autotrain.reporting.report.figures import FIGURES, figures_of, plain
from autotrain.reporting.report.page import SECTIONS, page_of
from autotrain.reporting.report.written import Report
from autotrain.study import Study
from tests.reporting.report.conftest import HOSTILE, LABEL

MOST_BYTES = 3_000_000
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Outline(HTMLParser):
    """Collects elements, and checks that they are closed in the right order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: dict[str | None, str] = {}
        self._script: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        self._script = dict(attrs).get("id") if tag == "script" else None

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts[self._script] = self.scripts.get(self._script, "") + data
        elif self.open and self.open[-1] != "style":
            self.text += data


def parsed(html: str) -> Outline:
    outline = Outline()
    outline.feed(html)
    outline.close()
    assert outline.open == []
    return outline


@pytest.fixture(scope="session")
def class_page(class_facts: ReportFacts) -> str:
    return page_of(class_facts, figures_of(class_facts))


@pytest.fixture(scope="session")
def number_page(number_facts: ReportFacts) -> str:
    return page_of(number_facts, figures_of(number_facts))


@pytest.fixture(params=["class_page", "number_page"])
def page(request: pytest.FixtureRequest) -> str:
    html: str = request.getfixturevalue(request.param)
    return html


def test_page_is_complete_html_with_every_section(page: str) -> None:
    outline = parsed(page)
    ids = {attrs.get("id") for tag, attrs in outline.tags if tag == "section"}
    assert ids == {name for name, _ in SECTIONS}
    links = {attrs["href"] for tag, attrs in outline.tags if tag == "a"}
    assert links == {f"#{name}" for name, _ in SECTIONS}
    assert [tag for tag, _ in outline.tags].count("h1") == 1


def test_page_requests_nothing(page: str) -> None:
    assert re.findall(r' (?:src|href|srcset|action|data|poster)="(?!#)', parsed_markup(page)) == []
    assert re.findall(r"url\(|@import", page) == []
    policies = [a["content"] for t, a in parsed(page).tags if "http-equiv" in a]
    assert policies
    assert str(policies[0]).startswith("default-src 'none'; ")


def parsed_markup(page: str) -> str:
    """Return the tags of a page, with their attributes and without texts."""
    return " ".join(
        f"<{tag} " + " ".join(f'{name}="{value}"' for name, value in attrs.items()) + ">"
        for tag, attrs in parsed(page).tags
    )


def test_page_is_small(page: str) -> None:
    assert 500_000 < len(page.encode()) < MOST_BYTES


def test_hostile_names_are_text(class_page: str) -> None:
    outline = parsed(class_page)
    tags = [tag for tag, _ in outline.tags]
    assert tags.count("script") == 3
    assert "img" not in tags
    assert "iframe" not in tags
    assert all(str(a["href"]).startswith("#") for t, a in outline.tags if t == "a")
    assert HOSTILE not in class_page
    assert LABEL not in class_page
    # The names are there, as text.
    assert HOSTILE in outline.text
    assert LABEL in outline.text


def test_figures_are_json_without_html(class_page: str, class_facts: ReportFacts) -> None:
    script = parsed(class_page).scripts["figures"]
    assert "<" not in script
    figures = json.loads(script)
    assert set(figures) == set(figures_of(class_facts))
    assert "<a href" not in json.dumps(figures)
    assert plain(LABEL, most=20) in json.dumps(figures, ensure_ascii=False).replace('\\"', '"')


def test_each_figure_is_drawn_by_one_of_the_pages(
    class_facts: ReportFacts, number_facts: ReportFacts, class_page: str, number_page: str
) -> None:
    shown = set()
    for facts, html in ((class_facts, class_page), (number_facts, number_page)):
        figures = figures_of(facts)
        places = re.findall(r'data-figure="(\w+)"', html)
        assert sorted(places) == sorted(figures)
        shown |= set(figures)
    assert shown == set(FIGURES)


def test_packed_library_is_plotly(page: str) -> None:
    packed = parsed(page).scripts["plotly"]
    assert gzip.decompress(base64.b64decode(packed)).decode() == plotly.offline.get_plotlyjs()


def test_leaderboard_has_each_trial_and_values_to_sort_by(
    class_page: str, class_facts: ReportFacts
) -> None:
    table = class_page[class_page.index('id="trials"') :].partition("</table>")[0]
    numbers = re.findall(r'class="number number" data-value="(\d+)"', table)
    assert sorted(map(int, numbers)) == sorted(trial.number for trial in class_facts.trials)
    assert table.count("<button type=") == table.count("<th ")


def test_page_of_an_empty_study_is_complete(class_facts: ReportFacts) -> None:
    facts = replace(
        class_facts,
        trials=(),
        winner=None,
        predictor=None,
        model=None,
        columns=None,
        scores=(),
        techniques=(),
        layers=(),
        importances=replace(class_facts.importances, values={}, n_trials=0),
        pruning=replace(class_facts.pruning, rows=(), complete_epochs=None, n_complete=0),
        status=replace(class_facts.status, n_complete=0, top=(), winner=None),
    )
    figures = figures_of(facts)
    assert figures == {}
    text = parsed(page_of(facts, figures)).text
    assert "The study has no model yet." in text
    assert "No trial is complete" in text


def test_study_writes_the_report_and_a_notebook_displays_it(
    classified: Study, tmp_path: Path
) -> None:
    report = classified.report(tmp_path / "r.html")
    assert isinstance(report, Report)
    assert report.path.read_text(encoding="utf-8") == report.html
    shown = parsed(report._repr_html_())
    ((tag, attrs),) = shown.tags
    assert tag == "iframe"
    assert attrs["srcdoc"] == report.html
    assert attrs["sandbox"] == "allow-scripts"


def test_report_of_an_open_study_is_the_same(classified: Study, tmp_path: Path) -> None:
    closed = classified.report(tmp_path / "closed.html").html
    with classified:
        _ = classified.best_trial
        opened = classified.report(tmp_path / "open.html").html
    without_time = [re.sub(r"\d+-\d+-\d+ \d+:\d+ UTC", "", each) for each in (closed, opened)]
    assert without_time[0] == without_time[1]


def test_output_that_is_no_file_is_an_error(classified: Study, tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing" / "r.html"):
        with pytest.raises(StudyError) as caught:
            classified.report(path)
        assert caught.value.parameter == "path"

import base64
import csv
import io
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape, unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import soundfile
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

import ser.results
import ser.results.page
from ser.evaluation import SCORES, Answers
from ser.results import Recipe, RunRecord, scored
from ser.results.figures import curves_figure, reliability_figure
from ser.results.page import BEST, PLAYED_SECONDS, WORST, drawn, markdown_table, pages, run_page
from ser.train import run
from tests.helpers import QUICK, composed

LABELS = ["<anger>", 'happy & "glad"', "sad's"]

CLIPS = 30

LOADING = ("src", "href", "xlink:href", "srcset", "poster", "data", "action", "background", "cite", "ping")
"""Attributes that a browser follows or loads."""

VOID = ("meta", "br", "hr", "img", "link", "input")

SCORE_TAGS = {f"{side}/{name}" for side in ("train", "val") for name in ("loss", *SCORES)}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    children: list["Element"] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def all(self, *tags: str) -> Iterator["Element"]:
        """Those of ``tags`` below it, in order."""
        for child in self.children:
            if not tags or child.tag in tags:
                yield child
            yield from child.all(*tags)

    @property
    def text(self) -> str:
        """Its own and that of everything below it, with single spaces."""
        return " ".join(" ".join(self.words + [child.text for child in self.children]).split())


class Page(HTMLParser):
    """A page as a tree; every element must be closed in its turn."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {})
        self.open = [self.root]
        self.feed(html)
        self.close()
        assert self.open == [self.root], f"not closed: {[element.tag for element in self.open[1:]]}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"{tag} has an attribute twice"
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        self.open[-1].words.append(data)

    def table(self, name: str) -> list[list[str]]:
        """The cells of the table in the region of that name, row by row, its head first."""
        (region,) = (e for e in self.root.all("div") if e.attributes.get("aria-label") == name)
        return [[cell.text for cell in row.all("th", "td")] for row in region.all("tr")]


class Made(NamedTuple):
    cfg: dict[str, Any]
    results: dict[str, Any]
    answers: Answers
    sounds: dict[str, Path]

    def page(self, **changes: Any) -> str:
        return page_of(self, {**self.results, **changes}, self.answers, self.sounds)


def page_of(made: Made, results: dict[str, Any], answers: Answers, sounds: dict[str, Path]) -> str:
    return run_page(made.cfg, RunRecord(**results, recipe=Recipe((), {})), answers, sounds)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A result with odd names: clip 0 is the surest one, clip 29 the least sure; every third answer is wrong."""
    folder = tmp_path_factory.mktemp("sounds")
    rng = np.random.default_rng(0)
    answer = rng.integers(0, 3, CLIPS)
    true = np.where(np.arange(CLIPS) % 3 == 0, (answer + 1) % 3, answer)
    sure = np.linspace(0.95, 0.4, CLIPS)
    probabilities = np.repeat((1 - sure)[:, None] / 2, 3, axis=1)
    probabilities[np.arange(CLIPS), answer] = sure
    names = [f"<i>clip&'{i}\".wav" for i in range(CLIPS)]
    sounds = {name: folder / f"{i}.wav" for i, name in enumerate(names)}
    for i, path in enumerate(sounds.values()):
        soundfile.write(path, 0.1 * rng.standard_normal(4_000 + i), 16_000, subtype="PCM_16")
    sentences = ['say <b>this</b> & "that"', "nothing's here"] * (CLIPS // 2)
    about = {
        "sex": ["female", "male", "male"] * 10,
        "sentence": sentences,
        "speaker": [f"p{i % 6}" for i in range(CLIPS)],
    }
    votes = np.eye(3)[true] * 3 + np.eye(3)[answer]
    answers = Answers(LABELS, names, true, probabilities, about, votes)
    tags = sorted(SCORE_TAGS)
    results = {
        "row": None,
        "dataset": {
            "name": "my <corpus>",
            "synthetic": False,
            "clips": 100,
            "speakers": 12,
            "skipped": [{"clip": "x.wav", "reason": "<x>.wav: can't be read & so on"}],
        },
        "split": {
            "name": "speaker",
            "hash": "0123456789ab",
            "clips": {"train": 50, "val": 20, "test": CLIPS},
            "leakage": "0 of 6 test speakers were seen in training or validation.",
        },
        "features": "mel",
        "model": "paper2d",
        "seed": 1,
        "checkpoint": {"tested": "best", "epoch": 2},
        "calibration": {"temperature": 1.25, "validation_clips": 20, "test_error_before": 0.321, "test_error": 0.123},
        "labels": {"classes": LABELS, "left_out": {"<calm>": 7}},
        "history": [{"epoch": epoch, **{tag: 1 / (epoch + i) for i, tag in enumerate(tags)}} for epoch in (1, 2, 3)],
        "versions": {"python": "3.11.0", "torch": "2.11.0"},
        "git": "abcdef0123",
        "command": ["python", "train.py", "labels.merge={sad: <anger>}", "seed=1"],
        **scored(answers),
    }
    return Made(
        {"seed": 1, "dataset": {"root": "a <folder>"}, "labels": {"merge": {"a": "b"}}}, results, answers, sounds
    )


@pytest.fixture(scope="module")
def html(made: Made) -> str:
    return made.page()


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty figures, for speed where a test is not about them."""
    monkeypatch.setattr(ser.results.page, "drawn", lambda *_: Markup("<svg></svg>"))


class Run(NamedTuple):
    folder: Path
    results: dict[str, Any]

    @property
    def html(self) -> str:
        return (self.folder / "page.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A tiny run of three epochs."""
    root = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    for emotion, pitch in (("anger", 900), ("happy", 500), ("sad", 200)):
        (root / emotion).mkdir()
        for take in range(10):
            tone = 0.3 * np.sin(2 * np.pi * pitch * rng.uniform(0.6, 1.6) * np.arange(6_400) / 16_000)
            soundfile.write(root / emotion / f"{take}.wav", tone + 0.1 * rng.standard_normal(6_400), 16_000)
    overrides = [
        "dataset=folder",
        f"dataset.root={root}",
        "split.val=0.2",
        *QUICK,
        "trainer.max_epochs=3",
    ]
    cfg = composed(*overrides)
    folder = tmp_path_factory.mktemp("run")
    with ser.results.console.capture():
        return Run(folder, run(cfg, folder, ["python", "train.py", *overrides]))


def loads_nothing(html: str) -> None:
    """Check that a page needs no other file: what is followed is in the page, and addresses are names of formats."""
    root = Page(html).root
    for element in root.all():
        assert element.tag not in ("link", "script", "iframe", "object", "embed", "img", "base"), element.tag
        for name in LOADING:
            value = element.attributes.get(name, "#")
            assert value.startswith(("#", "data:")), f"{element.tag} {name}={value[:80]}"
        for name, value in element.attributes.items():
            assert name.startswith(("xmlns", "rdf:")) or not re.search(r"https?:|//\w", value[:200]), (name, value[:80])
    assert all(place.startswith("#") for place in re.findall(r"url\(['\"]?([^)]*)\)", html))
    assert "@import" not in html
    text = re.sub(r"<metadata>.*?</metadata>", "", html, flags=re.DOTALL)
    assert set(re.findall(r"https?://[^\"'< ]*", text)) <= {
        "http://www.w3.org/1999/xlink",
        "http://www.w3.org/2000/svg",
    }


def test_a_page_is_one_file_that_loads_nothing(html: str, trained: Run) -> None:
    loads_nothing(html)
    loads_nothing(trained.html)


def test_a_page_is_told_its_language_its_letters_and_its_name(html: str, page: Page) -> None:
    assert html.startswith("<!doctype html>")
    (whole,) = page.root.all("html")
    assert whole.attributes["lang"] == "en"
    assert {"charset": "utf-8"} in [meta.attributes for meta in page.root.all("meta")]
    assert [title.text for title in whole.all("title")] == ["mel → paper2d on my <corpus>"]
    assert [title.text for title in whole.all("h1")] == ["mel → paper2d on my <corpus>"]


def accessible(page: Page) -> None:
    """Check that tables and figures can be read without seeing them."""
    for table in page.root.all("table"):
        heads = list(table.all("th"))
        assert {head.attributes.get("scope") for head in heads} == {"row", "col"}
        widths = {sum(1 for _ in row.all("th", "td")) for row in table.all("tr")}
        assert len(widths) == 1, "every row has as many cells as the head"
        assert all(next(row.all("th", "td")).tag == "th" for row in table.all("tr")), "a row begins with its name"
    for region in page.root.all("div"):
        assert region.attributes["role"] == "region"
        assert region.attributes["tabindex"] == "0", "what scrolls can be reached by keyboard"
        assert region.attributes["aria-label"]
    for figure in page.root.all("figure"):
        assert figure.attributes["role"] == "img"
        assert figure.attributes["aria-label"]
        assert sum(1 for _ in figure.all("svg")) == 1
    assert sum(1 for _ in page.root.all("svg")) == sum(1 for _ in page.root.all("figure"))
    assert all(audio.attributes["aria-label"] for audio in page.root.all("audio"))


def test_tables_have_heads_and_figures_have_names(page: Page, trained: Run) -> None:
    accessible(page)
    assert {figure.attributes["aria-label"] for figure in page.root.all("figure")} == {
        "Loss and scores of training and validation by epoch",
        "Accuracy by confidence",
        "UAR of each group with its interval",
    }
    accessible(Page(trained.html))


def test_the_numbers_of_the_results_are_on_the_page(made: Made, page: Page) -> None:
    results, text = made.results, page.root.text
    intervals = {name: "{:.3f} to {:.3f}".format(*results["intervals"][name]) for name in SCORES}
    assert page.table("Scores")[1:] == [[name, f"{results['test'][name]:.4f}", intervals[name]] for name in SCORES]
    assert f"Test accuracy {results['test']['accuracy']:.3f} ({intervals['accuracy']})" in text
    assert f"UAR {results['test']['uar']:.3f} ({intervals['uar']}), chance 0.333." in text
    assert "bootstrap over 6 speakers" in text
    counts = results["confusion_matrix"]["counts"]
    assert page.table("Confusion matrix") == [
        ["true \\ answer", *LABELS],
        *([label, *map(str, row)] for label, row in zip(LABELS, counts, strict=True)),
    ]
    classes = results["classes"]
    assert page.table("Most confusing classes")[1:] == [
        [label, *(f"{classes[label][key]:.3f}" for key in ("f1", "precision", "recall")),
         str(classes[label]["clips"]), str(classes[label]["predicted"])]
        for label in results["most_confusing"]
    ]  # fmt: skip
    for group in ("sex", "sentence"):
        assert page.table(f"By {group}")[1:] == [
            [value, str(told["clips"]), str(told["speakers"]), f"{told['accuracy']:.3f}", f"{told['uar']:.3f}",
             "{:.3f} to {:.3f}".format(*told["intervals"]["uar"])]
            for value, told in results["groups"][group].items()
        ]  # fmt: skip
    raters = results["raters"]
    assert (
        f"on {CLIPS} of these clips: one rater is right in {raters['one_rater']['accuracy']:.3f} of the votes" in text
    )
    assert f"the majority in {raters['majority']['accuracy']:.3f}" in text
    assert f"agrees with the majority in {raters['network_with_majority']['accuracy']:.3f}" in text


def test_the_page_says_what_was_done(made: Made, page: Page) -> None:
    text = page.root.text
    for told in (
        "0 of 6 test speakers were seen in training or validation.",
        "Temperature 1.25, fitted on 20 validation clips.",
        "error on the test clips 0.321 before, 0.123 after.",
        "Tested: the best checkpoint, epoch 2.",
        "my <corpus>: 100 clips of 12 known speakers; split speaker (0123456789ab): 50 train, 20 val, 30 test.",
        f"Emotions, in this order: {', '.join(LABELS)}.",
        "Left out by labels: 7 <calm>.",
        "<x>.wav: can't be read & so on",
        "python 3.11.0, torch 2.11.0; revision abcdef0123.",
        "a <folder>",
    ):
        assert told in text
    assert next(pre.text for pre in page.root.all("pre")) == "python train.py 'labels.merge={sad: <anger>}' seed=1"


def test_a_synthetic_corpus_brings_its_caution(made: Made, page: Page, undrawn: None) -> None:
    assert not [e for e in page.root.all("p") if e.attributes.get("class") == "caution"]
    dataset = {**made.results["dataset"], "synthetic": True, "caution": "No <person> speaks."}
    synthetic = Page(made.page(dataset=dataset))
    assert [e.text for e in synthetic.root.all("p") if e.attributes.get("class") == "caution"] == [
        "No <person> speaks."
    ]


def test_a_class_that_is_never_answered_has_no_precision(made: Made, undrawn: None) -> None:
    label = made.results["most_confusing"][0]
    classes = {**made.results["classes"], label: {**made.results["classes"][label], "predicted": 0, "precision": 0.0}}
    assert Page(made.page(classes=classes)).table("Most confusing classes")[1][2] == "–"


def test_odd_names_are_escaped(made: Made, html: str, page: Page) -> None:
    for raw in ("<anger>", "<i>", "<b>this", "<corpus>", "<x>", "<calm>", "<folder>"):
        assert raw not in html
        assert escape(raw) in html
    assert not list(page.root.all("i", "b", "anger", "corpus"))
    names = [audio.attributes["aria-label"] for audio in page.root.all("audio")]
    assert set(names) <= set(made.answers.clips), "a name with quotes stays one attribute"
    (groups,) = (e for e in page.root.all("figure") if e.attributes["aria-label"].startswith("UAR of each group"))
    assert 'say <b>this</b> & "that"' in groups.text


def test_the_surest_wrong_and_right_answers_are_told(made: Made, page: Page) -> None:
    answers, clips, sure = made.answers, made.answers.clips, made.answers.probabilities.max(1)
    for title, rows in (
        ("The surest mistakes", [i for i in range(CLIPS) if i % 3 == 0][:WORST]),
        ("The surest right answers", [i for i in range(CLIPS) if i % 3][:BEST]),
    ):
        assert [line[:4] for line in page.table(title)[1:]] == [
            [clips[i], LABELS[answers.true[i]], LABELS[answers.predicted[i]], f"{sure[i]:.3f}"] for i in rows
        ]


def heard(audio: Element) -> tuple[NDArray[np.int16], int]:
    kind, _, data = audio.attributes["src"].partition(",")
    assert kind == "data:audio/flac;base64"
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(data, validate=True)), dtype="int16")
    return samples, rate


def test_every_sound_of_the_page_is_its_clip(made: Made, page: Page) -> None:
    audios = list(page.root.all("audio"))
    assert len(audios) == WORST + BEST
    assert len({audio.attributes["aria-label"] for audio in audios}) == WORST + BEST
    for audio in audios:
        samples, rate = heard(audio)
        expected, _ = soundfile.read(made.sounds[audio.attributes["aria-label"]], dtype="int16")
        assert rate == 16_000
        np.testing.assert_array_equal(samples, expected)
        assert "controls" in audio.attributes


def test_a_long_sound_of_another_kind_is_cut_and_made_playable(made: Made, tmp_path: Path, undrawn: None) -> None:
    time = np.arange(12 * 48_000) / 48_000
    tone = 0.5 * np.sin(2 * np.pi * 440 * time)
    soundfile.write(tmp_path / "long.flac", np.stack([tone, tone], 1), 48_000, subtype="PCM_24")
    surest = made.answers.clips[0]
    page = Page(page_of(made, made.results, made.answers, {surest: tmp_path / "long.flac"}))
    (audio,) = page.root.all("audio")
    samples, rate = heard(audio)
    assert samples.shape == (PLAYED_SECONDS * rate,)
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(len(samples)) / rate)
    np.testing.assert_allclose(samples[1000:-1000] / 32768, expected[1000:-1000], atol=0.01)


def test_sounds_that_are_gone_or_broken_are_not_played(made: Made, tmp_path: Path, undrawn: None) -> None:
    (tmp_path / "broken.wav").write_text("no sound")
    clips = made.answers.clips
    sounds = {clips[0]: tmp_path / "broken.wav", clips[1]: tmp_path / "gone.wav", clips[3]: made.sounds[clips[3]]}
    page = Page(page_of(made, made.results, made.answers, sounds))
    assert [audio.attributes["aria-label"] for audio in page.root.all("audio")] == [clips[3]]
    assert len(page.table("The surest mistakes")) == 1 + WORST
    accessible(page)
    assert not list(Page(page_of(made, made.results, made.answers, {})).root.all("audio"))


def test_only_right_answers_leave_no_table_of_mistakes(made: Made, undrawn: None) -> None:
    answers = made.answers
    right = Answers(LABELS, answers.clips, answers.predicted, answers.probabilities, {})
    page = Page(page_of(made, {**made.results, **scored(right)}, right, {}))
    assert "The surest mistakes" not in page.root.text
    assert len(page.table("The surest right answers")) == 1 + BEST
    assert "Groups" not in page.root.text


def test_pooled_folds_have_a_page(made: Made) -> None:
    folds = [{"fold": i, "hash": "", **dict.fromkeys(SCORES, 0.1 * i + 0.01), "loss": 1.0} for i in range(3)]
    kept = {key: value for key, value in made.results.items() if key not in ("history", "calibration", "raters", "git")}
    results = {**kept, "folds": folds, "command": None, "checkpoint": {"tested": "best", "epoch": "4, 7, 5"}}
    html = page_of(made, results, made.answers, {})
    loads_nothing(html)
    page = Page(html)
    accessible(page)
    assert page.table("Folds") == [
        ["fold", *SCORES],
        *([str(fold["fold"]), *(f"{fold[name]:.3f}" for name in SCORES)] for fold in folds),
    ]
    assert "Training" not in [title.text for title in page.root.all("h2")]
    assert "Temperature" not in page.root.text
    assert "revision" not in page.root.text
    assert "Human raters" not in page.root.text


def test_the_same_results_make_the_same_page(made: Made, html: str) -> None:
    assert made.page() == html


def test_figures_take_the_pages_own_colour_for_what_is_black() -> None:
    figure = reliability_figure(np.array([[0.9, 0.1], [0.3, 0.7]]), np.array([0, 0]))
    svg = str(drawn(figure))
    assert svg.startswith('<svg fill="currentColor"')
    assert "currentColor" in svg[20:]
    assert "#000000" not in svg
    assert "share of right answers" in svg, "text stays text"


def test_the_page_of_a_sweep_has_its_tables_and_its_runs() -> None:
    tables = [
        ("first & <best>", ["run", "accuracy"], [["mel → paper2d", "0.512"], ["<b>", "–"]]),
        ("second", ["run"], [["only one"]]),
    ]
    runs = [("run <0>", '0/page.html?"x"'), ("run 1", "1/page.html")]
    index = pages.get_template("index.html")
    html = index.render(title="My <sweep>", tables=tables, runs=runs)
    page = Page(html)
    accessible(page)
    assert [title.text for title in page.root.all("h1", "title")] == ["My <sweep>"] * 2
    assert [title.text for title in page.root.all("h2")] == ["first & <best>", "second", "Runs"]
    assert page.table("first & <best>") == [["run", "accuracy"], ["mel → paper2d", "0.512"], ["<b>", "–"]]
    assert page.table("second") == [["run"], ["only one"]]
    assert [(link.text, link.attributes["href"]) for link in page.root.all("a")] == [
        ("run <0>", '0/page.html?"x"'),
        ("run 1", "1/page.html"),
    ]
    assert "can't be compared" in page.root.text
    assert not re.search(r"https?://", html)
    alone = Page(index.render(title="My sweep", tables=tables[1:], runs=[]))
    assert "can't be compared" not in alone.root.text
    assert not list(alone.root.all("a"))


def lines(axes: Axes) -> dict[str, list[tuple[float, float]]]:
    return {
        str(line.get_label()): [(float(x), float(y)) for x, y in np.array(line.get_xydata())] for line in axes.lines
    }


def test_curves_hold_the_history() -> None:
    history = [{"epoch": e, **{tag: e + i / 100 for i, tag in enumerate(sorted(SCORE_TAGS))}} for e in (1, 2, 3, 4)]
    panels = {axes.get_title(loc="left"): axes for axes in curves_figure(history).axes}
    assert list(panels) == ["loss", "accuracy", "macro_f1", "uar"]
    for name, axes in panels.items():
        assert lines(axes) == {
            side: [(epoch["epoch"], epoch[f"{side}/{name}"]) for epoch in history] for side in ("train", "val")
        }
        styles = [line.get_linestyle() for line in axes.lines]
        assert len(set(styles)) == 2, "told apart without colour"
    legend = panels["loss"].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["train", "val"]


def test_curves_pass_over_epochs_that_were_not_validated() -> None:
    history = [{"epoch": 1, "train/loss": 3.0}, {"epoch": 2, "train/loss": 2.0, "val/loss": 2.5}]
    figure = curves_figure(history)
    assert lines(figure.axes[0]) == {"train": [(1, 3.0), (2, 2.0)], "val": [(2, 2.5)]}
    assert figure.axes[0].lines[1].get_marker() == ".", "a single point can be seen"
    assert not figure.axes[1].lines


def test_reliability_holds_confidence_accuracy_and_clips_of_each_bin() -> None:
    sure = np.array([0.52, 0.58, 0.9, 0.95, 0.93, 0.91, 1.0])
    right = np.array([True, False, True, True, True, False, True])
    probabilities = np.stack([sure, 1 - sure], 1)
    figure = reliability_figure(probabilities, np.where(right, 0, 1))
    (axes,) = figure.axes
    diagonal, points = (np.array(line.get_xydata()) for line in axes.lines)
    np.testing.assert_allclose(diagonal, [[0, 0], [1, 1]])
    np.testing.assert_allclose(points, [[0.55, 0.5], [(0.9 + 0.95 + 0.93 + 0.91 + 1.0) / 5, 0.8]])
    assert [text.get_text() for text in axes.texts] == ["2", "5"]
    assert isinstance(figure, Figure)


def test_metrics_json_has_one_entry_an_epoch(trained: Run) -> None:
    history = json.loads((trained.folder / "metrics.json").read_text(encoding="utf-8"))["history"]
    assert [entry["epoch"] for entry in history] == [1, 2, 3]
    assert all(set(entry) == {"epoch", *SCORE_TAGS} for entry in history)
    for side, values in trained.results["last_epoch"].items():
        for name in ("loss", *SCORES):
            assert history[-1][f"{side}/{name}"] == pytest.approx(values[name], abs=1e-6)
    assert len({entry["train/loss"] for entry in history}) == 3


def test_the_history_is_what_the_other_logger_was_told(trained: Run) -> None:
    with next(trained.folder.rglob("metrics.csv")).open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    for tag in SCORE_TAGS:
        told = [float(row[tag]) for row in table if row.get(tag)]
        assert [entry[tag] for entry in trained.results["history"]] == pytest.approx(told, abs=1e-6)


def test_a_runs_page_holds_its_curves_and_its_sounds(trained: Run) -> None:
    page = Page(trained.html)
    assert [title.text for title in page.root.all("h1")] == ["energy_zcr → cnn1d on folder"]
    assert "Training" in [title.text for title in page.root.all("h2")]
    audios = list(page.root.all("audio"))
    right = round(trained.results["test"]["accuracy"] * trained.results["split"]["clips"]["test"])
    assert len(audios) == min(right, BEST) + min(trained.results["split"]["clips"]["test"] - right, WORST)
    assert all(len(heard(audio)[0]) == 6_400 for audio in audios)


def test_a_table_in_markdown_has_text_on_the_left_and_numbers_on_the_right() -> None:
    table = markdown_table(["condition", "UAR"], [["a|b", "0.5"]], ["condition"])
    assert table == "| condition | UAR |\n| --- | ---: |\n| a\\|b | 0.5 |"


def test_a_browser_shows_the_page_on_a_narrow_screen(html: str, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("no chromium on the PATH")
    # A window is never narrower than 500 pixels, a frame in it is.
    measure = "const page = this.contentDocument.documentElement; document.body.dataset.sizes = "
    measure += "[page.clientWidth, page.scrollWidth, page.querySelectorAll('audio').length, "
    measure += "page.querySelector('h1').innerText]"
    path = tmp_path / "framed.html"
    frame = (
        f'<iframe style="width: 420px; height: 900px; border: 0" onload="{measure}" srcdoc="{escape(html)}"></iframe>'
    )
    path.write_text(f'<!doctype html><meta charset="utf-8"><body>{frame}</body>', encoding="utf-8")
    options = (
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom",
    )  # fmt: skip
    shown = subprocess.run([browser, *options, path.as_uri()], capture_output=True, text=True, check=True, timeout=120)
    (sizes,) = re.findall(r'data-sizes="([^"]*)"', shown.stdout)
    seen, width, sounds, title = unescape(sizes).split(",")
    assert (sounds, title) == (str(WORST + BEST), "mel → paper2d on my <corpus>")
    assert 400 <= int(seen) <= 420
    assert int(width) <= int(seen), "only tables scroll sideways"

import copy
import csv
import json
import shlex
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import soundfile
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

import ser.results
from ser.data.corpora import FACTS, SIDES
from ser.errors import visible
from ser.evaluation import SCORES
from ser.results import Recipe, RunRecord
from ser.results.cards import LISTED, MOST_ROWS, cards, data_card, model_card, plain
from ser.train import run
from tests.helpers import composed

LABELS = ["anger|x", "happy <b>& $more$</b>", "two\nlines_"]

BROKEN = "bro|ken.wav"


class Page:
    """A card, read as a reader's program reads it."""

    def __init__(self, text: str) -> None:
        self.front: dict[str, Any] = {}
        if text.startswith("---\n"):
            front, text = text[4:].split("\n---\n", 1)
            self.front = yaml.safe_load(front)
        self.tokens = MarkdownIt("commonmark").enable("table").parse(text)
        parts = [*self.tokens, *(child for token in self.tokens for child in token.children or ())]
        assert [part.content for part in parts if part.type in ("html_block", "html_inline")] == []
        self.blocks = [(before.tag, shown(token)) for before, token in zip(self.tokens, self.tokens[1:], strict=False)
                       if token.type == "inline" and before.type != "th_open"]  # fmt: skip
        self.text = "\n".join(text for _, text in self.blocks)
        self.code = [token.content for token in self.tokens if token.type == "code_block"]

    @property
    def tables(self) -> list[list[list[str]]]:
        """Rows of cells, the head first."""
        tables: list[list[list[str]]] = []
        for token in self.tokens:
            if token.type == "table_open":
                tables.append([])
            elif token.type == "tr_open":
                tables[-1].append([])
            elif token.type == "inline" and tables and token.level > 0 and self._in_table(token):
                tables[-1][-1].append(shown(token))
        return tables

    def _in_table(self, token: Token) -> bool:
        before = self.tokens[self.tokens.index(token) - 1]
        return before.type in ("th_open", "td_open")

    def table(self, first: str) -> list[list[str]]:
        """Rows of the table whose head begins with ``first``, without the head."""
        (rows,) = (table[1:] for table in self.tables if table[0][0] == first)
        return rows

    def line(self, start: str) -> str:
        """The one item or paragraph that begins so."""
        (line,) = (text for _, text in self.blocks if text.startswith(start))
        return line


def shown(token: Token) -> str:
    """What a reader sees of a run of text."""
    return "".join(
        {"softbreak": " ", "hardbreak": " "}.get(child.type, child.content) for child in token.children or ()
    )


def seen(name: str) -> str:
    """A name as a page can show it: with single spaces."""
    return " ".join(name.split())


class Made(NamedTuple):
    folder: Path
    cfg: dict[str, Any]
    results: dict[str, Any]

    def model(self, **changes: Any) -> Page:
        return Page(model_card(self.cfg, record(changed(self.results, changes))))

    def data(self, **changes: Any) -> Page:
        return Page(data_card(self.cfg, record(changed(self.results, changes))))


def record(results: dict[str, Any]) -> RunRecord:
    results = {name: value for name, value in results.items() if name != "schema"}
    return RunRecord(**{**results, "recipe": Recipe((), {})})


def changed(results: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    results = copy.deepcopy(results)
    for part, values in changes.items():
        results[part] = results[part] | values if isinstance(values, dict) and part in results else values
    return results


def tone(path: Path, pitch: float, seconds: float, rate: int = 16_000, channels: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    sound = 0.3 * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate)
    soundfile.write(path, np.tile(sound[:, None], channels), rate, subtype="PCM_16")
    return path


def train(folder: Path, *words: str) -> Made:
    tiny = [
        "datamodule.batch_size=8", "features=energy_zcr", "features.hop_length=200", "model=cnn1d", "logger=csv",
        "trainer.max_epochs=1", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false",
        "figure_every_n_epochs=0",
    ]  # fmt: skip
    cfg = composed(*tiny, *words)
    with ser.results.console.capture():
        return Made(folder, cfg, run(cfg, folder, ["python", "train.py", *words]))


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A run on a manifest with odd names, 6 speakers on all sides, one clip that is broken and one that is stereo."""
    root = tmp_path_factory.mktemp("own")
    rows = []
    for number, label in enumerate(LABELS):
        for take in range(12):
            name = f"{number}_{take}.wav"
            odd = (number, take) == (0, 0)
            tone(root / name, 200 + 300 * number + 7 * take, 0.4, 8_000 if odd else 16_000, 2 if odd else 1)
            rows.append((name, label, f"p|{take % 6}", ("female", "male")[take % 2], 20 + take % 6))
    (root / BROKEN).write_text("no sound")
    rows.append((BROKEN, LABELS[0], "p|0", "female", 20))
    with (root / "clips.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "emotion", "speaker", "sex", "age"), *rows])
    return train(tmp_path_factory.mktemp("run"), "dataset=manifest", f"dataset.root={root}/clips.csv", "split.val=0.2")


@pytest.fixture(scope="module")
def across(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A run that learnt from clips named as CREMA-D's and was tested on clips named as EMO-DB's."""
    root = tmp_path_factory.mktemp("corpora")
    for number, (crema_d, emodb) in enumerate((("ANG", "W"), ("HAP", "F"), ("SAD", "T"))):
        for speaker in range(4):
            for take, sentence in enumerate(("DFA", "IEO")):
                pitch = 200 + 300 * number + 20 * speaker + 7 * take
                tone(root / f"crema_d/{1001 + speaker}_{sentence}_{crema_d}_XX.wav", pitch, 0.4)
                tone(root / f"emodb/{('03', '08', '09', '10')[speaker]}a0{1 + take}{emodb}a.wav", pitch + 3, 0.5)
    tone(root / "emodb/03a01La.wav", 700, 0.4)  # boredom, which CREMA-D does not have
    return train(
        tmp_path_factory.mktemp("across"),
        "dataset=multi",
        "dataset.names=[crema_d,emodb]",
        f"dataset.roots={{crema_d: {root}/crema_d, emodb: {root}/emodb}}",
        "split=cross_corpus",
        "split.test_corpora=[emodb]",
        "split.val=0.25",
    )


def test_a_run_leaves_both_cards(own: Made) -> None:
    for name, card in (("model_card.md", model_card), ("data_card.md", data_card)):
        assert (own.folder / name).read_text(encoding="utf-8") == card(own.cfg, record(own.results))
    kept = json.loads((own.folder / "metrics.json").read_text(encoding="utf-8"))
    assert model_card(own.cfg, record(kept)) == model_card(own.cfg, record(own.results)), "the results are plain data"


def test_scores_and_classes_are_those_of_the_results(own: Made) -> None:
    r, page = own.results, own.model()
    assert page.table("score") == [
        [name, f"{r['test'][name]:.3f}", "{:.3f} to {:.3f}".format(*r["intervals"][name])] for name in SCORES
    ]
    assert page.table("emotion") == [
        [
            seen(label), str(line["clips"]), str(line["predicted"]), f"{line['recall']:.3f}",
            f"{line['precision']:.3f}" if line["predicted"] else "–", f"{line['f1']:.3f}",
        ]
        for label, line in ((label, r["classes"][label]) for label in sorted(LABELS))
    ]  # fmt: skip
    assert f"in this order: {', '.join(map(seen, sorted(LABELS)))}." in page.line("Answer")
    assert f"a bootstrap over {r['intervals']['over']}." in page.line("Test clips: ")
    error = r["calibration"]
    assert f"{error['test_error']:.3f} on" in page.line("Calibration")
    assert f"without it, {error['test_error_before']:.3f}" in page.line("Calibration")


def test_the_model_can_be_made_again(own: Made) -> None:
    r, page = own.results, own.model()
    command, use = page.code
    assert shlex.split(command) == r["command"]
    assert "dataset=manifest" in r["command"]
    assert use.strip() == "python scripts/predict.py FOLDER clip.wav"
    assert f"hash {r['split']['hash']}" in page.line("Split: stratified (")
    assert "val=0.2" in page.line("Split")
    clips = "Clips: {train} to learn from, {val} for validation, {test} for the test".format(**r["split"]["clips"])
    assert page.line("Clips").startswith(clips)
    assert page.line("Epochs").startswith(f"Epochs: 1; seed: {r['seed']}; precision: {r['precision']};")
    assert all(f"{name} {version}" in page.line("Versions") for name, version in r["versions"].items())
    assert f"{r['input']['seconds']:.2f} s of it" in page.line("Input: mono sound at 16,000 Hz")
    assert r["input"] == {"sample_rate": 16_000, "seconds": 0.4, "shape": r["input"]["shape"]}


def test_what_it_must_not_be_used_for_is_said_with_the_law(own: Made) -> None:
    text = own.model().text
    for word in (
        "hiring",
        "education",
        "policing",
        "credit",
        "health",
        "border control",
        "Article 5(1)(f)",
        "2024/1689",
    ):
        assert word in text
    assert "not for what a person feels" in own.model().line("A label")


def test_speakers_that_were_heard_are_said_first(own: Made) -> None:
    leakage = own.results["split"]["leakage"]
    _, (_, first) = own.model().blocks[:2]
    assert leakage.startswith("6 of 6 test speakers")
    assert first == f"The scores overstate how well new people are recognised. {leakage}"
    assert own.model().text.count(leakage) == 1
    apart = own.model(split={"test_speakers_heard_before": 0, "leakage": "0 of 6 were heard."})
    assert "overstate" not in apart.text
    assert apart.text.count("0 of 6 were heard.") == 1
    twins = own.model(split={"test_speakers_heard_before": 0, "recordings_on_two_sides": [["a", "b"]]})
    assert twins.blocks[1][1].startswith("The scores overstate")


def test_groups_are_told_with_their_intervals_and_many_values_in_a_line(own: Made) -> None:
    page = own.model()
    groups = own.results["groups"]
    assert set(groups) == {"sex", "speaker"}
    assert page.table("group") == [
        [
            name, value, str(g["clips"]), f"{g['speakers']} (few)", f"{g['accuracy']:.3f}", f"{g['uar']:.3f}",
            "{:.3f} to {:.3f}".format(*g["intervals"]["uar"]),
        ]
        for name, values in groups.items()
        for value, g in values.items()
    ]  # fmt: skip
    of_five = {**groups["sex"]["male"], "speakers": 5}
    many = {f"p{i}": {**of_five, "uar": i / 10} for i in range(MOST_ROWS + 1)}
    page = own.model(groups={"sex": {"male": of_five}, "speaker": many})
    assert page.table("group")[0][3] == "5"
    assert page.line("By speaker").startswith(f"By speaker ({MOST_ROWS + 1}): UAR from 0.000 to {MOST_ROWS / 10:.3f};")
    of_none = {**groups["sex"]["male"], "speakers": 0}
    alone = changed(own.results, {})
    alone["groups"] = {"sex": {"male": of_none}}
    assert Page(model_card(own.cfg, record(alone))).table("group")[0][3] == "not known"


def test_clips_are_counted_by_label_and_side(own: Made) -> None:
    with Path(own.cfg["dataset"]["root"]).open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["path"] != BROKEN]
    labels = Counter(row["emotion"] for row in rows)
    *counts, whole, hours, speakers = own.data().table("clips")
    assert [(row[0], int(row[-1])) for row in counts] == [(seen(label), labels[label]) for label in sorted(labels)]
    assert [sum(int(row[i]) for row in counts) for i in range(1, 5)] == [int(n) for n in whole[1:]]
    assert whole == ["all", *(str(own.results["split"]["clips"][side]) for side in SIDES), str(len(rows))]
    seconds = sum(soundfile.info(Path(own.cfg["dataset"]["root"]).parent / row["path"]).duration for row in rows)
    told = own.results["data"]["manifest"]
    assert sum(told["hours"].values()) * 3600 == pytest.approx(seconds, abs=1e-3)
    assert hours[-1] == f"{seconds / 3600:.2f}"
    assert speakers == ["speakers", *(str(told["speakers"][side]) for side in SIDES), "6"]
    assert "speakers: 6; sex: 3 female (18 clips), 3 male (18 clips); age: 20 to 25 years." in own.data().line(
        "In this"
    )


def test_odd_clips_and_those_left_out_are_told(own: Made) -> None:
    page = own.data()
    (skipped,) = own.results["dataset"]["skipped"]
    assert seen(skipped["reason"]) in [text for _, text in page.blocks]
    assert BROKEN in page.text
    remarks = "2 channels averaged: 1; resampled from 8000 Hz: 1."
    assert page.line("Clips at") == f"Clips at 16,000 Hz, the rate of the features: 35. Remarks: {remarks}"
    many = own.data(dataset={"skipped": [{"clip": f"{i}", "reason": f"reason {i}."} for i in range(LISTED + 7)]})
    assert f"reason {LISTED - 1}." in many.text
    assert f"reason {LISTED}." not in many.text
    assert many.line("and ") == "and 7 more, in metrics.json"
    assert page.text.count("No clip.") == 0
    assert own.data(dataset={"skipped": []}).line("No clip.")


def test_labels_that_were_merged_and_left_out_are_told(own: Made) -> None:
    cfg = {**own.cfg, "labels": {**own.cfg["labels"], "merge": {"a|b": "c"}}}
    results = changed(own.results, {"labels": {"left_out": {"<calm>": 1234, "odd": 1}}})
    page = Page(data_card(cfg, record(results)))
    assert page.line("Labels merged") == "Labels merged: a|b → c."
    assert page.line("Clips of labels") == "Clips of labels that were not chosen: <calm>: 1,234, odd: 1."


def test_own_recordings_have_terms_that_are_not_known(own: Made) -> None:
    page = own.data()
    assert ("h2", "Your own recordings (manifest)") in page.blocks
    assert page.line("Licence") == "Licence: terms not known to this program."
    assert not [text for _, text in page.blocks if text.startswith(("Source", "To cite", "As released"))]


def test_a_corpus_without_speakers_is_told_as_such(own: Made) -> None:
    told = own.results["data"]["manifest"]
    nobody = dict.fromkeys(told["speakers"], 0)
    unknown = {**told, "speakers": nobody, "sex": {"male": {"clips": 7, "speakers": 0}}, "ages": None}
    split = {"test_speakers": 0, "test_speakers_heard_before": 0, "leakage": "Speakers are not known: nobody can say."}
    results = changed(own.results, {"data": {"manifest": unknown}, "split": split})
    results["groups"] = {}
    page = Page(data_card(own.cfg, record(results)))
    assert "speakers: not known; sex: male in 7 clips; age: not known." in page.line("In this run")
    assert [row[0] for row in page.table("clips")][-1] == "hours"
    model = Page(model_card(own.cfg, record(results)))
    assert model.blocks[1][1] == f"The scores may overstate how well new people are recognised. {split['leakage']}"
    assert ("h3", "By group") not in model.blocks
    assert model.line("Test clips").startswith(f"Test clips: {own.results['split']['clips']['test']}, of manifest. UAR")


def test_synthetic_sound_is_said_first(own: Made) -> None:
    caution = ser.results.SYNTHETIC_CAUTION
    changes = {"dataset": {"name": "demo", "synthetic": True, "caution": caution}}
    results = changed(own.results, changes)
    results["data"] = {"demo": own.results["data"]["manifest"]}
    for card in (model_card, data_card):
        page = Page(card(own.cfg, record(results)))
        assert [tag for tag, _ in page.blocks[:2]] == ["h1", "p"]
        assert page.tokens[3].type == "blockquote_open"
        assert page.blocks[1][1] == f"Synthetic data. {caution}"
        assert "Synthetic" not in Page(card(own.cfg, record(own.results))).text
    assert "of no use on speech" in Page(model_card(own.cfg, record(results))).text
    assert "what a person feels" not in Page(model_card(own.cfg, record(results))).line("A label")
    several = changed(own.results, {"dataset": {"name": "multi"}})
    several["data"]["demo"] = own.results["data"]["manifest"]
    assert Page(data_card(own.cfg, record(several))).line("Synthetic") == "Synthetic: no person speaks in it."


def test_raters_and_votes_are_told_where_there_are_any(own: Made) -> None:
    assert "raters" not in own.model().text
    figures = {
        name: {"accuracy": value, "intervals": {"accuracy": [value - 0.05, value + 0.05]}}
        for name, value in (("one_rater", 0.4), ("majority", 0.5), ("network_with_majority", 0.6))
    }
    line = own.model(raters={"clips": 1234, **figures}).line("Human raters")
    for words in ("1,234", "0.400", "0.350 to 0.450", "0.500", "0.450 to 0.550", "0.600", "0.550 to 0.650"):
        assert words in line
    cfg = {**own.cfg, "dataset": {**own.cfg["dataset"], "target": "votes"}}
    assert Page(model_card(cfg, record(own.results))).line("Trained towards the shares")


@pytest.mark.parametrize(
    ("choice", "told"),
    [({}, "WAVLM_BASE_PLUS"), ({"bundle": "WAVLM_LARGE"}, "WAVLM_LARGE"), ({"weights": "mine.pt"}, "mine.pt")],
)
def test_pretrained_weights_are_named_and_where_they_are(own: Made, choice: dict[str, str], told: str) -> None:
    features = {**own.cfg["features"], "names": ["wavlm"], "fine_tune": False, **choice}
    line = Page(model_card({**own.cfg, "features": features}, record(own.results))).line("Pretrained")
    assert line.startswith(f"Pretrained: {told},")


@pytest.mark.parametrize(("fine_tune", "told"), [(False, "does not hold it"), (True, "is in the checkpoint")])
def test_a_model_of_pretrained_features_says_what_it_needs(own: Made, fine_tune: bool, told: str) -> None:
    page = Page(model_card(own.cfg, record(own.results)))
    assert "Pretrained" not in page.text
    features = {**own.cfg["features"], "names": ["wavlm"], "weights": "w_1.pt", "fine_tune": fine_tune}
    line = Page(model_card({**own.cfg, "features": features}, record(own.results))).line("Pretrained")
    assert line.startswith("Pretrained: w_1.pt, whose licence")
    assert told in line


def test_a_label_that_was_never_answered_is_a_limit(own: Made) -> None:
    results = changed(own.results, {})
    for label, line in results["classes"].items():
        line["predicted"] = 0 if label == LABELS[0] else 5
    assert (
        Page(model_card(own.cfg, record(results))).line("Never answered") == f"Never answered in the test: {LABELS[0]}."
    )
    for line in results["classes"].values():
        line["predicted"] = 5
    assert "Never answered" not in Page(model_card(own.cfg, record(results))).text


def test_a_run_without_git_or_command_has_a_card(own: Made) -> None:
    page = own.model(git=None, command=None)
    assert "Git" not in page.text
    assert len(page.code) == 1
    assert "with changes" in own.model(git="abc+").line("Git revision: abc+")
    assert "with changes" not in own.model(git="abc").line("Git revision: abc")


def test_a_code_block_holds_any_command(own: Made) -> None:
    command = ["python", "train.py", "labels.merge={a: '`*b*`'}", "<b>", "two\nlines"]
    code = own.model(command=command).code[0]
    assert "'labels.merge={a: '\"'\"'`*b*`'\"'\"'}' '<b>' 'two" in code
    assert len(own.model(command=command).code) == 2


def test_the_front_matter_is_what_the_hub_reads(own: Made) -> None:
    page = own.model(dataset={"name": "a: b\n---\n"})
    assert page.front["pipeline_tag"] == "audio-classification"
    assert page.front["license"] == "other"
    assert page.front["datasets"] == ["manifest"]
    ((result,),) = (entry["results"] for entry in page.front["model-index"])
    assert result["dataset"]["name"] == "a: b\n---\n"
    assert {one["name"]: one["value"] for one in result["metrics"]} == {
        name: round(own.results["test"][name], 4) for name in ("accuracy", "macro_f1", "weighted_f1", "uar")
    }


def test_what_was_learnt_from_and_what_was_tested_on_are_kept_apart(across: Made) -> None:
    model, data = across.model(), across.data()
    assert model.blocks[0][1] == "Model card: energy_zcr → cnn1d on crema_d + emodb"
    uses = [text for _, text in model.blocks if text.startswith(("CREMA-D", "EMO-DB"))]
    assert uses == [f"CREMA-D: {FACTS['crema_d'].about}"]
    assert model.line("Test clips").startswith("Test clips: 24, of emodb, 4 speakers.")
    assert "overstate" not in model.text
    learnt, tested = (table[1:] for table in data.tables)
    assert [row[-1] for row in learnt[:3]] == [row[3] for row in tested[:3]] == ["8", "8", "8"]
    assert [row[3] for row in learnt[:3]] == [row[1] for row in tested[:3]] == ["0", "0", "0"]
    for name in ("crema_d", "emodb"):
        facts = FACTS[name]
        assert ("h2", f"{facts.title} ({name})") in data.blocks
        assert f"Licence: {facts.licence}." in [text for _, text in data.blocks]
        assert f"To cite: {facts.citation}" in [text for _, text in data.blocks]
        assert f"Source: {facts.home}" in [text for _, text in data.blocks]
    assert data.line("Clips of emotions that not all corpora have") == "Clips of emotions that not all corpora have: 1."


printable = st.text(st.characters(exclude_categories=("Cc", "Cs", "Cn")), min_size=1, max_size=20)


@given(printable, printable)
@example("__0__", "__0__")
def test_any_name_shows_letter_by_letter_in_a_table_and_in_a_sentence(one: str, other: str) -> None:
    text = "| a | b |\n| --- | --- |\n| {{ a }} | x{{ b }}x |\n\nSee {{ a }}, {{ b }}."
    page = Page(cards.from_string(text).render(a=one, b=other))
    one, other = visible(one), visible(other)
    assert page.tables[0][1] == [seen(one), f"x{seen(other)}x"]
    assert seen(page.blocks[-1][1]) == seen(f"See {seen(one)}, {seen(other)}.")


def test_what_is_a_sign_elsewhere_is_told_apart() -> None:
    assert plain("crema_d") == "crema_d"
    assert plain("$x$ | _y_") == r"\$x\$ \| \_y\_"
    assert plain(plain("a|b")) == r"a\|b"

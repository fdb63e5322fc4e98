import json
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from statistics import median
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import recall_score

from benchmarks import opensmile_svm
from benchmarks.opensmile_svm import fit, functionals, run
from ser.data.audio import Recording, read_audio
from ser.errors import UserError
from ser.results import find_runs
from ser.results.pooling import pool, recipes

FOLDS = 3


@pytest.fixture
def loudness(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two functionals in place of openSMILE's, which need not be installed; one of them is never there."""

    def of(_: str, clips: list[np.ndarray]) -> np.ndarray:
        return np.array([[np.std(samples / np.float32(32768)), np.nan] for samples in clips], np.float32)

    monkeypatch.setattr(opensmile_svm, "_functionals", of)
    monkeypatch.setattr(opensmile_svm, "functionals", lambda name, found: of(name, [one.samples for one in found]))
    monkeypatch.setattr(opensmile_svm, "version", lambda _: "0")


def words(corpus: Path, fold: int, *more: str) -> list[str]:
    where = ["dataset=folder", f"dataset.root={corpus}"]
    return [*where, "split=kfold", "split.by=clip", f"split.folds={FOLDS}", f"split.fold={fold}", *more]


def test_the_folds_of_a_corpus_are_tested_and_pooled(corpus: Path, tmp_path: Path, loudness: None) -> None:
    took = []
    for fold in range(FOLDS):
        cfg = words(corpus, fold, f"datamodule.cache={tmp_path / 'cache'}")
        results = run("ComParE_2016", cfg, tmp_path / "runs" / str(fold), ["python"])
        assert json.loads((tmp_path / "runs" / str(fold) / "metrics.json").read_text())["test"] == results.test
        took.append(results.answer_seconds)
    (runs,) = recipes(find_runs([tmp_path / "runs"]))
    pooled, answers = pool(runs)
    assert len(answers.clips) == pooled.dataset["clips"]
    assert pooled.checkpoint["epoch"] is None
    # A vector of the two functionals for each clip that counts, and its weight against each of the two other emotions.
    kept, more = divmod(results.parameters["trainable"], 2 + 2)
    assert more == 0
    assert 0 < kept <= results.split["clips"]["train"]
    assert pooled.answer_seconds == median(took) > 0
    assert len(list((tmp_path / "cache").glob("features-*"))) == 1


def test_an_answer_is_timed_from_the_file_on(corpus: Path, loudness: None, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 10.0, 14.0, 20.0, 22.0])
    monkeypatch.setattr(opensmile_svm.time, "perf_counter", lambda: next(clock))
    files = sorted(corpus.rglob("*.wav"))[:3]
    read: list[object] = []
    monkeypatch.setattr(opensmile_svm, "read_audio", lambda *words: read.append(words) or read_audio(*words))
    answered: list[np.ndarray] = []
    fitted = SimpleNamespace(predict=answered.append)
    assert opensmile_svm._answer_seconds("eGeMAPSv02", fitted, files) == 2.0, "the median of 1, 4 and 2 s"
    assert read == [(file, opensmile_svm.SAMPLE_RATE) for file in files]
    assert [vectors.shape for vectors in answered] == [(1, 2)] * 3, "clip by clip"


def test_as_many_test_clips_are_timed_as_there_are_up_to_a_limit(
    corpus: Path, tmp_path: Path, loudness: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed: list[list[Path]] = []
    monkeypatch.setattr(opensmile_svm, "_answer_seconds", lambda name, fitted, paths: timed.append(list(paths)) or 0.5)
    for limit in (4, 1_000):
        monkeypatch.setattr(opensmile_svm, "TIMED", limit)
        results = run("ComParE_2016", words(corpus, 0), tmp_path, ["python"])
        assert results.answer_seconds == 0.5
    assert [len(paths) for paths in timed] == [4, results.split["clips"]["test"]]


def test_a_class_without_a_usable_clip_is_told(tmp_path: Path, corpus: Path, loudness: None) -> None:
    for file in corpus.rglob("*.wav"):
        copy = tmp_path / "clips" / file.relative_to(corpus)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(b"no sound")
    with pytest.raises(UserError, match=r"no usable clip of anger, happy, sad: 42 .*can't be read"):
        run("ComParE_2016", words(tmp_path / "clips", 0), tmp_path / "run", ["python"])


def test_the_strength_is_the_best_on_validation() -> None:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 3, 300)
    inputs = (rng.normal(size=(300, 4)) + targets[:, None]).astype(np.float32)
    sides = {"train": np.arange(200), "val": np.arange(200, 300)}
    fitted, strength, score = fit(inputs, targets, sides)
    assert fitted[-1].get_params()["C"] == strength
    said = fitted.predict(inputs[200:])
    assert score == pytest.approx(recall_score(targets[200:], said, average="macro"))
    others = [opensmile_svm.machine(c).fit(inputs[:200], targets[:200]).predict(inputs[200:]) for c in (0.3, 1, 3)]
    assert score >= max(recall_score(targets[200:], other, average="macro") for other in others)
    values = opensmile_svm._margins(fitted, inputs[200:])
    assert (values.argmax(1) == said).all()


def test_the_kernel_is_that_of_libsvm() -> None:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 3, 200)
    inputs = (rng.normal(size=(200, 5)) + targets[:, None]).astype(np.float32)
    inputs[::9, 1] = np.nan
    ours = opensmile_svm.machine(3.0).fit(inputs[:150], targets[:150])
    theirs = (
        opensmile_svm.machine(3.0).set_params(svc__kernel="rbf", svc__gamma="auto").fit(inputs[:150], targets[:150])
    )
    np.testing.assert_allclose(ours.decision_function(inputs[150:]), theirs.decision_function(inputs[150:]), atol=1e-3)
    np.testing.assert_array_equal(ours[-1].support_, theirs[-1].support_)


def test_functionals_of_integers_and_of_their_floats_are_the_same() -> None:
    pytest.importorskip("opensmile", reason="openSMILE comes with the extra bench")
    tone = (np.sin(np.arange(16000) / 16000 * 2 * np.pi * 220) * 8000).astype(np.int16)
    recordings = [Recording(tone), Recording(tone.astype(np.float32) / np.float32(32768))]
    found = functionals("eGeMAPSv02", recordings)
    assert found.shape == (2, 88)
    assert np.array_equal(found[0], found[1], equal_nan=True)
    # The first one is the mean pitch, in semitones above 27.5 Hz.
    assert found[0, 0] == pytest.approx(36, abs=0.2)


def test_without_opensmile_it_is_told_what_to_install(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(package: str) -> str:
        raise PackageNotFoundError(package)

    monkeypatch.setattr(opensmile_svm, "version", version)
    monkeypatch.setattr(sys, "argv", ["opensmile_svm.py", "dataset=folder", f"dataset.root={corpus}"])
    with pytest.raises(SystemExit, match=r"opensmile.*pip install -e \"\.\[bench\]\""):
        opensmile_svm.main()

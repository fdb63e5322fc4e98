import csv
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import ser.results
from ser.config import ConfigError
from ser.errors import UserError
from ser.results import find_runs
from ser.results.cards import plain
from ser.results.pooling import pool, recipes
from ser.train import run
from ser.training.resuming import resumed
from tests.helpers import LABELS, QUICK, SPLIT, composed, manifest, struck_down

STILL = ("model.learning_rate=0", "augment=none", "trainer.max_epochs=1")
"""A training that changes nothing, so that its checkpoint shows what it began with."""

SERESNET = (
    *(word for word in QUICK if not word.startswith(("features", "model"))),
    "features=logmel",
    "features.n_mels=16",
    "features.n_fft=512",
    "model=seresnet",
    "model.channels=[4,4,4,4,4]",
    "model.width=8",
    "model.recurrent=4",
)


@pytest.fixture(scope="module")
def people(corpus: Path) -> Path:
    """The tones, spoken by 14 people."""
    rows = [(f"{emotion}/{take:02}.wav", emotion, f"p{take:02}") for emotion in LABELS for take in range(14)]
    return manifest(corpus / "clips.csv", rows)


def trained(clips: Path, folder: Path, *words: str) -> dict[str, Any]:
    """Results, with what was on screen as ``screen``."""
    cfg = composed(
        "dataset=manifest", *(words if any(word.startswith("split=") for word in words) else (*SPLIT, *words))
    )
    cfg["dataset"]["root"] = str(clips)
    with ser.results.console.capture() as capture:
        results = run(cfg, folder, ["python", "train.py", *words])
    return {**results, "screen": " ".join(capture.get().split())}


@pytest.fixture(scope="module")
def first(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The last checkpoint of a run that has learnt something."""
    folder = tmp_path_factory.mktemp("first")
    trained(people, folder, *QUICK, "trainer.max_epochs=2")
    return folder / "checkpoints/last.ckpt"


def held(checkpoint: Path) -> dict[str, Any]:
    return torch.load(checkpoint, weights_only=True)  # type: ignore[no-any-return]


def weights_of(checkpoint: Path) -> dict[str, Tensor]:
    return held(checkpoint)["state_dict"]  # type: ignore[no-any-return]


def equal(some: dict[str, Tensor], others: dict[str, Tensor], names: Sequence[str]) -> list[bool]:
    return [torch.equal(some[name], others[name]) for name in names]


def test_all_weights_are_taken_over_where_the_emotions_are_the_same(people: Path, first: Path, tmp_path: Path) -> None:
    results = trained(people, tmp_path, *QUICK, *STILL, f"init_from={first}")
    assert f"Starts from {first}" in results["screen"]
    assert "new" not in results["screen"].partition("Starts from")[2].partition(" epochs")[0]
    begun = weights_of(tmp_path / "checkpoints/last.ckpt")
    assert all(equal(begun, weights_of(first), list(begun)))
    trained(people, tmp_path / "without", *QUICK, *STILL)
    assert not any(equal(weights_of(tmp_path / "without/checkpoints/last.ckpt"), begun, ["layers.0.weight"]))
    card = (tmp_path / "model_card.md").read_text(encoding="utf-8")
    assert f"- Started from the weights in {plain(first)}: it has learnt from" in card


def test_each_emotion_keeps_its_row_and_a_new_one_begins_at_random(people: Path, first: Path, tmp_path: Path) -> None:
    # "alarm" comes first in the alphabet, so that no row is where it was.
    words = (*QUICK, *STILL, "labels.merge={sad:alarm}")
    results = trained(people, tmp_path / "started", *words, f"init_from={first}")
    assert f"Starts from {first}, to which is new: alarm" in results["screen"]
    trained(people, tmp_path / "random", *words)
    begun, random = (weights_of(tmp_path / name / "checkpoints/last.ckpt") for name in ("started", "random"))
    old = weights_of(first)
    *_, weight, bias = begun
    for name in (weight, bias):
        assert torch.equal(begun[name][1:], old[name][:2]), "anger and happy"
        assert torch.equal(begun[name][0], random[name][0]), "alarm"
    assert all(equal(begun, old, [name for name in begun if name not in (weight, bias)]))


def test_a_network_of_any_length_is_taken_over_by_clips_of_another(people: Path, tmp_path: Path) -> None:
    trained(people, tmp_path / "first", *SERESNET, *STILL)
    start = tmp_path / "first/checkpoints/last.ckpt"
    words = (*SERESNET, *STILL, "datamodule.max_seconds=0.3", "model.dropout=0.1", "augment.spec.crop_frames=8")
    trained(people, tmp_path / "second", *words, f"init_from={start}")
    begun, old = weights_of(tmp_path / "second/checkpoints/last.ckpt"), weights_of(start)
    assert all(equal(begun, old, [name for name in begun if "running" not in name and "num_batches" not in name]))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("features=mel", "model=cnn2d"), "is of model=cnn1d, and this run has model=cnn2d"),
        (("features=energy", "features.hop_length=100"), "take features.names=[energy,zcr] features.hop_length=200"),
        (("features.normalize=clip",), "reads other features than this run: take features.normalize=standard"),
        (("datamodule.max_seconds=0.3",), "and this run others: take datamodule.max_seconds=0."),
    ],
    ids=["network", "features", "normaliser", "length"],
)
def test_what_does_not_go_with_the_checkpoint_is_refused_in_words(
    people: Path, first: Path, tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(told)):
        trained(people, tmp_path, *QUICK, *STILL, *words, f"init_from={first}")


def test_layers_of_other_sizes_are_refused_with_the_words_that_agree(people: Path, tmp_path: Path) -> None:
    trained(people, tmp_path / "first", *SERESNET, *STILL)
    start = tmp_path / "first/checkpoints/last.ckpt"
    words = (
        *SERESNET,
        *STILL,
        "model.width=16",
        "model.dropout=0.1",
        f"init_from={start}",
        "dataset=folder",
        "dataset.root=nowhere",
    )
    with pytest.raises(ConfigError, match=r"layers of other sizes than this run: take model\.width=8$"):
        run(composed(*words), tmp_path, [])  # before data is looked for


def test_what_is_no_checkpoint_is_refused_before_data_is_read(first: Path, tmp_path: Path) -> None:
    words = (*QUICK, "dataset=folder", "dataset.root=nowhere")
    with pytest.raises(UserError, match=r"gone\.ckpt is not a checkpoint of a run, or broken"):
        run(composed(*words, f"init_from={tmp_path}/gone.ckpt"), tmp_path, [])
    older = tmp_path / "older.ckpt"
    torch.save({**held(first), "ser": {**held(first)["ser"], "format": 1}}, older)
    with pytest.raises(UserError, match="in format 1; this version reads 3 and 2: train it again"):
        run(composed(*words, f"init_from={older}"), tmp_path, [])


def test_speakers_whom_the_checkpoint_has_heard_are_kept_out_of_the_test(people: Path, tmp_path: Path) -> None:
    folds = (*QUICK, *STILL, "split=kfold", "split.folds=3")
    trained(people, tmp_path / "0", *folds, "split.fold=0")
    start = tmp_path / "0/checkpoints/last.ckpt"
    told = r"has seen \d+ of the test speakers, such as manifest/p\d\d, whom this split keeps out of training"
    with pytest.raises(ConfigError, match=told):
        trained(people, tmp_path / "1", *folds, "split.fold=1", f"init_from={start}")
    again = trained(people, tmp_path / "again", *folds, "split.fold=0", f"init_from={start}")
    assert again["split"]["test_speakers_heard_before"] == 0

    # Where a split keeps nobody apart, it is told; and who was heard in the first run is known of the second.
    few = manifest(people.parent / "few.csv", [(f"{e}/{i:02}.wav", e, f"q{i:02}") for e in LABELS for i in range(14)])
    trained(few, tmp_path / "few", *QUICK, *STILL, f"init_from={start}")
    second = tmp_path / "few/checkpoints/last.ckpt"
    both, heard = (held(checkpoint)["ser"]["seen"] for checkpoint in (start, second))
    assert set(both) < set(heard)
    sides = ["test"] * 8 + ["val"] * 2 + ["train"] * 4
    with (people.parent / "sides.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["path", "emotion", "speaker", "split"])
        # The last of the training is the first of the test, too.
        table.writerows(
            [f"{e}/{i:02}.wav", e, "p00" if i == 13 else f"p{i:02}", side]
            for e in LABELS
            for i, side in enumerate(sides)
        )
    tested = {f"manifest/p{i:02}" for i in range(8)}
    official = (*QUICK, *STILL, "split=official")
    without = trained(people.parent / "sides.csv", tmp_path / "without", *official)
    assert without["split"]["test_speakers_heard_before"] == 1
    mixed = trained(people.parent / "sides.csv", tmp_path / "mixed", *official, f"init_from={second}")
    assert mixed["split"]["test_speakers_heard_before"] == len(tested & {*both, "manifest/p00"})
    assert f"{len(tested & {*both, 'manifest/p00'})} of 8 test speakers were seen" in mixed["screen"]


def test_speakers_who_are_not_known_are_told_of(people: Path, tmp_path: Path) -> None:
    unnamed = manifest(people.parent / "unnamed.csv", [(f"{e}/{i:02}.wav", e, "") for e in LABELS for i in range(14)])
    trained(unnamed, tmp_path / "unnamed", *QUICK, *STILL, "split=stratified", "split.val=0.2")
    start = tmp_path / "unnamed/checkpoints/last.ckpt"
    results = trained(people, tmp_path / "run", *QUICK, *STILL, f"init_from={start}")
    assert results["split"]["leakage"].endswith("Not all speakers are known, so more may have been.")
    assert results["split"]["test_speakers_heard_before"] is None
    assert "**The scores may overstate**" in (tmp_path / "run/model_card.md").read_text(encoding="utf-8")
    again = trained(unnamed, tmp_path / "again", *QUICK, *STILL, "split=stratified", "split.val=0.2")
    assert "started from" not in again["split"]["leakage"]


def test_a_run_that_was_stopped_goes_on_without_the_checkpoint_that_it_started_from(
    people: Path, first: Path, tmp_path: Path
) -> None:
    start = shutil.copy(first, tmp_path / "start.ckpt")
    words = (*QUICK, "trainer.max_epochs=3", "test_checkpoint=last", f"init_from={start}")
    unbroken = trained(people, tmp_path / "whole", *words)
    with struck_down(epoch=1):
        trained(people, tmp_path / "run", *words)
    Path(start).unlink()
    resumed = trained(people, tmp_path / "run", *words)
    assert "Resumes from" in resumed["screen"]
    assert resumed["test"] == unbroken["test"]
    assert resumed["history"] == unbroken["history"]
    whole, gone_on = (held(tmp_path / name / "checkpoints/last.ckpt") for name in ("whole", "run"))
    assert all(equal(whole["state_dict"], gone_on["state_dict"], list(whole["state_dict"])))
    assert whole["ser"]["seen_elsewhere"] == gone_on["ser"]["seen_elsewhere"] != []


def test_a_run_from_before_there_was_the_option_goes_on(people: Path, first: Path, tmp_path: Path) -> None:
    shutil.copytree(first.parents[1], tmp_path / "old")
    config = tmp_path / "old/config.yaml"
    assert "init_from: null\n" in config.read_text(encoding="utf-8")
    config.write_text(config.read_text(encoding="utf-8").replace("init_from: null\n", ""), encoding="utf-8")
    skipped = trained(people, tmp_path / "old", *QUICK, "trainer.max_epochs=2")
    assert "holds this run already: skipped" in skipped["screen"]
    (tmp_path / "old/metrics.json").unlink()
    cfg = resumed({**composed(), "ckpt_path": str(tmp_path / "old/checkpoints/last.ckpt")}, ["ckpt_path=…"])
    again = run(cfg, tmp_path / "old", [])
    assert again["test"] == skipped["test"]


def test_folds_that_each_start_from_their_own_are_pooled(people: Path, tmp_path: Path) -> None:
    folds = (*QUICK, *STILL, "split=kfold", "split.folds=2")
    for fold in (0, 1):
        trained(people, tmp_path / f"first/{fold}", *folds, f"split.fold={fold}")
        start = tmp_path / f"first/{fold}/checkpoints/last.ckpt"
        trained(people, tmp_path / f"second/{fold}", *folds, f"split.fold={fold}", f"init_from={start}")
    first, second = recipes(find_runs([tmp_path]))
    assert len(first) == len(second) == 2
    assert pool(second)[0].split["test_speakers_heard_before"] == 0

"""That the benchmark measures what it says; not how fast anything is."""

import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmarks import benchmark_augment
from benchmarks._common import LONGEST, noise
from benchmarks.benchmark_augment import contenders, main
from ser.augment import EFFECTS
from ser.augment.spectrogram import OFF


def called(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmark_augment.py", *words])
    main()


def test_every_effect_is_measured_and_contenders_that_are_not_there_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmark_augment, "BATCH", 8)
    monkeypatch.setattr(benchmark_augment, "RECIPES", {"cnn1d": benchmark_augment.RECIPES["cnn1d"]})
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if "audio" in name else find(name, *rest))
    called(monkeypatch, "--rounds", "1", "--json", str(tmp_path / "costs.json"))
    printed = " ".join(capsys.readouterr().out.split())
    for name in ("audiomentations", "torch_audiomentations"):
        assert f'{name} is left out: not installed; pip install -e ".[bench]"' in printed
    kept = json.loads((tmp_path / "costs.json").read_text())
    assert {*EFFECTS, *OFF, "augment=wave", "augment=spec"} < {cost["effect"] for cost in kept["costs"]}
    assert all(cost["milliseconds"] > 0 and cost["shares"]["cnn1d"] > 0 for cost in kept["costs"])
    assert set(kept["steps"]["cnn1d"]) == {"milliseconds", "anew", "spec", "wave", "full"}
    assert all(figure > 0 for figure in kept["steps"]["cnn1d"].values())


@pytest.mark.parametrize("library", ["audiomentations", "torch_audiomentations"])
def test_a_contender_that_has_all_effects_is_asked_for_each(
    library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def make(chances: dict[str, float], rooms: Path) -> list[object]:
        def transform(sound: object, sample_rate: int) -> object:
            asked.append(type(sound).__name__)
            return SimpleNamespace(samples=sound)

        return [transform for name in chances if name != "speed"]

    monkeypatch.setattr(benchmark_augment, "BATCH", 3)
    monkeypatch.setattr(benchmark_augment, library, make)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True if name == library else None)
    left_out: dict[str, str] = {}
    waveforms, lengths = noise(benchmark_augment.BATCH)
    assert set(contenders({"gain": 1.0}, tmp_path, waveforms, lengths, left_out)) == {library}
    assert asked == (["ndarray"] * 3 if library == "audiomentations" else ["Tensor"])
    assert contenders({"speed": 1.0}, tmp_path, waveforms, lengths, left_out) == {}


def test_clips_are_padded_to_the_longest_of_crema_d() -> None:
    waveforms, lengths = noise(benchmark_augment.BATCH)
    assert waveforms.shape == (benchmark_augment.BATCH, LONGEST)
    assert lengths.max() == LONGEST
    assert not (waveforms * (torch.arange(waveforms.shape[1]) >= lengths[:, None])).any()


def test_too_few_rounds_are_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        called(monkeypatch, "--rounds", "0")
    assert "--rounds=0 must be 1 or more" in capsys.readouterr().err

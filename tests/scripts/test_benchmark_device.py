"""That every way runs and is told; not how fast anything is."""

import json
import sys
from pathlib import Path

import pytest

from scripts import benchmark_device
from scripts.benchmark_device import LONGEST, main, noise, waiting
from ser.models import EmotionNetwork


def called(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmark_device.py", *words])
    main()


def test_every_way_is_measured_on_a_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark_device, "RECIPES", {"cnn1d": ["features=energy_zcr", "augment=none"]})
    compiled = []

    def compile_network(network: EmotionNetwork) -> None:  # in earnest it takes a minute
        compiled.append(network)

    monkeypatch.setattr(EmotionNetwork, "compile", compile_network)
    called(monkeypatch, "--clips", "60", "--rounds", "1", "--json", str(tmp_path / "speeds.json"))
    kept = json.loads((tmp_path / "speeds.json").read_text())
    ways = {(speed["part"], speed["way"]) for speed in kept["speeds"]}
    assert ("features", "mel") in ways
    for source in ("kept features", "on the fly"):
        for mode in ("eager", "compiled"):
            assert ("train cnn1d", f"{source}, {mode}, 32-true") in ways
    assert len(compiled) == 2 * sum("compiled" in way for _, way in ways)
    assert all(speed["clips_per_second"] > 0 for speed in kept["speeds"])


def test_noise_is_as_long_as_the_clips_of_crema_d() -> None:
    lengths = noise(300).lengths.tolist()
    assert max(lengths) == LONGEST
    assert sum(lengths) / len(lengths) / 16_000 == pytest.approx(2.54, abs=0.1)


def test_waiting_is_what_no_span_covers() -> None:
    assert waiting([(0, 10)]) == 0
    assert waiting([(0, 2), (1, 3), (5, 6), (8, 10)]) == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--device", "tpu"], "error: --device=tpu is not there; this machine has cpu"),
        (["--profile"], "error: --profile is for --device cuda alone"),
    ],
)
def test_what_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch, words: list[str], told: str) -> None:
    with pytest.raises(SystemExit, match=told):
        called(monkeypatch, *words)


def test_too_few_clips_are_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        called(monkeypatch, "--clips", "10")
    assert "--clips=10 must be 60 or more" in capsys.readouterr().err

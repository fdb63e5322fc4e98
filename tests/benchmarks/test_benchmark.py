"""That the benchmark measures what it says; not how fast anything is."""

import json
import sys
import time
from pathlib import Path

import pytest

from benchmarks import benchmark
from benchmarks._common import LONGEST, noise
from benchmarks.benchmark import Kept, build, compare, eager_network, lightning_epoch, main


def test_ratio_is_the_contenders_time_by_ours() -> None:
    row = compare("part", "other", lambda: 0.5, lambda: 1.5, (2, 3), rounds=3)
    assert (row.ratio, row.low, row.high, row.must, row.stretch) == (3, 3, 3, 2, 3)
    asleep = compare("part", "other", lambda: time.sleep(0.01), lambda: time.sleep(0.05), (2, 3), rounds=3)
    assert 1 < asleep.low <= asleep.ratio <= asleep.high


def test_clips_are_padded_and_as_long_as_those_of_crema_d() -> None:
    waveforms, lengths = noise(200)
    assert waveforms.shape == (200, LONGEST)
    assert lengths.float().mean() / 16_000 == pytest.approx(2.54, abs=0.1)
    for waveform, length in zip(waveforms, lengths.tolist(), strict=True):
        assert not waveform[length:].any()
        assert waveform[length - 1]


def test_contender_trains_as_many_parameters() -> None:
    networks = (build("paper2d", (1, 128, 157)), eager_network())
    assert {sum(weights.numel() for weights in network.parameters()) for network in networks} == {897_350}


def test_an_epoch_through_lightning_trains_the_network() -> None:
    network = build("cnn1d", (1, 314))
    before = [parameter.clone() for parameter in network.parameters()]
    seconds = lightning_epoch(network, Kept((1, 314), 256), Kept((1, 314), 20), "32-true")()
    assert seconds > 0
    assert all((old != new).any() for old, new in zip(before, network.parameters(), strict=True))


def test_script_writes_rows_and_names_what_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(benchmark.PARTS, "run_energy_zcr", (benchmark.run_energy_zcr, ("no_such_library",)))
    words = ["latency_clip", "run_energy_zcr", "--rounds", "1", "--json", str(tmp_path / "rows.json")]
    monkeypatch.setattr(sys, "argv", ["benchmark.py", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert 'run_energy_zcr is left out: no_such_library not installed; pip install -e ".[bench]"' in printed
    (row,) = json.loads((tmp_path / "rows.json").read_text())
    assert set(row) == {"part", "against", "ratio", "low", "high", "must", "stretch"}
    assert row["part"] == "latency_clip"
    assert 0 < row["low"] <= row["ratio"] <= row["high"]


@pytest.mark.parametrize("words", [["nothing"], ["latency_clip", "--rounds", "0"]])
def test_unknown_parts_and_no_rounds_are_refused(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmark.py", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser.data.audio import BREAKS_OFF, CANCELS
from ser.data.bank import decode
from ser.data.corpora import Clip
from ser.data.explore import Survey, first_clip, missing_classes, survey, write_clips
from ser.errors import UserError

RATE = 16_000


@pytest.fixture
def found(tmp_path: Path, write_wav: Callable[..., Path]) -> Survey:
    """Two good clips, a stereo one, a copy under one label, one under another, and one of each that is odd."""
    write_wav("a.wav", 1.0, seed=1)
    write_wav("b.wav", 2.0, seed=2)
    write_wav("c.wav", 0.5, rate=44_100, seed=3)
    sound, _ = soundfile.read(tmp_path / "a.wav", dtype="int16")
    soundfile.write(tmp_path / "copy.flac", sound, RATE)
    soundfile.write(tmp_path / "other.wav", sound, RATE)
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    soundfile.write(tmp_path / "loud.wav", np.clip(3 * np.sin(np.arange(RATE)), -1, 1), RATE)
    soundfile.write(tmp_path / "short.wav", np.ones(100), RATE)
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    emotions = {
        **dict.fromkeys(("a.wav", "copy.flac", "silent.wav", "loud.wav"), "happy"),
        **dict.fromkeys(("b.wav", "c.wav", "other.wav", "short.wav", "broken.wav"), "sad"),
    }
    clips = [Clip(name, tmp_path / name, emotion, name[0]) for name, emotion in sorted(emotions.items())]
    return survey(clips, {c.name: d for c, d in zip(clips, decode([clip.path for clip in clips], RATE), strict=True)})


def test_what_is_odd_is_found(found: Survey) -> None:
    assert [clip.name for clip, _ in found.problems] == ["broken.wav", "short.wav"]
    assert found.silent == ["silent.wav"]
    assert found.clipped == ["loud.wav"]
    assert found.copies == []
    assert found.contradictions == [("a.wav", "copy.flac", "other.wav")]
    assert found.hours == pytest.approx((1 + 2 + 0.5 + 1 + 1 + 1 + 1) / 3600, rel=1e-3)
    assert found.formats() == {"16,000 Hz, 1 channel": 6, "44,100 Hz, 1 channel": 1}
    assert found.classes() == {"happy": (4, 4), "sad": (5, 4)}


def test_what_breaks_off_or_cancels_is_found(tmp_path: Path, write_wav: Callable[..., Path]) -> None:
    sound, _ = soundfile.read(write_wav("cut.wav"))
    soundfile.write(tmp_path / "anti.wav", np.stack([sound, -sound], 1), RATE)
    (tmp_path / "cut.wav").write_bytes((tmp_path / "cut.wav").read_bytes()[: RATE + 44])
    clips = [Clip(name, tmp_path / name, "sad") for name in ("anti.wav", "cut.wav")]
    found = survey(clips, {c.name: d for c, d in zip(clips, decode([clip.path for clip in clips], RATE), strict=True)})
    assert found.odd == {BREAKS_OFF: ["cut.wav (after 0.5 s of 1.0 s)"], CANCELS: ["anti.wav"]}
    write_clips(tmp_path / "clips.csv", found)
    with (tmp_path / "clips.csv").open(newline="", encoding="utf-8") as file:
        remarks = {row["clip"]: row["remarks"] for row in csv.DictReader(file)}
    assert remarks["cut.wav"] == f"{BREAKS_OFF} (after 0.5 s of 1.0 s)"


def test_copies_under_one_label_are_no_contradiction(found: Survey) -> None:
    kept = [(clip, recording) for clip, recording in found.usable if clip.name != "other.wav"]
    again = survey([clip for clip, _ in kept], {clip.name: recording for clip, recording in kept})
    assert again.copies == [("a.wav", "copy.flac")]
    assert again.contradictions == []


def test_the_first_clip_of_a_class_at_or_after_a_place(found: Survey) -> None:
    # a, b, broken, c, copy, loud, other, short, silent
    assert [first_clip(found, "sad", place)[1].name for place in (0, 1, 2, 4)] == [
        "b.wav",
        "b.wav",
        "c.wav",
        "other.wav",
    ]
    assert first_clip(found, "happy", 1)[0] == 4
    with pytest.raises(UserError, match="at place 7 or after it"):
        first_clip(found, "sad", 7)
    with pytest.raises(UserError, match=r"'calm'.*happy, sad"):
        first_clip(found, "calm")


def test_classes_that_a_side_lacks() -> None:
    def clips(*emotions: str) -> list[Clip]:
        return [Clip(emotion, Path(emotion), emotion) for emotion in emotions]

    assert missing_classes({"train": clips("a", "b"), "val": clips("a", "b"), "test": clips("a", "b")}) == {}
    assert missing_classes({"train": clips("a", "b", "c"), "val": clips("b"), "test": clips("a", "b")}) == {
        "val": ["a", "c"],
        "test": ["c"],
    }


def test_the_table_has_a_line_for_every_clip(found: Survey, tmp_path: Path) -> None:
    write_clips(tmp_path / "clips.csv", found)
    with (tmp_path / "clips.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["clip"]: row for row in csv.DictReader(file)}
    assert len(rows) == 9
    assert rows["a.wav"]["same_recording_as"] == "copy.flac other.wav"
    assert rows["c.wav"]["sample_rate"] == "44100"
    assert rows["silent.wav"]["silent"] == "1"
    assert "0.006 s" in rows["short.wav"]["problem"]
    assert rows["b.wav"]["problem"] == ""

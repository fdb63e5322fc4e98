"""That the page shows and plays every effect; not how it looks."""

import base64
import io
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks.augmentation_page import DRAWS, EXAMPLES, SPEC_EXAMPLES, drawn, log_mel, main, read
from ser.augment import EFFECTS
from ser.augment.spectrogram import OFF


def called(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["augmentation_page.py", *words])
    main()


def test_the_page_has_every_effect_with_picture_and_sound_and_needs_nothing_else(
    tmp_path: Path, write_wav: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, out, figure = write_wav("clip.wav"), tmp_path / "page.html", tmp_path / "effects.png"
    called(monkeypatch, str(clip), str(write_wav("other.wav")), "--out", str(out), "--figure", str(figure))
    page = out.read_text("utf-8")
    assert all(title in page for title in (*EXAMPLES, *SPEC_EXAMPLES))
    assert {option for option, _ in EXAMPLES.values()} == {f"augment.wave.{name}" for name in EFFECTS}
    assert {name for options in SPEC_EXAMPLES.values() for name in options} == {*OFF, "mixup_alpha"}
    pictures = re.findall(r"data:image/png;base64,([\w+/=]+)", page)
    assert len(set(pictures)) == len(EXAMPLES) + len(SPEC_EXAMPLES), "each effect has a picture of its own"
    assert "://" not in page
    sounds = re.findall(r"data:audio/flac;base64,([\w+/=]+)", page)
    lengths = [len(soundfile.read(io.BytesIO(base64.b64decode(sound)))[0]) for sound in sounds]
    assert lengths[:4] == [16_000, 14_546, 16_000, 17_778]
    assert len(set(sounds)) == len(EXAMPLES) + 1, "the clip as it is, and every effect"
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_effects_on_features_are_drawn_on_the_clip_and_mixup_on_both(write_wav: Callable[..., Path]) -> None:
    sound = read(write_wav("clip.wav"))
    other = read(write_wav("other.wav", seed=9), sound[0].shape[1])
    before, mixed_in = log_mel(sound), log_mel(other)
    found = drawn(sound, other)
    assert list(found) == list(SPEC_EXAMPLES)
    for title, pictures in found.items():
        assert 1 <= len(pictures) <= DRAWS
        for picture in pictures.values():
            assert picture.shape == (64, 100 if title.startswith("piece") else before.shape[1])
            assert title.startswith("piece") or not np.allclose(picture, before, atol=0.1), title
    for told, picture in found["mixup"].items():
        share = float(told.removesuffix(" of it"))
        np.testing.assert_allclose(picture, share * before + (1 - share) * mixed_in, atol=0.01 * 80)


def test_a_file_that_is_no_sound_is_an_error_in_words(
    tmp_path: Path, write_wav: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clip.wav").write_text("no sound")
    words = [str(tmp_path / "clip.wav"), str(write_wav("other.wav"))]
    for one, other in (words, words[::-1]):
        with pytest.raises(SystemExit, match=r"error: .*clip\.wav: can't be read"):
            called(monkeypatch, one, other, "--out", str(tmp_path / "page.html"))
    assert not (tmp_path / "page.html").exists()


def test_a_figure_of_a_kind_that_is_not_drawn_is_refused_before_anything_is_written(
    tmp_path: Path,
    write_wav: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = (
        str(write_wav("clip.wav")),
        str(write_wav("other.wav")),
        "--out",
        str(tmp_path / "page.html"),
        "--figure",
        str(tmp_path / "effects.xyz"),
    )
    with pytest.raises(SystemExit):
        called(monkeypatch, *words)
    assert "effects.xyz must end in .png, .pdf or .svg" in capsys.readouterr().err
    assert not (tmp_path / "page.html").exists()

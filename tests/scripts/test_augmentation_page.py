"""That the page shows and plays every effect; not how it looks."""

import base64
import io
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from scripts.augmentation_page import EXAMPLES, main
from ser.augment.waveform import ORDER


def called(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["augmentation_page.py", *words])
    main()


def test_the_page_has_every_effect_with_picture_and_sound_and_needs_nothing_else(
    tmp_path: Path, write_wav: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, out, figure = write_wav("clip.wav"), tmp_path / "page.html", tmp_path / "effects.png"
    called(monkeypatch, str(clip), "--out", str(out), "--figure", str(figure))
    page = out.read_text("utf-8")
    assert all(title in page for title in EXAMPLES)
    assert {option for option, _ in EXAMPLES.values()} == {f"augment.wave.{name}" for name in ORDER}
    assert page.count("data:image/png;base64,") == len(EXAMPLES)
    assert "http" not in page
    sounds = re.findall(r"data:audio/flac;base64,([\w+/=]+)", page)
    lengths = [len(soundfile.read(io.BytesIO(base64.b64decode(sound)))[0]) for sound in sounds]
    assert lengths[:4] == [16_000, 14_546, 16_000, 17_778]
    assert len(set(sounds)) == len(EXAMPLES) + 1, "the clip as it is, and every effect"
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_a_file_that_is_no_sound_is_an_error_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "clip.wav").write_text("no sound")
    with pytest.raises(SystemExit, match=r"error: .*clip\.wav: can't be read"):
        called(monkeypatch, str(tmp_path / "clip.wav"), "--out", str(tmp_path / "page.html"))
    assert not (tmp_path / "page.html").exists()


def test_a_figure_of_a_kind_that_is_not_drawn_is_refused_before_anything_is_written(
    tmp_path: Path,
    write_wav: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = (
        str(write_wav("clip.wav")),
        "--out",
        str(tmp_path / "page.html"),
        "--figure",
        str(tmp_path / "effects.xyz"),
    )
    with pytest.raises(SystemExit):
        called(monkeypatch, *words)
    assert "effects.xyz must end in .png, .pdf or .svg" in capsys.readouterr().err
    assert not (tmp_path / "page.html").exists()

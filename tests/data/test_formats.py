import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser.data.audio import AudioError, read_audio
from ser.errors import visible

SOUND = bytes(np.random.default_rng(0).integers(1, 255, 4000, dtype=np.uint8))


def wav(code: int, rate: int = 16_000) -> bytes:
    """A WAV of a format that libsndfile does not read."""
    head = struct.pack("<HHIIHH", code, 1, rate, rate, 1, 8)
    return b"RIFF" + struct.pack("<I", 36 + len(SOUND)) + b"WAVEfmt \x10\0\0\0" + head + b"data" + struct.pack(
        "<I", len(SOUND)
    ) + SOUND  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "what", "remedy"),
    [
        ("a.wav", b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\n", "a Git LFS pointer", "git lfs pull"),
        ("a.wav", b"/annex/objects/SHA256E-s1--a.wav\n", "a git-annex pointer", "git annex get {path}"),
        ("a.wav", b"\xef\xbb\xbf\n<!DOCTYPE html><html>Sign in</html>", "a web page", "download it again"),
        ("a.mp3", b"<?xml version='1.0'?><Error>AccessDenied</Error>", "a web page", "download it again"),
        ("a.wav", b"\0\0\0\x1cftypM4A \0\0\2\0" + SOUND, "MPEG-4", "ffmpeg -i {path} {stem}.flac"),
        ("a.mp4", b"\0\0\0\x1cftypisom" + SOUND, "MPEG-4", "ffmpeg -i {path} {stem}.flac"),
        ("a.wav", b"\xff\xf1P\x80" + SOUND, "AAC", "ffmpeg -i {path} {stem}.flac"),
        ("a.wav", b"\x1aE\xdf\xa3" + SOUND, "WebM", "ffmpeg -i {path} {stem}.flac"),
        ("a b.flac", b"#!AMR\n" + SOUND, "AMR", "ffmpeg -i '{path}' '{stem}_converted.flac'"),
        ("a.wav", wav(0x0065), "WAV with G.722 (0x0065)", "ffmpeg -i {path} {stem}.flac"),
        ("a.wav", wav(0x4321), "WAV with sound in format (0x4321)", "ffmpeg -i {path} {stem}.flac"),
        ("a.g722", SOUND, "no header", "ffmpeg -f g722 -ar 8000 -i {path} {stem}.flac"),
        ("a.raw", SOUND, "no header", "ffmpeg -f s16le -ar 8000 -i {path} {stem}.flac"),
        ("a.wav", b"PK\x03\x04" + SOUND, "a ZIP archive", "unzip {path}"),
        ("a.wav", b"", "empty", "download it again"),
        ("a.wav", bytes(5000), "zeros alone", "get it again"),
        ("a.wav", b"no \x1b[31m sound", "Format not recognised; ", "ffmpeg -i {path}"),
        ("a.wav", b"no sound", "text, not sound; it begins with 'no sound'", ""),
    ],
)
def test_a_message_says_what_a_file_is_and_what_mends_it(
    tmp_path: Path, name: str, content: bytes, what: str, remedy: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(AudioError) as caught:
        read_audio(path, 16_000)
    message = str(caught.value)
    assert message.startswith(f"{path}: can't be read: ")
    assert what in message
    assert remedy.format(path=path, stem=path.with_suffix("")) in message
    assert "\n" not in message
    assert "\x1b" not in message
    assert "System error" not in message


def test_a_message_says_why_there_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "a.flac").touch()
    (tmp_path / "b.wav").touch()
    (tmp_path / "to_nowhere.wav").symlink_to("gone.wav")
    (tmp_path / "annexed.wav").symlink_to(".git/annex/objects/xx/yy.wav")
    for name, why in {
        "gone.wav": "there is no such file",
        "a.wav": f"there is no such file; there is {tmp_path / 'a.flac'}",
        "b": f"there is no such file; there is {tmp_path / 'b.wav'}",
        "folder/c.wav": f"there is no such file: there is no folder {tmp_path / 'folder'}",
        "b.wav/c.wav": "Not a directory",
        "to_nowhere.wav": "is a link to gone.wav, which is not there",
        "annexed.wav": f"is a link of git-annex to what is not here: git annex get {tmp_path / 'annexed.wav'}",
        "": "is a folder: give a file",
        "a\0b": "embedded null byte",
    }.items():
        with pytest.raises(AudioError) as caught:
            read_audio(tmp_path / name, 16_000)
        assert str(caught.value) == visible(f"{tmp_path / name}: can't be read: {why}")
    for name, why in {
        "C:\\clips\\a.wav": "a path of Windows",
        "https://host/a.wav": "is an address, not a file: download it first",
        "file://host/a.wav": "no such file on this computer",
    }.items():
        with pytest.raises(AudioError, match=why):
            read_audio(Path(name), 16_000)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_a_message_says_that_there_is_no_permission(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.touch(mode=0o000)
    with pytest.raises(AudioError, match=f"no permission to read it: chmod u\\+r {path}"):
        read_audio(path, 16_000)


@pytest.mark.parametrize("suffix", ["wav", "aiff"])
def test_a_recorder_that_left_the_size_at_0_is_told_from_an_empty_recording(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, np.zeros(0), 16_000)
    with pytest.raises(AudioError) as caught:
        read_audio(path, 16_000)
    assert str(caught.value) == f"{path}: has no samples"
    path.write_bytes(path.read_bytes() + SOUND)
    with pytest.raises(AudioError) as caught:
        read_audio(path, 16_000)
    told, _, remedy = str(caught.value).rpartition(": ")
    assert told.startswith(f"{path}: has no samples by its header, though 4,00")
    assert remedy == f"ffmpeg -i {path} {tmp_path / 'a.flac'}"

"""The first bytes of a file that can't be decoded → what it is, and the one command that mends it."""

import os
import shlex
import stat
from pathlib import Path

import soundfile

HEAD = 4096
"""Number of bytes at the start of a file that are examined."""

_STARTS = {
    b"\x1aE\xdf\xa3": "is WebM or Matroska",
    b"#!AMR": "is AMR",
    b"0&\xb2u\x8ef\xcf\x11": "is WMA",
    b"ADIF": "is AAC",
    b"MAC ": "is Monkey's Audio",
    b"wvpk": "is WavPack",
    b"TTA1": "is True Audio",
    b"MPCK": "is Musepack",
    b"MP+": "is Musepack",
    b"DSD ": "is DSD",
    b"FRM8": "is DSD",
    b".RMF": "is RealAudio",
    b".ra\xfd": "is RealAudio",
    b"FLV\x01": "is Flash video",
    b"\x00\x00\x01\xba": "is MPEG video",
    b"\x0bw": "is AC-3",
    b"caff": "is CAF whose sound is coded in a way that is not read here, or breaks off",
}
"""First bytes of files that ffmpeg converts; ``_kind`` knows more."""

_OTHERS = {
    b"version https://git-lfs": ("is a Git LFS pointer, not the sound itself", "git lfs pull"),
    b"/annex/objects/": ("is a git-annex pointer, not the sound itself", "git annex get {file}"),
    b"outs:\n- md5": ("is a DVC pointer, not the sound itself", "dvc pull"),
    b"PK\x03\x04": ("is a ZIP archive", "unzip {file}"),
    b"\x1f\x8b": ("is a gzip archive", "tar xf {file}, or gunzip where it holds one file"),
    b"Rar!": ("is a RAR archive", "unrar x {file}"),
    b"7z\xbc\xaf": ("is a 7z archive", "7z x {file}"),
    b"MThd": ("is MIDI: notes, no sound", "render it with a synthesiser"),
    b"%PDF": ("is a PDF, no sound", "take it away"),
    b"\x89PNG": ("is a picture, no sound", "take it away"),
    b"\xff\xd8\xff": ("is a picture, no sound", "take it away"),
    b"#!SILK": ("is SILK, as messengers send it", "save it as WAV with the program that it is from"),
    b"\x02#!SILK": ("is SILK, as messengers send it", "save it as WAV with the program that it is from"),
}

_CODECS = {
    0x0014: "G.723", 0x0022: "TrueSpeech", 0x0040: "G.721", 0x0042: "G.723.1", 0x0045: "G.726", 0x0050: "MPEG",
    0x0055: "MP3", 0x0064: "G.726", 0x0065: "G.722", 0x0083: "G.729", 0x00FF: "AAC", 0x0111: "Vivo G.723",
    0x0123: "G.729", 0x0125: "Sanyo ADPCM", 0x0130: "ACELP", 0x0133: "G.729", 0x0160: "WMA", 0x0161: "WMA",
    0x0162: "WMA", 0x0163: "WMA", 0x028F: "G.722", 0x1600: "AAC", 0x1610: "AAC", 0x2000: "AC-3", 0x2001: "DTS",
    0x706D: "AAC", 0xA100: "G.723.1", 0xA106: "AAC", 0xA109: "Speex", 0xA112: "G.726",
}  # fmt: skip
"""Codecs by the number in a WAV header, where libsndfile does not read them."""

_HEADERLESS = {
    ".g722": "g722", ".g729": "g729", ".g723": "g723_1", ".gsm": "gsm", ".raw": "s16le", ".pcm": "s16le",
    ".sln": "s16le", ".ul": "mulaw", ".ulaw": "mulaw", ".al": "alaw", ".alaw": "alaw",
}  # fmt: skip
"""Endings of files without a header, and ffmpeg's name of their format."""


def ffmpeg(path: Path, *options: str) -> str:
    """Return the command that converts a file to FLAC beside it."""
    into = path.with_suffix(".flac")
    into = path.with_name(f"{path.stem}_converted.flac") if into == path else into
    return shlex.join(["ffmpeg", *options, "-i", str(path), str(into)])


def why_unreadable(path: Path, error: Exception) -> str:  # noqa: PLR0911
    """Explain what a file is that can't be opened as sound, and what to do.

    Args:
        path: The path as the user gave it.
        error: The exception of the attempt to open it.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            return "is a folder: give a file"
        if not stat.S_ISREG(mode):
            return (
                "is a pipe or a device, not a file: write it to a file first, or pipe it to predict.py RUN /dev/stdin"
            )
        with path.open("rb") as file:
            head = file.read(HEAD)
    except FileNotFoundError:
        return _why_missing(path)
    except PermissionError:
        return f"no permission to read it: {shlex.join(['chmod', 'u+r', str(path)])}, or ask its owner"
    except OSError as problem:
        return f"{problem.strerror or problem}"
    except ValueError as problem:  # a name with a zero byte
        return str(problem)
    reason = why_not_sound(path, head)
    return reason or f"{getattr(error, 'error_string', None) or error}".rstrip(". ") + f"; {ffmpeg(path)} may read it"


def _why_missing(path: Path) -> str:  # noqa: PLR0911
    text = str(path)
    if path.is_symlink():
        to = path.readlink()
        if ".git/annex/" in to.as_posix():
            return f"is a link of git-annex to what is not here: {shlex.join(['git', 'annex', 'get', text])}"
        return f"is a link to {to}, which is not there"
    if text.lower().startswith(("http:/", "https:/", "s3:/", "gs:/", "ftp:/")):
        return "is an address, not a file: download it first, and give the file"
    if text.lower().startswith("file:"):
        return "there is no such file on this computer"
    if "\\" in text and os.sep == "/":
        return "there is no such file: this looks like a path of Windows; give it with / as this system has it"
    try:
        endings = sorted({".oga", ".opus", ".aif", *(f".{name.lower()}" for name in soundfile.available_formats())})
        for ending in endings:
            for other in (path.with_name(path.name + ending), path.with_suffix(ending)):
                if other.is_file():
                    return f"there is no such file; there is {other}"
        folder = next(parent for parent in path.parents if parent.exists())
    except (OSError, ValueError, StopIteration):
        return "there is no such file"
    return "there is no such file" + ("" if folder == path.parent else f": there is no folder {path.parent}")


def why_not_sound(path: Path, head: bytes) -> str | None:  # noqa: PLR0911
    """Explain what a file is by its first bytes, with the command that repairs it; None where they don't show it.

    Args:
        path: The file, for the command.
        head: Its first ``HEAD`` bytes, or all of them.
    """
    if not head:
        return "is empty: it has 0 bytes; copy or download it again"
    if not head.strip(b"\0"):
        return "begins with zeros alone, as a copy or download that was broken off leaves it: get it again"
    for start, (what, remedy) in _OTHERS.items():
        if head.startswith(start):
            return f"{what}: {remedy.format(file=shlex.quote(str(path)))}"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<body")):
        return "is a web page, as a download that was refused leaves it: download it again, and sign in where needed"
    if (kind := _kind(head)) is not None:
        return f"{kind}, which is not read here: {ffmpeg(path)}"
    if head.startswith(b"NIST_1A") and b"shorten" in head:
        return f"is SPHERE packed by shorten: {shlex.join(['sph2pipe', '-f', 'wav', str(path), f'{path.stem}.wav'])}"
    if (options := _HEADERLESS.get(path.suffix.lower())) is not None and not head.startswith((b"RIFF", b"FORM")):
        return f"has no header that tells its rate: {ffmpeg(path, '-f', options, '-ar', '8000')}, with the right rate"
    if _is_text(head):
        return f"is text, not sound; it begins with {head[:24].decode('ascii', 'replace')!r}"
    return None


def _kind(head: bytes) -> str | None:  # noqa: PLR0911
    """Name a format that ffmpeg reads and libsndfile does not; None for others."""
    for start, kind in _STARTS.items():
        if head.startswith(start):
            return kind
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide"):
        return "is MPEG-4 (m4a, mp4 or mov, mostly with AAC)"
    if head[:1] == b"\xff" and head[1:2] in (b"\xf0", b"\xf1", b"\xf8", b"\xf9"):
        return "is AAC"
    if head.startswith(b"OggS"):
        return "is Ogg with Speex" if b"Speex   " in head[:64] else "is Ogg without Vorbis, Opus or FLAC, or is broken"
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return "is AVI video"
    if head.startswith(b"FORM") and head[8:12] == b"AIFC":
        return "is AIFF-C that is broken or coded in another way"
    if head.startswith((b"RIFF", b"RF64")) and head[8:12] == b"WAVE" and (at := head.find(b"fmt ")) > 0:
        number = int.from_bytes(head[at + 8 : at + 10], "little")
        if number == 0xFFFE and len(head) > at + 34:  # an extensible header has the number further on
            number = int.from_bytes(head[at + 32 : at + 34], "little")
        if number not in (0x0001, 0x0003, 0xFFFE):
            return f"is WAV with {_CODECS.get(number, 'sound in format')} (0x{number:04X})"
    return None


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return all(letter.isprintable() or letter in "\t\r\n" for letter in text)


def why_no_samples(path: Path) -> str:
    """Explain a file whose header says that it has no samples."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(1 << 16)
    except (OSError, ValueError):
        return "has no samples"
    places = [
        head.find(chunk) + len(chunk)
        for chunk in (b"data\0\0\0\0", b"SSND\0\0\0\0", b"SSND\0\0\0\x08")
        if chunk in head
    ]
    follow = size - min(places, default=size)
    if follow < 1000:
        return "has no samples"
    return (
        f"has no samples by its header, though {follow:,} bytes follow, as if a recorder was stopped before it could "
        f"write the size: {ffmpeg(path)}"
    )

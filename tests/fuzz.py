"""Bad input to every reader: ``python tests/fuzz.py --seconds 600``. A developer's tool; pytest does not collect it.

Takes good files, damages them at random and hands them to what reads them: sound, tables of corpora, file names,
checkpoints, run folders, entries of caches and what servers send. Only ``ser.errors.UserError`` may come out, within
``HANG`` seconds and ``MEMORY`` bytes of address space. The cases run in a child process, which may be
killed or crash; a new one goes on. What was found is printed with a file that reproduces it:
``python tests/fuzz.py --target sound --replay FILE``.

Cases are drawn by ``random``, with mutations that know a little of the formats (numbers in headers, cells, keys). A
fuzzer that is led by coverage, such as atheris, would see the few Python lines of a reader only: what decides here is
in C, in libsndfile, the csv module and torch's readers, which it can't look into without a build of its own.
"""

import argparse
import io
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from multiprocessing.sharedctypes import SynchronizedArray
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import requests
import soundfile
import torch

from ser.commands.cache import show as list_entries
from ser.config import compose_words
from ser.data.audio import SoundStream, read_audio
from ser.data.bank import decode_clips
from ser.data.cache import clear, entries
from ser.data.corpora import READERS, Clip, crema_d
from ser.data.corpora.sources import Dataverse, File
from ser.data.download import Client, listing, unpack
from ser.errors import UserError, suit_terminal
from ser.evaluation import compare, evaluate, read_answers
from ser.features import Voice
from ser.inference.timeline import Listener
from ser.recognizer import Recognizer
from ser.results import console as results_console
from ser.results import find_runs, leaderboard, pooling, results_of
from ser.train import run

ROOT = Path(__file__).resolve().parents[1]

RATE = 16_000

HANG = 10
"""Seconds after which a case is ended."""

MEMORY = 6 << 30
"""Bytes of address space that a child may have, libraries included."""

NUMBERS = (0, 1, 2, 7, 0x7F, 0x80, 0xFF, 999, 1000, 8000, 24_414, 44_101, 0x7FFF, 0x8000, 0xFFFF, 10**6, 10**6 + 1,
           0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**36 - 1, 2**62, 2**63 - 1, 2**64 - 1)  # fmt: skip

WORDS = (b'"', b'""', b",", b";", b"\t", b"\n", b"\r", b"\r\n", b"\0", b"\xef\xbb\xbf", b"\xff\xfe", b"\xe9", b"~",
         b"~x/", b"..", b"/", b"\\", b"nan", b"inf", b"-1", b"1e999", b"9" * 5000, b"\xd9\xa3", "😀".encode(), b"[",
         b"{", b"}", b"null", b"${x}", b"???", b"&a *a", b": ", b"- ", b"a" * 200_000, b" ", b"%s", b"'")  # fmt: skip

VALUES: tuple[Any, ...] = (None, True, -1, 0, 1, 2.5, 2**40, 10**30, float("nan"), float("inf"), "", "x", "😀", "\0",
                           [], {}, [None], {"a": 1}, [[1, 2], [3]])  # fmt: skip


class Target(NamedTuple):
    """What reads a damaged file.

    Attributes:
        seeds: Good files.
        mutate: Makes a damaged file's bytes, out of a generator and the good files.
        read: Called with the damaged file's path; it has the suffix of the first seed that was drawn.
        share: Of the cases, relative to other targets.
    """

    seeds: list[Path]
    mutate: Callable[[random.Random, list[Path]], tuple[bytes, str]]
    read: Callable[[Path, random.Random], object]
    share: float = 1.0


def make_seeds(folder: Path) -> None:
    """Write good files of every kind: sound in several formats, and a run on a small corpus."""
    rng = np.random.default_rng(0)
    given = os.environ.get("SER_TEST_DATA")
    clips = sorted((Path(given) / "crema_d_mini").glob("*.flac"))[:3] if given else []
    sounds = [soundfile.read(clip)[0][: RATE // 2] for clip in clips]
    sounds.append(0.3 * np.sin(np.arange(RATE // 2) / 20) + 0.05 * rng.standard_normal(RATE // 2))
    (folder / "sound").mkdir()
    kinds = [("wav", "PCM_16"), ("wav", "PCM_24"), ("wav", "FLOAT"), ("wav", "ULAW"), ("wav", "IMA_ADPCM"),
             ("flac", "PCM_16"), ("flac", "PCM_24"), ("ogg", "VORBIS"), ("ogg", "OPUS"), ("mp3", "MPEG_LAYER_III"),
             ("aiff", "PCM_16"), ("w64", "PCM_16"), ("caf", "PCM_16"), ("au", "PCM_16")]  # fmt: skip
    for i, sound in enumerate(sounds):
        for suffix, subtype in kinds:
            soundfile.write(folder / "sound" / f"{i}_{subtype}.{suffix}", sound, RATE, subtype=subtype)
        for rate in (8000, 22_050, 96_000):
            soundfile.write(folder / "sound" / f"{i}_{rate}.wav", np.stack([sound, sound / 2], axis=1), rate)
    for emotion, pitch in (("sad", 200), ("happy", 500), ("anger", 900)):
        (folder / "clips" / emotion).mkdir(parents=True)
        for take in range(6):
            tone = 0.3 * np.sin(2 * np.pi * pitch * np.arange(RATE // 3) / RATE)
            noisy = tone + 0.1 * rng.standard_normal(len(tone))
            soundfile.write(folder / "clips" / emotion / f"{take}.wav", noisy, RATE)
    words = (
        "dataset=folder features=energy_zcr features.hop_length=200 features.frame_length=512 model=cnn1d logger=csv "
    )
    words += "datamodule.batch_size=8 trainer.max_epochs=1 trainer.accelerator=cpu trainer.enable_progress_bar=false "
    words += f"figure_every_n_epochs=0 dataset.root={folder / 'clips'} split=kfold split.by=clip split.folds=3 "
    words += "features.normalize=speaker"
    with results_console.capture():
        run(compose_words(words.split()), folder / "run", ["python", "train.py", *words.split()])
    Recognizer.load(folder / "run").enrol(sorted((folder / "clips/sad").iterdir())).save(folder / "voice.json")
    (folder / "tables").mkdir()
    made = [["path", "emotion", "speaker", "split", "age", "sex", "original"]]
    made += [[f"{i}.wav", "sad" if i % 2 else "happy", f"s{i}", "train", str(20 + i), "Female", ""] for i in range(4)]
    made[-1][-1] = "0.wav"
    (folder / "tables/manifest.csv").write_text("\n".join(map(",".join, made)) + "\n", encoding="utf-8")
    (folder / "tables/VideoDemographics.csv").write_text(
        "ActorID,Age,Sex,Race,Ethnicity\n1001,51,Male,Caucasian,Not Hispanic\n1002,21,Female,Caucasian,Not Hispanic\n",
        encoding="utf-8",
    )
    (folder / "tables/tabulatedVotes.csv").write_text(
        '"","A","D","F","H","N","S","fileName"\n"100001",0,0,1,2,5,0,"1001_DFA_ANG_XX"\n"200001",1,0,0,0,9,0,"1001_DFA_ANG_XX"\n',
        encoding="utf-8",
    )
    if given:
        for table in ("VideoDemographics.csv", "tabulatedVotes.csv"):
            real = (Path(given) / "crema_d_meta" / table).read_text(encoding="utf-8-sig").splitlines(keepends=True)
            (folder / "tables" / f"real_{table}").write_text("".join(real[:20]), encoding="utf-8")
    (folder / "tables/iemocap.txt").write_text(
        "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
        "[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]\nC-E2:\tNeutral;\t()\n"
        "A-E3:\tval 3; act 2; dom  2;\t()\n[10.0100 - 11.3925]\tSes01F_impro01_M001\tsad\t[2.0, 2.0, 2.0]\n",
        encoding="utf-8",
    )
    decode_clips(clips_of(folder), RATE, folder / "cache")
    with zipfile.ZipFile(folder / "corpus.zip", "w", zipfile.ZIP_DEFLATED) as zipped:
        for clip in clips_of(folder):
            zipped.write(clip.path, f"corpus/{clip.name}")
    told = [{"dataFile": {"id": i, "filename": f"{i}.wav", "md5": f"{i:032}"}} for i in range(3)]
    told[0]["directoryLabel"] = "a/b"  # type: ignore[assignment]
    told[1]["dataFile"]["checksum"] = {"type": "SHA-1", "value": "0" * 40}  # type: ignore[assignment]
    (folder / "listing.json").write_text(json.dumps({"status": "OK", "data": told}), encoding="utf-8")
    names = "1001_DFA_ANG_XX 03-01-05-02-01-02-01 03a01Wa DC_a01 OAF_back_angry Ses01F_impro01_F000 happy/one"
    (folder / "names.txt").write_text("\n".join(f"{name}.wav" for name in names.split()) + "\n", encoding="utf-8")


def clips_of(folder: Path) -> list[Clip]:
    """Those of the small corpus below ``folder``."""
    paths = sorted((folder / "clips").rglob("*.wav"))
    return [Clip(path.relative_to(folder / "clips").as_posix(), path, path.parent.name) for path in paths]


def damaged(rng: random.Random, seeds: list[Path]) -> tuple[bytes, str]:
    """A good file with bytes flipped, cut, doubled, swapped for another file's, or overwritten by odd numbers."""
    seed = rng.choice(seeds)
    data = bytearray(seed.read_bytes())
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        near = rng.random() < 0.7  # in the header
        at = rng.randrange(min(len(data), 100) if near else len(data)) if data else 0
        match rng.randrange(7):
            case 0 if data:
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                del data[at if rng.random() < 0.5 else rng.randrange(len(data) + 1) :]
            case 2:
                data[at:at] = rng.randbytes(rng.choice((1, 2, 4, 100)))
            case 3:
                del data[at : at + rng.choice((1, 2, 4, 100))]
            case 4:
                other = rng.choice(seeds).read_bytes()
                start = rng.randrange(len(other) + 1)
                data[at : at + 1000] = other[start : start + rng.choice((4, 100, 1000, len(other)))]
            case 5:
                data += data[at : at + 1000]
            case _:
                code = rng.choice(("<H", ">H", "<I", ">I", "<Q", ">Q", "<f", "<d"))
                number = struct.pack(
                    code, *([rng.choice((float("nan"), float("inf"), 1e38))] if code[1] in "fd" else
                            [rng.choice(NUMBERS) % (1 << 8 * struct.calcsize(code))])
                )  # fmt: skip
                data[at : at + len(number)] = number
    return bytes(data), seed.suffix


def reworded(rng: random.Random, seeds: list[Path]) -> tuple[bytes, str]:
    """A good text with lines, cells and single characters changed; now and then as ``damaged``."""
    if rng.random() < 0.2:
        return damaged(rng, seeds)
    seed = rng.choice(seeds)
    data = seed.read_bytes()
    for _ in range(rng.choice((1, 1, 2, 4))):
        mark = rng.choice((b"\n", b",", b"\t", b" ", b'"', b"_", b":", b"/"))
        cells = data.split(mark)
        at = rng.randrange(len(cells))
        match rng.randrange(6):
            case 0:
                cells[at] = rng.choice(WORDS)
            case 1:
                del cells[at]
            case 2:
                cells.insert(at, rng.choice(cells))
            case 3:
                cells[at] += rng.choice(WORDS)
            case 4:
                cells[at] = rng.choice(WORDS) + cells[at]
            case _:
                cells[at] = str(rng.choice(NUMBERS)).encode()
        data = mark.join(cells)
    if rng.random() < 0.1:
        data = data.decode("utf-8", "replace").encode(rng.choice(("utf-8-sig", "utf-16", "latin-1")), "replace")
    return data, seed.suffix


def altered(rng: random.Random, value: Any) -> Any:
    """Nested data with a value changed, or a key or an item gone."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        if rng.random() < 0.2:
            return {name: kept for name, kept in value.items() if name != key}
        return {**value, key: altered(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.8:
        at = rng.randrange(len(value))
        return [*value[:at], *([] if rng.random() < 0.2 else [altered(rng, value[at])]), *value[at + 1 :]]
    if isinstance(value, torch.Tensor):
        return rng.choice(
            (value.double(), value[:1] if value.ndim else value, value * float("nan"), value.flatten(), 3)
        )
    return rng.choice(VALUES)


def altered_json(rng: random.Random, seeds: list[Path]) -> tuple[bytes, str]:
    """A good JSON file that was cut off, or has other values, or lacks some, as another program's or a stranger's."""
    seed = rng.choice(seeds)
    data = seed.read_bytes()
    if rng.random() < 0.2:
        return data[: rng.randrange(len(data))], seed.suffix
    held = json.loads(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        held = altered(rng, held)
    return json.dumps(held).encode(), seed.suffix


def altered_entry(rng: random.Random, seeds: list[Path]) -> tuple[bytes, str]:
    """A file of a cache's entry with other bytes, or with other values where it is JSON."""
    seed = rng.choice(seeds)
    data, _ = altered_json(rng, [seed]) if seed.suffix == ".json" and rng.random() < 0.6 else damaged(rng, [seed])
    return data, f"-{seed.name}"


def altered_checkpoint(rng: random.Random, seeds: list[Path]) -> tuple[bytes, str]:
    """A good checkpoint with other values, or with other bytes."""
    if rng.random() < 0.3:
        return damaged(rng, seeds)
    checkpoint = torch.load(rng.choice(seeds), weights_only=True)
    own = checkpoint["ser"]
    key = rng.choice(["epoch", "state_dict", *sorted(own)])
    into = own if key in own else checkpoint
    into[key] = altered(rng, into[key])
    torch.save(checkpoint, into := io.BytesIO())
    return into.getvalue(), ".ckpt"


def voice(run_folder: Path) -> Callable[[Path, random.Random], object]:
    """Loads a voice and answers with it."""
    recognizer = Recognizer.load(run_folder)

    def read(path: Path, rng: random.Random) -> object:
        return recognizer(np.full(RATE // 2, 0.1, np.float32), RATE, voice=Voice.load(path))

    return read


def targets(folder: Path) -> dict[str, Target]:  # noqa: PLR0915
    """All of them, with seeds below ``folder``."""
    recognizer = Recognizer.load(folder / "run/checkpoints/best.ckpt")
    tables, good_run = folder / "tables", folder / "run"
    votes, actors = (sorted(tables.glob(f"*{name}")) for name in (crema_d.VOTES, crema_d.ACTORS))
    expected: Any = decode_clips(clips_of(folder), RATE).found
    noise = np.random.default_rng(1).uniform(-0.1, 0.1, RATE).astype(np.float32)

    def sound(path: Path, rng: random.Random) -> None:
        read_audio(path, RATE)

    def stream(path: Path, rng: random.Random) -> None:
        listener = Listener(recognizer, path.name) if rng.random() < 0.2 else None
        for block in SoundStream(path, RATE):
            if listener is not None:
                listener.push(block)
        if listener is not None:
            listener.finish().segments()

    def table(name: str) -> Callable[[Path, random.Random], None]:
        def read(path: Path, rng: random.Random) -> None:
            (path.parent / "1001_DFA_ANG_XX.wav").touch()
            shutil.copyfile(path, path.with_name(name))
            crema_d.read(path.parent)

        return read

    def iemocap(path: Path, rng: random.Random) -> None:
        labels = path.parent / "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt"
        heard = path.parent / "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav"
        for inside in (labels, heard):
            inside.parent.mkdir(parents=True)
        heard.touch()
        shutil.copyfile(path, labels)
        READERS["iemocap"](path.parent)

    def names(path: Path, rng: random.Random) -> None:
        root = path.parent / "root"
        root.mkdir()
        for line in path.read_bytes().split(b"\n")[:20]:
            name = line.strip(b"/").replace(b"\0", b"")
            place = os.path.join(os.fsencode(root), name[:200])  # noqa: PTH118  (bytes)
            if name and b".." not in name:
                try:
                    os.makedirs(os.path.dirname(place), exist_ok=True)  # noqa: PTH103, PTH120  (bytes)
                    open(place, "ab").close()  # noqa: PTH123  (bytes)
                except OSError:
                    continue  # the file system has no such name
        for reader in READERS:
            if reader not in ("manifest", "demo"):
                try:
                    READERS[reader](root)
                except UserError as error:
                    str(error).encode("utf-8", "replace")

    def answers(path: Path, rng: random.Random) -> None:
        found = read_answers(path)
        evaluate(found)
        compare(found, found)

    def run_folder(name: str) -> Callable[[Path, random.Random], None]:
        def read(path: Path, rng: random.Random) -> None:
            inside = path.parent / "run"
            inside.mkdir()
            for kept in ("metrics.json", "config.yaml", "predictions.csv"):
                shutil.copyfile(path if kept == name else good_run / kept, inside / kept)
            cfg = compose_words(["dataset=demo"])
            steps: list[Callable[[], object]] = [
                lambda: results_of(inside, cfg),
                lambda: leaderboard.markdown(leaderboard.shown(leaderboard.gather(find_runs([inside])))),
                lambda: [pooling.pool(runs) for runs in pooling.recipes(find_runs([inside]))],
            ]
            for step in steps:
                try:
                    step()
                except UserError as error:
                    str(error).encode("utf-8", "replace")

        return read

    def entry(path: Path, rng: random.Random) -> None:
        cache = path.parent / "cache"
        shutil.copytree(folder / "cache", cache)
        (found,) = entries(cache)
        inside = found.path / path.name.partition("-")[2]
        inside.unlink()
        match rng.randrange(12):
            case 0:
                os.mkfifo(inside)
            case 1:
                inside.symlink_to("/dev/zero")
            case 2:
                pass
            case _:
                shutil.copyfile(path, inside)
        with redirect_stdout(io.StringIO()):
            list_entries(entries(cache))
        decoded = decode_clips(clips_of(folder), RATE, cache, mapped=rng.random() < 0.5)
        for name, recording in decoded.found.items():
            assert np.array_equal(recording.samples, expected[name].samples), "samples that nobody recorded"
        if rng.random() < 0.5:
            clear(cache)

    def encoding(path: Path, rng: random.Random) -> None:
        terminal = io.TextIOWrapper(io.BytesIO(), rng.choice(("ascii", "cp1252", "utf-8", "cp932", "utf-16")))
        with redirect_stdout(terminal), redirect_stderr(terminal):
            suit_terminal()
            print(path.read_bytes().decode("utf-8", "surrogateescape"))
            run_folder("metrics.json")(path, rng)

    def packed(path: Path, rng: random.Random) -> None:
        unpack(path, dict.fromkeys([clip.name for clip in clips_of(folder)], "0" * 64), path.parent, path.parent)

    def listed(path: Path, rng: random.Random) -> None:
        class Sent(Client):
            def fetch(self, file: File, received: object = None, largest: int = 0) -> Path:
                return path

        listing(Dataverse("http://localhost", "doi:1"), Sent(requests.Session(), path.parent))

    def checkpoint(path: Path, rng: random.Random) -> None:
        Recognizer.load(path)(noise, RATE)

    return {
        "sound": Target(sorted((folder / "sound").iterdir()), damaged, sound, 8),
        "stream": Target(sorted((folder / "sound").iterdir()), damaged, stream, 4),
        "manifest": Target([tables / "manifest.csv"], reworded, lambda path, rng: READERS["manifest"](path), 2),
        "actors": Target(actors, reworded, table(crema_d.ACTORS)),
        "votes": Target(votes, reworded, table(crema_d.VOTES)),
        "iemocap": Target([tables / "iemocap.txt"], reworded, iemocap),
        "names": Target([folder / "names.txt"], reworded, names),
        "answers": Target([good_run / "predictions.csv"], reworded, answers, 0.5),
        "metrics": Target([good_run / "metrics.json"], altered_json, run_folder("metrics.json"), 0.5),
        "voice": Target([folder / "voice.json"], altered_json, voice(good_run), 1),
        "encoding": Target([good_run / "metrics.json", tables / "manifest.csv"], reworded, encoding, 0.3),
        "entry": Target(sorted((folder / "cache").glob("*-*/*")), altered_entry, entry, 1),
        "zip": Target([folder / "corpus.zip"], damaged, packed, 1),
        "listing": Target([folder / "listing.json"], altered_json, listed, 1),
        "config": Target([good_run / "config.yaml"], reworded, run_folder("config.yaml"), 0.2),
        "checkpoint": Target([good_run / "checkpoints/best.ckpt"], altered_checkpoint, checkpoint, 1),
    }


def work(folder: Path, found: Path, only: str | None, seed: int, until: float, done: SynchronizedArray) -> None:
    """In a child: damage and read until the time is up, or something kills it. The case lies in ``folder / "case"``."""
    os.dup2(os.open(folder / "chatter", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)  # of libmpg123, about each bad MP3
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    everything = targets(folder)
    shares = [target.share if only in (None, name) else 0.0 for name, target in everything.items()]
    rng = random.Random(seed)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    case = folder / "case"
    while time.time() < until:
        (number,) = rng.choices(range(len(shares)), shares)
        name, target = list(everything.items())[number]
        shutil.rmtree(case, ignore_errors=True)
        case.mkdir()
        data, suffix = target.mutate(rng, target.seeds)
        path = case / f"{name}{suffix}"
        path.write_bytes(data)
        (folder / "current").write_text(str(path))
        signal.setitimer(signal.ITIMER_REAL, HANG)  # nothing handles it, so that it ends even what hangs in C
        try:
            target.read(path, rng)
        except UserError:
            pass
        except BaseException as error:
            signal.setitimer(signal.ITIMER_REAL, 0)
            frames = [
                f
                for f in traceback.extract_tb(error.__traceback__)
                if str(ROOT) in f.filename and ".venv" not in f.filename
            ]
            where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}"
            told = "".join(traceback.format_exception(error))
            keep(found, path, f"{type(error).__name__} at {where}", told)
        signal.setitimer(signal.ITIMER_REAL, 0)
        done[number] += 1


def keep(found: Path, path: Path, kind: str, told: str) -> None:
    """Print a finding that is new, and keep the file that makes it."""
    name = "".join(letter if letter.isalnum() else "_" for letter in f"{path.stem} {kind}")
    kept = found / f"{name}{path.suffix}"
    if not kept.exists():
        shutil.copyfile(path, kept)
        kept.with_name(f"{kept.name}.txt").write_text(told, encoding="utf-8", errors="replace")
        print(f"{path.stem}: {kind}\n  {told.strip().splitlines()[-1][:200]}\n  {kept}", flush=True)


def fuzz(folder: Path, found: Path, seconds: float, only: str | None, seed: int) -> int:
    """Run children until the time is up; how many findings there are."""
    made = multiprocessing.get_context("spawn")
    names = list(targets(folder))
    done = made.Array("Q", len(names))
    started, child_number = time.time(), 0
    until = started + seconds
    while time.time() < until:
        child = made.Process(target=work, args=(folder, found, only, seed + child_number, until, done))
        child.start()
        child.join()
        child_number += 1
        if child.exitcode:
            ended = (
                f"ended by {signal.Signals(-child.exitcode).name}" if child.exitcode < 0 else f"exit {child.exitcode}"
            )
            chatter = (folder / "chatter").read_text(errors="replace")[-2000:]
            keep(found, Path((folder / "current").read_text()), ended, f"{chatter}\ntook over {HANG} s, or crashed")
    findings = [
        path for path in found.iterdir() if path.suffix != ".txt" or path.with_name(f"{path.name}.txt").exists()
    ]
    print(f"{sum(done)} cases in {time.time() - started:.0f} s: {dict(zip(names, done, strict=True))}")
    print(f"{len(findings)} findings in {found}" if findings else "no findings")
    return len(findings)


def main() -> None:
    """Fuzz, or try one file again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn")
    parser.add_argument("--target", help="only this one")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="give --target this file, and show the traceback")
    parser.add_argument("--found", type=Path, help="folder for the files that make findings; a new one by default")
    options = parser.parse_args()
    found = options.found or Path(tempfile.mkdtemp(prefix="fuzz_found_"))
    found.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fuzz_") as temporary:
        folder = Path(temporary)
        make_seeds(folder)
        if options.replay is not None:
            (folder / "case").mkdir()
            path = Path(shutil.copy(options.replay, folder / "case" / f"{options.target}{options.replay.suffix}"))
            print(targets(folder)[options.target].read(path, random.Random(options.seed)))
            return
        sys.exit(1 if fuzz(folder, found, options.seconds, options.target, options.seed) else 0)


if __name__ == "__main__":
    main()

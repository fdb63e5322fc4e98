"""The page in the browser: what Chromium answers there is what the recognizer answers here.

The tests in a browser need Chromium or Chrome on PATH and onnxruntime-web's folder ``dist`` in ``SER_TEST_ORT_WEB``.
One of them also needs axe-core's ``axe.min.js`` in ``SER_TEST_AXE``.
"""

import csv
import json
import os
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import screenshots
import soundfile
import torch

from ser.config import compose_words, network_settings
from ser.data.audio import SoundStream
from ser.errors import UserError
from ser.evaluation.calibration import Calibration
from ser.features import FeatureConfig, Frontend, Voice, VoicePrior
from ser.inference import page
from ser.inference.export import TOLERANCE
from ser.inference.timeline import OWN, Listener, own_voice
from ser.models import NETWORKS
from ser.recognizer import Recognizer

LABELS = ["anger", "</script>", "neutral"]
RATE = 16_000
RATES = {"plain": 16_000, "cd": 44_100, "studio": 48_000, "phone": 8_000, "odd": 11_025}
LENGTH = 40_000
ORT = os.environ.get("SER_TEST_ORT_WEB")
AXE = os.environ.get("SER_TEST_AXE")
DOCS = Path(__file__).parents[2] / "docs/page.md"


def recognizer(normalize: str = "speaker") -> Recognizer:
    """Untrained; weights are large enough for the answers to differ from clip to clip and from voice to voice."""
    cfg = compose_words(["model=paper2d", "features=logmel", f"features.normalize={normalize}"])
    config = FeatureConfig(**cfg["features"])
    frontend = Frontend(config, LENGTH)
    torch.manual_seed(0)
    normalizer = frontend.normalizer
    normalizer.mean.normal_(-50, 5)
    normalizer.std.uniform_(8, 12)
    network = NETWORKS["paper2d"](frontend.input_shape, len(LABELS), **network_settings(cfg))
    with torch.no_grad():
        for weights in network.parameters():
            weights.mul_(1.5)
    rows = len(normalizer.mean)
    offsets = torch.randn(2, 1, rows, dtype=torch.float64)
    mean, std = normalizer.mean.flatten().double(), normalizer.std.flatten().double()
    prior = VoicePrior(mean, std, 150.0, ("neutral",), offsets[0], 0.1 * offsets[1], 3)
    return Recognizer(network, frontend, LABELS, RATE, Calibration(1.7), prior if normalize == "speaker" else None)


@pytest.fixture(scope="module")
def answering() -> Recognizer:
    return recognizer()


def speech(seconds: float, rate: int, seed: int) -> np.ndarray:
    """Noisy syllables whose pitch and colour depend on ``seed``, with pauses."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    pitch = rng.uniform(90, 260) * (1 + 0.2 * np.sin(2 * np.pi * rng.uniform(0.2, 1) * time))
    voiced = sum(np.sin(2 * np.pi * k * np.cumsum(pitch) / rate) / k for k in range(1, 12))
    syllables = np.sin(2 * np.pi * rng.uniform(1.5, 3) * time) > -0.3
    spoken = (time % 7) < 5
    return 0.1 * voiced * syllables * spoken + 1e-3 * rng.standard_normal(len(time))


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Short clips of many rates, depths and containers, two voices to enrol, long recordings, and what is no sound."""
    folder = tmp_path_factory.mktemp("sounds")
    for i, (name, rate) in enumerate(RATES.items()):
        soundfile.write(folder / f"{name}.wav", speech(1.0 + 0.2 * i, rate, i), rate)
    left = speech(1.5, 48_000, 7)
    soundfile.write(folder / "stereo.wav", np.stack([left, -0.3 * left[::-1]], 1), 48_000, subtype="PCM_24")
    for depth in ("PCM_U8", "PCM_32", "FLOAT", "DOUBLE"):
        soundfile.write(folder / f"{depth}.wav", speech(1.2, RATE, 8), RATE, subtype=depth)
    soundfile.write(folder / "free.flac", speech(1.3, 22_050, 9), 22_050)
    soundfile.write(folder / "coded.mp3", speech(1.4, 44_100, 10), 44_100)
    soundfile.write(folder / "coded.ogg", speech(1.6, 44_100, 11), 44_100)
    for i in range(3):
        soundfile.write(folder / f"person{i}.wav", 0.4 * speech(1.5 + 2 * i, RATE, 20 + i), RATE)
    soundfile.write(folder / "long.wav", speech(24.3, 44_100, 30), 44_100)
    soundfile.write(folder / "long.flac", speech(11, RATE, 31), RATE)
    soundfile.write(folder / "silent.wav", np.zeros(RATE), RATE)
    soundfile.write(folder / "short.wav", speech(0.05, RATE, 1), RATE)
    (folder / "no sound.wav").write_text("some words")
    (folder / "empty.wav").touch()
    return folder


def found(folder: Path, names: Sequence[str]) -> list[Path]:
    return [folder / name for name in names]


# ---------------------------------------------------------------- without a browser


def test_facts_say_what_the_recognizer_is(answering: Recognizer) -> None:
    facts = json.loads(json.dumps(page.facts_of(answering)))
    assert (facts["labels"], facts["rate"], facts["length"], facts["calibrated"]) == (LABELS, RATE, LENGTH, False)
    assert (facts["timeline"]["window"], facts["timeline"]["hop"]) == (25, 10)
    assert facts["voice"]["frames"] == 150
    # Frames before 0, 1, 2 and 3 s, but for the one that is centred on the end of a step.
    hop = answering.frontend.features.hop_length
    assert facts["voice"]["edges"] == [0, *(1 + second * RATE // hop for second in (1, 2, 3))]
    assert page.facts_of(recognizer("standard"))["voice"] is None


def test_a_runtime_of_another_version_or_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no ort\.wasm\.bundle\.min\.mjs: give the folder dist of the npm package"):
        page.runtime_files(tmp_path)
    for name in page.RUNTIME_FILES:
        (tmp_path / name).write_text("another version")
    with pytest.raises(UserError, match=r"min\.mjs is not the one of onnxruntime-web-1\.30\.0: give that version's"):
        page.runtime_files(tmp_path)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a folder that ``ser demo``'s server serves."""
    with page.server(0) as web:
        web.folder = folder
        thread = threading.Thread(target=web.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{web.server_port}"
        web.shutdown()
        thread.join()


def test_a_runtime_is_downloaded_once_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there, kept = tmp_path / "there", tmp_path / "kept"
    there.mkdir()
    contents = {name: name.encode() for name in page.RUNTIME_FILES}
    for name, content in contents.items():
        (there / name).write_bytes(content)
    monkeypatch.setattr(page, "RUNTIME_FILES", {name: _sha256(content) for name, content in contents.items()})
    monkeypatch.setattr(page.pooch, "os_cache", lambda project: str(kept / project))
    with served(there) as address:
        monkeypatch.setattr(page, "RUNTIME_ADDRESS", address)
        assert [path.read_bytes() for path in page.runtime_files(None)] == list(contents.values())
        (there / next(iter(contents))).write_bytes(b"changed")
        assert [path.read_bytes() for path in page.runtime_files(None)] == list(contents.values())
        for path in page.runtime_files(None):
            path.unlink()
        with pytest.raises(UserError, match="sends other bytes"):
            page.runtime_files(None)


def _sha256(content: bytes) -> str:
    return page.pooch.hashes.hashlib.sha256(content).hexdigest()


def test_the_server_gives_types_that_browsers_ask_for_and_nothing_above_the_folder(tmp_path: Path) -> None:
    (tmp_path / "page").mkdir()
    (tmp_path / "secret").write_text("secret")
    kinds = {"index.html": "text/html", "a.mjs": "text/javascript", "a.wasm": "application/wasm"}
    for name in kinds:
        (tmp_path / "page" / name).write_text("text")
    with served(tmp_path / "page") as address:
        for name, kind in kinds.items():
            assert requests.get(f"{address}/{name}", timeout=5).headers["Content-Type"] == kind
        assert requests.get(f"{address}/%2e%2e/secret", timeout=5).status_code == 404
        port = int(address.rpartition(":")[2])
        with pytest.raises(UserError, match=f"port {port} can't be used .*give another with --port"):
            page.server(port)


# ---------------------------------------------------------------- in a browser


@pytest.fixture(scope="module")
def program() -> str:
    if not ORT:
        pytest.skip("no onnxruntime-web: set SER_TEST_ORT_WEB to the folder dist of its npm package")
    try:
        return screenshots.find_browser(None)
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def folder(program: str, answering: Recognizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a model that knows voices."""
    pytest.importorskip("onnxscript")
    folder = tmp_path_factory.mktemp("page")
    assert page.write_page(answering, folder, Path(str(ORT))) <= TOLERANCE
    assert {path.name for path in folder.iterdir()} == {*page.PAGE_FILES}
    return folder


class Tab:
    """The page in a browser.

    Args:
        browser: Where it was opened.
        saved: Folder of what it saves.
    """

    def __init__(self, browser: screenshots.Browser, saved: Path) -> None:
        self.browser, self.saved = browser, saved
        browser("Page.setDownloadBehavior", behavior="allow", downloadPath=str(saved))

    def wait(self, condition: str, seconds: float = 60) -> Any:
        """The value of a JavaScript expression as soon as it is true."""
        until = time.monotonic() + seconds
        while not (value := self.browser.evaluate(condition)):
            if time.monotonic() > until:
                raise AssertionError(
                    f"{condition} after {seconds} s: {self.browser.evaluate('document.body.innerText')}"
                )
            time.sleep(0.1)
        return value

    def text(self, place: str) -> str:
        return str(self.browser.evaluate(f"document.getElementById('{place}').textContent"))

    def click(self, selector: str) -> None:
        self.browser("Runtime.evaluate", expression=f"document.querySelector('{selector}').click()", userGesture=True)

    def give(self, chooser: str, paths: Sequence[Path]) -> None:
        """Choose files."""
        element = self.browser("Runtime.evaluate", expression=f"document.getElementById('{chooser}')")
        given = [str(path) for path in paths]
        self.browser("DOM.setFileInputFiles", objectId=element["result"]["objectId"], files=given)

    def answered(self, count: int) -> None:
        """Wait until ``count`` recordings have their answers."""
        self.wait(
            f"document.querySelectorAll('article').length == {count} && !document.querySelector('article .status') "
            "&& !document.getElementById('voice-state').textContent.startsWith('listening')"
        )

    def save(self, selector: str, pattern: str) -> Path:
        """Click what saves a file, and return it."""
        for old in self.saved.glob(pattern):
            old.unlink()
        self.click(selector)
        until = time.monotonic() + 10
        while not (new := [path for path in self.saved.glob(pattern) if path.suffix != ".crdownload"]):
            assert time.monotonic() < until, f"{selector} saves nothing"
            time.sleep(0.1)
        return new[0]

    def answers(self) -> dict[str, list[dict[str, Any]]]:
        """What it saves as JSON, by file."""
        saved = json.loads(self.save("#json", "answers.json").read_text("utf-8"))
        assert saved["labels"] == LABELS
        by_path: dict[str, list[dict[str, Any]]] = {}
        for row in saved["answers"]:
            by_path.setdefault(row["path"], []).append(row)
        return by_path


@contextmanager
def opened(program: str, folder: Path, tmp_path: Path, *flags: str) -> Iterator[Tab]:
    """The page of a folder, once its model is loaded."""
    with served(folder) as address, screenshots.browser(program, 1000, 900, flags) as browser:
        browser("Page.enable")
        tab = Tab(browser, tmp_path)
        browser("Page.navigate", url=f"{address}/index.html")
        tab.wait("document.getElementById('state')?.textContent === ''")
        yield tab


def differences(answering: Recognizer, rows: Sequence[dict[str, Any]], path: Path, voice: Voice | None) -> list[float]:
    """How much the page's probabilities differ from those of ``ser predict``, or its times from the timeline's."""
    if len(rows) == 1 and rows[0]["end"] <= answering.seconds:
        expected = answering(path, voice=voice)
        return [abs(rows[0][f"p_{label}"] - expected[label]) for label in LABELS]
    listener = Listener(answering, path.name)
    own = voice or own_voice(listener, SoundStream(path, RATE))
    listener = Listener(answering, path.name, voice=own or OWN)
    for block in SoundStream(path, RATE):
        listener.push(block)
    segments = listener.finish().segments(page.UNSURE)
    assert [row["emotion"] for row in rows] == [segment.emotion or "" for segment in segments]
    found = []
    for row, segment in zip(rows, segments, strict=True):
        found += [abs(row["start"] - segment.start), abs(row["end"] - segment.end)]
        found += [abs(row[f"p_{label}"] - value) for label, value in segment.probabilities.items()]
    return found


def test_files_are_answered_as_by_the_recognizer_and_nothing_else_is_asked(
    program: str, folder: Path, sounds: Path, answering: Recognizer, tmp_path: Path
) -> None:
    names = [f"{name}.wav" for name in (*RATES, "stereo", "PCM_U8", "PCM_32", "FLOAT", "DOUBLE", "long")]
    names += ["free.flac", "long.flac", "coded.mp3", "coded.ogg", "silent.wav"]
    wrong = {"short.wav": "at least 0.1 s is needed", "no sound.wav": "can't decode it", "empty.wav": "is empty"}
    log = tmp_path / "requests.json"
    with opened(program, folder, tmp_path, f"--log-net-log={log}") as tab:
        tab.give("files", found(sounds, [*names, *wrong]))
        tab.answered(len(names) + len(wrong))
        answers = tab.answers()
        for name in names:
            assert max(differences(answering, answers[name], sounds / name, None)) <= TOLERANCE, name
        assert {row["emotion"] for row in answers["long.wav"]} >= {"silence"}
        assert len({max(LABELS, key=lambda label: answers[name][0][f"p_{label}"] or 0) for name in names}) > 1
        for name, words in wrong.items():
            assert words in answers[name][0]["error"]
        assert answers["stereo.wav"][0]["remarks"] == "2 channels averaged; resampled from 48000 Hz"
        assert answers["free.flac"][0]["remarks"] == "decoded by the browser at 22050 Hz; resampled from 22050 Hz"
        table = list(csv.DictReader(tab.save("#csv", "answers.csv").read_text("utf-8").splitlines()))
        flat = [row for rows in answers.values() for row in rows]
        assert [float(row["p_anger"] or -1) for row in table] == [
            -1 if r["p_anger"] is None else r["p_anger"] for r in flat
        ]
        tab.click("#clear")
        assert tab.browser.evaluate("document.querySelectorAll('article').length") == 0
        tried = "fetch('https://example.org/').then(() => 'sent', () => 'refused')"
        done = tab.browser("Runtime.evaluate", expression=tried, awaitPromise=True, returnByValue=True)
        assert done["result"]["value"] == "refused"
        address = tab.browser.evaluate("location.origin")
    # What the browser asks for by itself has no origin.
    starts = re.findall(r'"initiator":"([^"]*)"[^\n]*?"url":"([^"]*)"', log.read_text("utf-8"))
    ours = sorted(url for initiator, url in starts if initiator == address or url.startswith(address))
    twice = "ort.wasm.bundle.min.mjs"  # by the page, and by its worker
    assert ours == sorted(f"{address}/{name}" for name in (*page.PAGE_FILES, twice))


def test_an_enrolled_voice_counts_as_the_recognizer_counts_it(
    program: str, folder: Path, sounds: Path, answering: Recognizer, tmp_path: Path
) -> None:
    people = [f"person{i}.wav" for i in range(3)]
    with opened(program, folder, tmp_path) as tab:
        tab.give("files", found(sounds, ["plain.wav", "long.wav"]))
        tab.answered(2)
        before = tab.answers()["plain.wav"][0]
        tab.give("clips", found(sounds, [*people, "silent.wav"]))
        tab.wait("document.getElementById('voice-state').textContent.includes('a voice of 3 clips')")
        assert "Left out: silent.wav: it is silent" in tab.text("voice-state")
        voice = answering.enrol(found(sounds, people))
        for neutral in (False, True):
            if neutral:
                tab.click("#neutral")
                voice = answering.enrol(found(sounds, people), neutral=True)
            tab.wait("document.body.innerText.split('by the enrolled voice').length == 3")
            tab.answered(2)
            until = time.monotonic() + 20
            while True:  # a second change shows no other words
                answers = tab.answers()
                worst = max(
                    max(differences(answering, answers[name], sounds / name, voice))
                    for name in ("plain.wav", "long.wav")
                )
                if worst <= TOLERANCE or time.monotonic() > until:
                    break
            assert worst <= TOLERANCE
        assert abs(before["p_anger"] - answers["plain.wav"][0]["p_anger"]) > 1e-3
        tab.click("#forget")
        tab.wait("document.getElementById('voice-state').textContent.startsWith('No voice is enrolled')")
        tab.answered(2)
        tab.wait("!document.body.innerText.includes('by the enrolled voice')")
        assert tab.answers()["plain.wav"][0]["p_anger"] == pytest.approx(before["p_anger"], abs=1e-6)


def test_the_microphone_is_answered_live_and_then_as_a_recording(
    program: str, folder: Path, answering: Recognizer, tmp_path: Path
) -> None:
    spoken = speech(5, 48_000, 40)
    soundfile.write(tmp_path / "spoken.wav", spoken, 48_000)
    flags = [
        "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={tmp_path / 'spoken.wav'}", "--autoplay-policy=no-user-gesture-required",
    ]  # fmt: skip
    with opened(program, folder, tmp_path, *flags) as tab:
        tab.click("#microphone")
        tab.wait("document.getElementById('live-note').textContent.includes('2.0 s to 4.5 s')", 20)
        live = [float(word) for word in re.findall(r"0\.\d{3}|1\.000", tab.text("live-bars"))]
        assert sum(live) == pytest.approx(1, abs=0.01)
        assert tab.text("microphone") == "Stop"
        tab.click("#microphone")
        tab.answered(1)
        heard = tab.save("article a[download]", "recording*.wav")
        (rows,) = tab.answers().values()
        samples, rate = soundfile.read(heard)
        assert rate == RATE
        assert len(samples) / rate > 4.4
        assert max(differences(answering, rows, heard, None)) <= TOLERANCE
    # It is the sound that was played, in a loop, from wherever it was.
    loop = soundfile.read(tmp_path / "spoken.wav")[0][::3]
    spectra = np.fft.rfft(samples[: len(loop)], len(loop)), np.fft.rfft(loop)
    likeness = np.fft.irfft(spectra[0] * spectra[1].conj()).max()
    assert likeness / np.linalg.norm(samples[: len(loop)]) / np.linalg.norm(loop) > 0.8


DROP = """
(async (container) => {
  const context = new AudioContext(), tone = context.createOscillator(), sink = context.createMediaStreamDestination();
  tone.connect(sink);
  tone.start();
  const recorder = new MediaRecorder(sink.stream, { mimeType: container }), parts = [];
  recorder.ondataavailable = ({ data }) => parts.push(data);
  const ended = new Promise((resolve) => { recorder.onstop = resolve; });
  recorder.start();
  setTimeout(() => recorder.stop(), 1200);
  await ended;
  const held = new DataTransfer();
  held.items.add(new File(parts, `tone.${container.slice(6, 9)}`));
  document.getElementById("drop").dispatchEvent(new DragEvent("drop", { dataTransfer: held, cancelable: true }));
})
"""
"""Records a tone of 440 Hz as browsers do, and drops it on the page."""


def test_what_browsers_record_can_be_dropped(program: str, folder: Path, tmp_path: Path) -> None:
    with opened(program, folder, tmp_path, "--autoplay-policy=no-user-gesture-required") as tab:
        kinds = [
            kind
            for kind in ("audio/webm", "audio/mp4")
            if tab.browser.evaluate(f"MediaRecorder.isTypeSupported('{kind}')")
        ]
        for count, kind in enumerate(kinds, 1):
            tab.browser("Runtime.evaluate", expression=f"{DROP}('{kind}')", awaitPromise=True)
            tab.answered(count)
        answers = tab.answers()
    assert "tone.web" in answers
    for (row,) in answers.values():
        assert row["end"] == pytest.approx(1.2, abs=0.3)
        assert re.match(r"(\d channels averaged; )?decoded by the browser at \d+ Hz; resampled", row["remarks"])


def test_gradio_answers_as_the_recognizer(answering: Recognizer, sounds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gradio = pytest.importorskip("gradio")
    monkeypatch.setattr(Recognizer, "load", lambda path: answering)
    monkeypatch.setattr(gradio.Interface, "launch", lambda self: None)
    (block,) = re.findall(r"```python\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(block, str(DOCS), "exec"), names)
    samples, rate = soundfile.read(sounds / "cd.wav", dtype="int16")
    assert names["answer"]((rate, samples)) == pytest.approx(answering(sounds / "cd.wav"), abs=1e-6)
    with pytest.raises(gradio.Error, match="Record or upload"):
        names["answer"](None)
    with pytest.raises(gradio.Error, match=r"at least 0\.1 s"):
        names["answer"]((rate, samples[:100]))


@pytest.mark.skipif(not AXE, reason="no axe-core: set SER_TEST_AXE to its axe.min.js")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_to_mend(program: str, folder: Path, sounds: Path, tmp_path: Path, scheme: str) -> None:
    with opened(program, folder, tmp_path) as tab:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        tab.browser("Emulation.setEmulatedMedia", features=features)
        tab.give("files", found(sounds, ["plain.wav", "long.wav", "empty.wav"]))
        tab.answered(3)
        tab.browser("Runtime.evaluate", expression=Path(str(AXE)).read_text("utf-8"))
        run = "axe.run().then(found => found.violations.map(one => [one.id, one.nodes[0].html]))"
        done = tab.browser("Runtime.evaluate", expression=run, awaitPromise=True, returnByValue=True)
        assert done["result"]["value"] == []

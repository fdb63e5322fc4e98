import csv
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor
from torchaudio.functional import resample

import ser.results
from ser.checkpoint import FORMAT, FORMAT_BEFORE, Checkpoint, find_checkpoint
from ser.data.audio import AudioError, from_samples, read_audio
from ser.data.corpora import read_corpora
from ser.data.splits import Split, split_clips
from ser.errors import UserError
from ser.evaluation.calibration import Calibration
from ser.features import Normalizer
from ser.files import UNFINISHED
from ser.models.seresnet import SeResNet
from ser.recognizer import Answer, Recognizer
from ser.train import run
from tests.helpers import composed

PITCHES = {"anger": 900, "happy": 500, "sad": 200}

SMALL = (
    "dataset=manifest",
    "split.val=0.2",
    "datamodule.batch_size=8",
    "datamodule.max_seconds=0.4",
    "trainer.max_epochs=3",
    "trainer.accelerator=cpu",
    "trainer.enable_progress_bar=false",
    "figure_every_n_epochs=0",
    "logger=csv",
)
RECIPES = {
    "1d": ("features=energy_zcr", "features.hop_length=200", "features.frame_length=512", "model=cnn1d"),
    "mel": (
        "features=mel",
        "features.hop_length=128",
        "features.n_fft=512",
        "features.n_mels=46",
        "model=cnn2d",
        "trainer.max_epochs=2",
    ),
}


class Run(NamedTuple):
    folder: Path
    corpus: Path
    results: dict[str, Any]

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoints" / "best.ckpt"

    def predictions(self) -> list[dict[str, str]]:
        with (self.folder / "predictions.csv").open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def files(self) -> list[Path]:
        """The test clips."""
        return [self.corpus / row["clip"] for row in self.predictions()]

    def split(self) -> Split:
        clips = read_corpora({"name": "manifest", "root": str(self.corpus / "clips.csv")})
        return split_clips(clips, **composed(*SMALL)["split"])

    def probabilities(self) -> Tensor:
        return torch.tensor([[float(row[f"p_{label}"]) for label in PITCHES] for row in self.predictions()])


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """36 short noisy tones of 12 people in three emotions, some longer than what is heard of them."""
    root = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    with (root / "clips.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["path", "emotion", "speaker"])
        for emotion, pitch in PITCHES.items():
            for take in range(12):
                time = np.arange(int(rng.uniform(0.3, 0.5) * 16_000)) / 16_000
                tone = 0.3 * np.sin(2 * np.pi * pitch * rng.uniform(0.6, 1.6) * time)
                name = f"{emotion}_{take:02}.wav"
                soundfile.write(root / name, tone + 0.1 * rng.standard_normal(len(time)), 16_000)
                table.writerow([name, emotion, f"p{take:02}"])
    return root


@pytest.fixture(scope="module", params=list(RECIPES))
def trained(request: pytest.FixtureRequest, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp(request.param)
    cfg = composed(*SMALL, *RECIPES[request.param])
    cfg["dataset"]["root"] = str(corpus / "clips.csv")
    with ser.results.console.capture():
        return Run(folder, corpus, run(cfg, folder))


@pytest.fixture(scope="module")
def recognizer(trained: Run, tmp_path_factory: pytest.TempPathFactory) -> Recognizer:
    """From a copy of the checkpoint that lies alone."""
    alone = tmp_path_factory.mktemp("alone") / "some.ckpt"
    shutil.copyfile(trained.checkpoint, alone)
    return Recognizer.load(alone)


def listed(probabilities: dict[str, float]) -> Tensor:
    return torch.tensor(list(probabilities.values()))


def close(one: Tensor, other: Tensor, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=tolerance)


def noise(seconds: float, rate: int = 16_000, seed: int = 0) -> NDArray[np.float32]:
    """Noise that gets louder, so that no part of it sounds like another."""
    count = round(seconds * rate)
    rng = np.random.default_rng(seed)
    return (np.linspace(0.001, 0.3, count) ** 2 * rng.standard_normal(count)).astype(np.float32)


def test_a_recognizer_knows_what_it_was_trained_on(recognizer: Recognizer, trained: Run) -> None:
    assert recognizer.labels == sorted(PITCHES)
    assert recognizer.sample_rate == 16_000
    assert recognizer.seconds == pytest.approx(0.4)
    assert recognizer.calibration.temperature == trained.results["calibration"]["temperature"] != 1


def test_a_file_gets_the_probabilities_of_the_runs_table(recognizer: Recognizer, trained: Run) -> None:
    answers = [recognizer(file) for file in trained.files()]
    assert all(list(answer) == sorted(PITCHES) for answer in answers)
    found = torch.stack([listed(answer) for answer in answers])
    close(found, trained.probabilities())
    assert (found[:, None] - found[None]).abs().amax() > 0.01, "clips are told apart"
    first = trained.files()[0]
    assert recognizer(str(first)) == recognizer(first)


def test_samples_in_memory_get_the_same_as_their_file(recognizer: Recognizer, trained: Run) -> None:
    for file, expected in zip(trained.files(), trained.probabilities(), strict=True):
        samples, rate = soundfile.read(file)
        close(listed(recognizer(samples, rate)), expected)
        close(listed(recognizer(samples.astype(np.float32), sample_rate=rate)), expected)
        close(listed(recognizer(torch.from_numpy(samples), rate)), expected)


def test_channels_are_averaged(recognizer: Recognizer, trained: Run, tmp_path: Path) -> None:
    sound, other = torch.from_numpy(noise(0.4)), torch.from_numpy(noise(0.4, seed=1))
    expected = listed(recognizer((sound + other) / 2, 16_000))
    close(listed(recognizer(torch.stack([sound, other]), 16_000)), expected)
    assert (listed(recognizer(sound, 16_000)) - expected).abs().max() > 1e-4
    soundfile.write(tmp_path / "stereo.wav", torch.stack([sound, other], 1).numpy(), 16_000, subtype="FLOAT")
    close(listed(recognizer(tmp_path / "stereo.wav")), expected)


@pytest.mark.parametrize("rate", [8_000, 22_050, 48_000])
def test_another_rate_is_resampled(recognizer: Recognizer, rate: int, tmp_path: Path) -> None:
    sound = torch.from_numpy(noise(0.35, rate))
    expected = listed(recognizer(resample(sound, rate, 16_000), 16_000))
    close(listed(recognizer(sound, rate)), expected)
    assert (listed(recognizer(sound, 16_000)) - expected).abs().max() > 1e-4, "the rate matters"
    soundfile.write(tmp_path / "other.wav", sound.numpy(), rate, subtype="FLOAT")
    close(listed(recognizer(tmp_path / "other.wav")), expected)


def test_a_longer_sound_is_cropped_about_its_middle(recognizer: Recognizer) -> None:
    sound = noise(1.3)
    length = round(recognizer.seconds * 16_000)
    start = (len(sound) - length) // 2
    found = listed(recognizer(sound, 16_000))
    close(found, listed(recognizer(sound[start : start + length], 16_000)))
    for elsewhere in (sound[:length], sound[-length:]):
        assert (found - listed(recognizer(elsewhere, 16_000))).abs().max() > 1e-4


def test_an_answer_is_the_same_in_any_batch(recognizer: Recognizer, trained: Run) -> None:
    files = trained.files()
    recordings = [read_audio(file, 16_000) for file in files]
    for size in (1, 3, len(files)):
        parts = [recognizer.probabilities(recordings[start : start + size]) for start in range(0, len(files), size)]
        close(torch.cat(parts), trained.probabilities())
    # A float clip in the batch changes how the others are kept.
    soft = from_samples(noise(1.0), 16_000, 16_000)
    close(recognizer.probabilities([soft, *recordings])[1:], trained.probabilities())


def test_a_checkpoint_holds_plain_data_and_all_that_prediction_needs(trained: Run) -> None:
    kept = torch.load(trained.checkpoint, weights_only=True)
    assert kept["ser"]["format"] == FORMAT
    assert kept["ser"]["version"] == ser.__version__
    calibration = kept["ser"]["calibration"]
    clips = trained.results["split"]["clips"]["val"]
    assert calibration["temperature"] == trained.results["calibration"]["temperature"]
    assert calibration["confidence"].shape == calibration["right"].shape == (clips,)
    assert calibration["right"].dtype == torch.bool
    assert (calibration["confidence"].diff() <= 0).all()
    assert ((calibration["confidence"] > 1 / 3 - 1e-6) & (calibration["confidence"] <= 1)).all()
    split = trained.split()
    heard = {f"manifest/{clip.speaker}" for clip in (*split.train, *split.val)}
    assert kept["ser"]["seen"] == sorted(heard)


def test_the_calibration_is_of_the_validation_clips(recognizer: Recognizer, trained: Run) -> None:
    split = trained.split()
    answers = list(recognizer.answer([clip.path for clip in split.val]))
    ranked = sorted(zip(answers, split.val, strict=True), key=lambda pair: -pair[0].confidence)
    confidence, right = recognizer.calibration.confidence, recognizer.calibration.right
    assert confidence is not None
    assert right is not None
    assert confidence.tolist() == pytest.approx([answer.confidence for answer, _ in ranked], abs=1e-5)
    assert right.sum().item() == sum(answer.emotion == clip.emotion for answer, clip in ranked)


def test_a_calibration_is_added_without_touching_the_rest(trained: Run, tmp_path: Path) -> None:
    path = tmp_path / "best.ckpt"
    shutil.copyfile(trained.checkpoint, path)
    before = torch.load(path, weights_only=True)
    Checkpoint.read(path).with_calibration(Calibration(1.0)).write(path)
    plainly = Recognizer.load(path)
    found = Calibration(4.0, torch.tensor([0.9, 0.8]), torch.tensor([True, False]))
    Checkpoint.read(path).with_calibration(found).write(path)
    after = torch.load(path, weights_only=True)
    assert set(after) == set(before)
    assert set(after["ser"]) == set(before["ser"])
    assert all(torch.equal(weight, after["state_dict"][key]) for key, weight in before["state_dict"].items())
    assert [file.name for file in tmp_path.iterdir()] == ["best.ckpt"]
    softer = Recognizer.load(path)
    assert softer.calibration.threshold(0) == pytest.approx(0.9)
    sound = noise(0.4)
    flattened = listed(plainly(sound, 16_000)).double() ** 0.25
    close(listed(softer(sound, 16_000)).double(), flattened / flattened.sum())


def test_files_are_answered_in_order_and_bad_ones_get_their_error(
    recognizer: Recognizer, trained: Run, tmp_path: Path
) -> None:
    (tmp_path / "text.wav").write_text("no sound")
    soundfile.write(tmp_path / "short.wav", np.zeros(100), 16_000)
    bad = [tmp_path / "text.wav", tmp_path / "gone.wav", tmp_path / "short.wav"]
    good = trained.files()
    paths = [bad[0], *good[:2], bad[1], bad[2], *good[2:], good[0]]
    for size in (1, 2, 32):
        answers = list(recognizer.answer(paths, size))
        assert [answer.path for answer in answers] == paths
        right = [answer for answer in answers if answer.error is None]
        expected = torch.cat([trained.probabilities(), trained.probabilities()[:1]])
        close(torch.stack([listed(answer.probabilities) for answer in right]), expected)
        wrong = [answer for answer in answers if answer.error is not None]
        assert [answer.path for answer in wrong] == bad
        assert all(str(answer.path) in str(answer.error) for answer in wrong)
        assert "0.1 s is needed" in str(wrong[2].error)
    assert list(recognizer.answer([])) == []
    assert [answer.error is None for answer in recognizer.answer(bad)] == [False] * 3


def test_an_answers_emotion_is_its_most_probable_one() -> None:
    answer = Answer(Path("a.wav"), {"anger": 0.2, "happy": 0.5, "sad": 0.3})
    assert (answer.emotion, answer.confidence) == ("happy", 0.5)
    nothing = Answer(Path("a.wav"), {}, "can't be read")
    assert (nothing.emotion, nothing.confidence) == (None, 0)


def test_samples_without_their_rate_are_refused(recognizer: Recognizer) -> None:
    with pytest.raises(UserError, match="sample_rate="):
        recognizer(noise(0.4))


@pytest.mark.parametrize(
    ("samples", "rate", "message"),
    [
        (np.append(noise(0.4), np.nan), 16_000, "NaN"),
        (np.append(noise(0.4), np.inf), 16_000, "infinite"),
        (noise(0.09), 16_000, r"lasts 0\.090 s; at least 0\.1 s"),
        (noise(0.4), 160_000, r"lasts 0\.040 s"),
        (noise(0.09).reshape(-1, 1), 16_000, "lasts 0.000 s"),
        (32768 * noise(0.4), 16_000, "far beyond full scale, which is 1"),
        (noise(0.4) > 0, 16_000, "are of type ndarray of bool"),
        (np.array(["a.wav", "b.wav"]), 16_000, "takes several files"),
        ((1000 * noise(0.4)).astype(np.int64), 16_000, re.escape("give samples.astype(numpy.int16)")),
        ((10000 * noise(0.4)).astype(np.int32), 16_000, "are int32, and far below its full scale"),
        (np.float32(0.3), 16_000, re.escape("of shape () at 16000 Hz: (time,) or (channel, time) is wanted")),
        (np.zeros((1, 2, 8_000)), 16_000, re.escape("of shape (1, 2, 8000)")),
        (np.zeros(0), 16_000, re.escape("of shape (0,)")),
        (np.zeros((2, 0)), 16_000, re.escape("of shape (2, 0)")),
        (np.zeros((0, 16_000)), 16_000, re.escape("of shape (0, 16000)")),
        (noise(0.4), 0, "at 0 Hz"),
        (noise(0.4), -16_000, "over 0 Hz"),
    ],
)
def test_samples_that_cannot_be_used_are_told(
    recognizer: Recognizer, samples: NDArray[np.float32], rate: int, message: str
) -> None:
    with pytest.raises(AudioError, match=message):
        recognizer(samples, rate)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint16", "int32", "float64", "float16"])
def test_samples_of_any_type_that_tells_its_scale_are_taken(recognizer: Recognizer, dtype: str) -> None:
    sound = np.round(noise(0.4) * 100) / 128
    expected = listed(recognizer(sound, 16_000))
    samples = sound
    if "int" in dtype:
        bits = np.iinfo(dtype).bits
        samples = sound.astype(np.float64) * 2 ** (bits - 1) + (2 ** (bits - 1) if dtype[0] == "u" else 0)
    close(listed(recognizer(samples.astype(dtype), 16_000)), expected)


def test_sound_is_taken_as_soundfile_and_others_give_it(recognizer: Recognizer, tmp_path: Path) -> None:
    sound = np.stack([noise(0.4), noise(0.4, seed=1)], axis=1)
    path = tmp_path / "a b#%41.wav"
    soundfile.write(path, sound, 16_000, subtype="FLOAT")
    expected = listed(recognizer(path))
    samples, rate = soundfile.read(path)
    assert samples.shape == (6400, 2)
    for pair in ((samples, rate), (rate, samples), (torch.from_numpy(samples.T), rate)):
        close(listed(recognizer(pair)), expected)
    close(listed(recognizer(samples, sample_rate=rate)), expected)
    for file in (path.read_bytes(), bytearray(path.read_bytes()), io.BytesIO(path.read_bytes())):
        close(listed(recognizer(file)), expected)
    for spelt in (path.as_uri(), f"file://{path}", str(path).replace("/", "\\")):
        close(listed(recognizer(spelt)), expected)
    with path.open("rb") as file:
        close(listed(recognizer(file)), expected)
    with pytest.raises(UserError, match="the open file: is open as text: open it with 'rb'"):
        recognizer(io.StringIO("RIFF"))


@pytest.mark.parametrize(
    ("sound", "rate", "message"),
    [
        ((noise(0.4), 16_000), 8_000, "come with their rate, 16000, and sample_rate=8000"),
        ((noise(0.4), noise(0.4)), None, "a tuple must be samples and their rate"),
        (noise(0.4).tobytes(), None, "the bytes: can't be read: "),
        (b"", None, "the bytes: can't be read: is empty"),
        (noise(0.4), "16 kHz", "sample_rate='16 kHz' must be a number, in hertz"),
        ([[0.1], [0.1, 0.2]], 16_000, "the samples are no array"),
        ({"array": noise(0.4)}, 16_000, "are of type dict"),
    ],
)
def test_what_cannot_be_taken_is_explained(recognizer: Recognizer, sound: Any, rate: Any, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        recognizer(sound, rate)


def test_an_answer_tells_what_is_odd(recognizer: Recognizer, tmp_path: Path) -> None:
    sound = np.concatenate([noise(2), np.zeros(16_000, np.float32), noise(2)])
    soundfile.write(tmp_path / "a.wav", np.stack([sound, sound], 1), 16_000)
    soundfile.write(tmp_path / "b.wav", noise(0.3), 16_000)
    odd, fine = recognizer.answer([tmp_path / "a.wav", tmp_path / "b.wav"])
    assert odd.remarks == ("2 channels averaged", "heard in part (0.4 s of 5.0 s)", "silent")
    assert (fine.remarks, fine.error) == ((), None)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_answers(trained: Run) -> None:
    code = f"""if True:
        import os, signal, sys, torch
        from ser.recognizer import Recognizer
        torch.set_num_threads(4)  # what a fork can't take along
        recognizer = Recognizer.load({str(trained.checkpoint)!r})
        torch.randn(600, 600) @ torch.randn(600, 600)
        torch.randn(10**7).exp_()
        expected = recognizer({str(trained.files()[0])!r})
        if os.fork() == 0:
            signal.alarm(20)  # a child that waits is ended
            torch.randn(10**7).exp_()
            found = recognizer({str(trained.files()[0])!r})
            os._exit(0 if max(abs(found[name] - expected[name]) for name in found) < 1e-5 else 3)
        sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
    """
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False, timeout=60).returncode == 0


def test_a_file_that_cannot_be_used_is_named(recognizer: Recognizer, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "nan.wav", np.full(16_000, np.nan), 16_000, subtype="FLOAT")
    for name in ("nan.wav", "gone.wav"):
        with pytest.raises(AudioError, match=re.escape(str(tmp_path / name))):
            recognizer(tmp_path / name)


def made(kind: str, frames: int, loudness: float, seed: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    sound = {
        "noise": rng.standard_normal(frames),
        "tone": np.sin(rng.uniform(0.001, 3) * np.arange(frames)),
        "constant": np.ones(frames),
        "click": np.eye(1, frames, int(rng.integers(frames)))[0],
    }[kind]
    return (loudness * sound).astype(np.float32)


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from(["noise", "tone", "constant", "click"]),
    st.sampled_from([8_000, 11_025, 16_000, 44_100, 48_000]),
    st.one_of(st.just(0.1), st.floats(0.1, 1.0)),
    st.sampled_from([0.0, 1e-30, 1e-5, 0.1, 1.0, 3.0]),
    st.integers(1, 3),
    st.integers(0, 1000),
)
def test_any_sound_of_a_tenth_of_a_second_gets_probabilities(
    recognizer: Recognizer, kind: str, rate: int, seconds: float, loudness: float, channels: int, seed: int
) -> None:
    frames = int(np.ceil(seconds * rate))
    sound = np.stack([made(kind, frames, loudness, seed + channel) for channel in range(channels)])
    found = listed(recognizer(sound[0] if channels == 1 else sound, rate))
    assert found.isfinite().all()
    assert ((found >= 0) & (found <= 1)).all()
    assert found.sum().item() == pytest.approx(1, abs=1e-5)


def changed(source: Path, target: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    kept = torch.load(source, weights_only=True)
    change(kept)
    torch.save(kept, target)
    return target


def refused(path: Path, message: str = "") -> None:
    """Check that loading tells the file and the reason."""
    with pytest.raises(UserError, match=re.escape(str(path))) as caught:
        Recognizer.load(path)
    assert message in str(caught.value)


def test_a_checkpoint_of_another_version_is_refused(trained: Run, tmp_path: Path) -> None:
    for version, remedy in ((FORMAT + 1, "install a newer one"), (FORMAT - 1, "train it again")):

        def change(kept: dict[str, Any], version: int = version) -> None:
            kept["ser"].update(format=version, version="99.0")

        refused(
            changed(trained.checkpoint, tmp_path / "other.ckpt", change),
            f"written by ser 99.0, in format {version}; this version reads {FORMAT} and {FORMAT_BEFORE}: {remedy}",
        )


@pytest.mark.parametrize("key", ["epoch", "ser", "state_dict"])
def test_a_checkpoint_without_what_it_should_hold_is_refused(trained: Run, key: str, tmp_path: Path) -> None:
    refused(changed(trained.checkpoint, tmp_path / "some.ckpt", lambda kept: kept.pop(key)), key)


@pytest.mark.parametrize("key", ["network", "parameters", "labels", "features", "length", "normalizer"])
def test_a_checkpoint_without_what_prediction_needs_is_refused(trained: Run, key: str, tmp_path: Path) -> None:
    path = changed(trained.checkpoint, tmp_path / "some.ckpt", lambda kept: kept["ser"].pop(key))
    refused(path, key)


def test_a_checkpoint_with_other_weights_or_of_an_unknown_network_is_refused(trained: Run, tmp_path: Path) -> None:
    def lose(kept: dict[str, Any]) -> None:
        kept["state_dict"].popitem()

    refused(changed(trained.checkpoint, tmp_path / "lost.ckpt", lose), "Missing key")
    refused(
        changed(trained.checkpoint, tmp_path / "other.ckpt", lambda kept: kept["ser"].update(network="Other")), "Other"
    )


def with_labels(labels: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda kept: kept["ser"].update(labels=labels)


def with_features(**values: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda kept: kept["ser"]["features"].update(values)


def with_sizes(**values: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda kept: kept["ser"]["parameters"].update(values)


def with_calibration(**values: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda kept: kept["ser"]["calibration"].update(values)


def spoil(part: Callable[[dict[str, Any]], Tensor], value: float) -> Callable[[dict[str, Any]], Any]:
    return lambda kept: part(kept).view(-1)[:1].fill_(value)


def claim_classes(kept: dict[str, Any]) -> None:
    """A last layer of views, of a size that no memory has, and the labels that go with it."""
    weights = kept["state_dict"]
    last = list(weights)[-2:]
    for name in last:
        weights[name] = weights[name].view(-1)[:1].view([1] * weights[name].ndim).expand(900, *weights[name].shape[1:])
    kept["ser"]["labels"] = [str(number) for number in range(900)]
    kept["ser"]["parameters"]["num_classes"] = 900
    kept["state_dict"]["layers.0.weight"] = torch.zeros(1).expand(10**9)


def std_of(kept: dict[str, Any]) -> Tensor:
    std: Tensor = kept["ser"]["normalizer"]["std"]
    return std


HOSTILE = {
    "equal labels": (with_labels(["anger"] * 3), "its labels name anger more than once"),
    "numbers for labels": (with_labels([1, 2, 3]), "its labels are [1, 2, 3], and must be a list of words"),
    "a word for labels": (with_labels("abc"), "its labels are abc"),
    "blank labels": (with_labels(["a", " ", "c"]), "must be a list of words"),
    "more labels": (with_labels(["a", "b", "c", "d"]), "it has 4 labels and num_classes=3"),
    "many labels": (with_labels([str(i) for i in range(5000)]), "at most 1,000"),
    "seen by number": (lambda kept: kept["ser"].update(seen=[1]), "no list of names"),
    "a temperature below 0": (
        with_calibration(temperature=-1.0),
        "its temperature is -1.0, and must be a number above 0",
    ),
    "no temperature": (with_calibration(temperature=float("nan")), "its temperature is nan"),
    "a word for a temperature": (with_calibration(temperature="1"), "its temperature is '1'"),
    "confidences over 1": (
        with_calibration(confidence=torch.tensor([2.0]), right=torch.tensor([True])),
        "between 0 and 1",
    ),
    "a confidence alone": (with_calibration(right=None), "two rows of numbers"),
    "NaN in weights": (
        spoil(lambda kept: kept["state_dict"]["layers.0.weight"], float("nan")),
        "holds NaN or infinity",
    ),
    "infinity in the mean": (
        spoil(lambda kept: kept["ser"]["normalizer"]["mean"], float("inf")),
        "mean of its",
    ),
    "NaN in the deviation": (spoil(std_of, float("nan")), "std of its normaliser holds NaN"),
    "a deviation of 0": (spoil(std_of, 0.0), "the deviations of its normaliser must be above 0"),
    "a number for a tensor": (lambda kept: kept["state_dict"].update({"layers.0.weight": 1}), "is no tensor"),
    "classes without end": (with_sizes(num_classes=10**9), "it has 3 labels and num_classes=1000000000"),
    "views without end": (claim_classes, "claim to be larger than the file"),
    "another network": (with_sizes(input_shape=(1, 4 * 10**8)), "its network reads (1, 400000000)"),
    "a long clip": (
        lambda kept: kept["ser"].update(length=4 * 10**8),
        "clips of 400,000,000 samples take",
    ),
    "a clip of a word": (lambda kept: kept["ser"].update(length="9"), "'9' samples"),
    "a long frame": (with_features(frame_length=10**9), "ask for too much"),
    "a long window": (with_features(n_fft=10**9), "ask for too much"),
    "many filters": (with_features(n_mels=10**9), "ask for too much"),
    "a small hop": (with_features(hop_length=1), "its network reads"),
    "a high rate": (with_features(sample_rate=10**9), "its sample_rate=1000000000 must lie between"),
    "a rate of words": (with_features(sample_rate="16000"), "its sample_rate='16000'"),
    "a format of tensors": (lambda kept: kept["ser"].update(format=torch.ones(2)), "in format tensor"),
    "an epoch of words": (lambda kept: kept.update(epoch="1"), "its epoch is no whole number"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_does_not_go_together_in_a_checkpoint_is_refused_before_anything_is_built(
    recognizer: Recognizer, trained: Run, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(*args: object) -> None:
        raise AssertionError("built")

    monkeypatch.setattr(ser.recognizer, "Frontend", build)
    change, told = HOSTILE[name]
    path = changed(trained.checkpoint, tmp_path / "hostile.ckpt", change)
    refused(path, told)


def test_a_layer_of_any_width_is_compared_with_its_weights_before_it_is_built(tmp_path: Path) -> None:
    network = SeResNet((1, 64, 20), 3)
    own = {
        "format": FORMAT, "network": "SeResNet", "parameters": dict(network.hparams),
        "labels": ["a", "b", "c"], "length": 160 * 19, "seen": [],
        "features": {"names": ["mel"], "n_mels": 64, "hop_length": 160, "n_fft": 512},
        "normalizer": Normalizer("standard", 64).state_dict(),
    }  # fmt: skip
    torch.save({"epoch": 1, "state_dict": network.state_dict(), "ser": own}, tmp_path / "good.ckpt")
    assert Recognizer.load(tmp_path / "good.ckpt").labels == ["a", "b", "c"]
    for sizes in ({"width": 10**7}, {"channels": [24, 32, 48, 64, 10**7]}, {"recurrent": 10**7}):
        refused(changed(tmp_path / "good.ckpt", tmp_path / "wide.ckpt", with_sizes(**sizes)), "and must be (")


def test_packed_files_and_what_is_no_file_are_refused_as_checkpoints(trained: Run, tmp_path: Path) -> None:
    with ZipFile(trained.checkpoint) as whole, ZipFile(tmp_path / "packed.ckpt", "w", ZIP_DEFLATED) as packed:
        for part in whole.namelist():
            packed.writestr(part, whole.read(part))
    refused(tmp_path / "packed.ckpt", "it is packed")
    os.mkfifo(tmp_path / "pipe.ckpt")
    refused(tmp_path / "pipe.ckpt", "it is no file")


def test_a_checkpoint_without_calibration_answers_at_temperature_1(trained: Run, tmp_path: Path) -> None:
    path = changed(trained.checkpoint, tmp_path / "old.ckpt", lambda kept: kept["ser"].pop("calibration"))
    old = Recognizer.load(path)
    assert old.calibration.temperature == 1
    with pytest.raises(UserError, match="not calibrated"):
        old.calibration.threshold(0.5)


def test_the_folder_of_a_run_stands_for_the_checkpoint_that_it_tested(trained: Run, tmp_path: Path) -> None:
    assert find_checkpoint(trained.folder) == trained.checkpoint
    assert find_checkpoint(trained.checkpoint) == trained.checkpoint
    unfinished = trained.checkpoint.with_name(f"{UNFINISHED}last.ckpt")
    unfinished.write_bytes(b"half")
    assert find_checkpoint(trained.folder) == trained.checkpoint
    unfinished.unlink()
    (sound, *_) = trained.files()
    assert Recognizer.load(str(trained.folder))(sound) == Recognizer.load(trained.checkpoint)(sound)

    refused(trained.folder / "checkpoints", "give a run's folder, such as outputs/DATE/TIME")
    (tmp_path / "checkpoints").mkdir()
    last = Path(shutil.copy(trained.checkpoint.with_name("last.ckpt"), tmp_path / "checkpoints"))
    refused(tmp_path, f"has not come to its test: let it end, or give {last}")
    best, other = (shutil.copy(trained.checkpoint, last.with_name(f"{name}.ckpt")) for name in ("best", "other"))
    refused(tmp_path, f"has several tested checkpoints: give one of {best}, {other}")
    for _ in range(2):
        Checkpoint.read(Path(other)).with_calibration(None).write(Path(other))
        assert find_checkpoint(tmp_path) == Path(best)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_checkpoint_that_was_cut_off_is_refused(trained: Run, share: float, tmp_path: Path) -> None:
    whole = trained.checkpoint.read_bytes()
    path = tmp_path / "cut.ckpt"
    path.write_bytes(whole[: int(share * len(whole))])
    refused(path, "is not a checkpoint of a run, or broken")


def test_what_is_no_checkpoint_is_refused(trained: Run, tmp_path: Path) -> None:
    (tmp_path / "text.ckpt").write_text("no checkpoint")
    torch.save([1, 2, 3], tmp_path / "list.ckpt")
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    for path in (
        tmp_path / "gone.ckpt",
        tmp_path / "text.ckpt",
        tmp_path / "list.ckpt",
        tmp_path / "other.ckpt",
        trained.folder / "predictions.csv",
    ):
        refused(path, "is not a checkpoint of a run")


def test_integers_are_heard_at_the_scale_of_their_type(recognizer: Recognizer) -> None:
    sound = np.random.default_rng(0).integers(-9000, 9000, 16_000, dtype=np.int16)
    expected = recognizer(sound / np.float32(32768), 16_000)
    assert recognizer(sound, 16_000) == expected
    assert recognizer(torch.from_numpy(sound), 16_000) == expected


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("ser", "format", "1"),
        ("ser", "length", "x"),
        ("ser", "length", -1),
        ("ser", "length", 10**30),
        ("ser", "length", True),
        ("ser", "labels", [{}, "happy", "sad"]),
        ("ser", "calibration", {"temperature": []}),
        ("ser", "calibration", {"temperature": 10**400}),
    ],
)
def test_a_checkpoint_with_values_that_give_no_answer_is_refused(
    trained: Run, tmp_path: Path, part: str, key: str, value: Any
) -> None:
    def change(kept: dict[str, Any]) -> None:
        kept[part][key] = value

    refused(changed(trained.checkpoint, tmp_path / "odd.ckpt", change))

"""Voices from training to use: data module, recognizer, enrolment, adaptation, and the commands over them."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import ser.inference.transfer
import ser.results
from ser.checkpoint import Checkpoint
from ser.commands import adapt as adapt_script
from ser.commands import compare as compare_script
from ser.commands import enrolment as enrolment_script
from ser.commands import evaluate as evaluate_script
from ser.commands import leaderboard as leaderboard_script
from ser.commands import predict as predict_script
from ser.commands import transfer as transfer_script
from ser.config import check_choices
from ser.data.audio import AudioError, Recording, read_audio
from ser.data.corpora import Clip, read_corpora
from ser.data.splits import Split, split_clips
from ser.datamodule import DataError, EmotionDataModule
from ser.errors import UserError
from ser.features import FeatureConfig, Moments, Voice, VoiceError
from ser.inference.adapt import LEAST_CLIPS, adapt, adapted_checkpoint, distance_of
from ser.inference.enrolment import Enrolment, ExtractedClips, Knowledge, adapted_answers, halves
from ser.inference.joining import ensemble
from ser.inference.recordings import speakers_of
from ser.inference.scoring import Trial
from ser.inference.timeline import Listener
from ser.models.ensemble import join_checkpoints
from ser.recognizer import Recognizer
from ser.results import find_runs
from ser.train import logits_of, run
from tests.helpers import SPLIT, Trained, composed, manifest, struck_down

PITCHES = {"anger": 900, "neutral": 500, "sad": 200}

WORDS = (
    "dataset=manifest",
    *SPLIT,
    "features=logmel",
    "features.normalize=speaker",
    "features.n_mels=16",
    "features.n_fft=512",
    "model=seresnet",
    "model.channels=[4,4,4,8,8]",
    "model.width=16",
    "model.recurrent=4",
    "augment=spec",
    "augment.spec.crop_frames=16",
    "datamodule.batch_size=16",
    "datamodule.voice_dropout=0.3",
    "trainer.max_epochs=4",
    "trainer.accelerator=cpu",
    "trainer.enable_progress_bar=false",
    "trainer.precision=32-true",
    "figure_every_n_epochs=0",
    "logger=csv",
)


# Timelines are answered by one thread, which stays so, and last digits of trainings depend on their number.
torch.set_num_threads(1)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The list of 72 short noisy tones of 12 people in three emotions; some people are much louder than others."""
    root = tmp_path_factory.mktemp("people")
    rng = np.random.default_rng(0)
    rows = []
    for person in range(12):
        (root / f"p{person:02}").mkdir()
        gain = 10 ** rng.uniform(-1.5, -0.3)
        for emotion, pitch in PITCHES.items():
            for take in range(2):
                time = np.arange(int(rng.uniform(0.3, 0.6) * 16_000)) / 16_000
                tone = np.sin(2 * np.pi * pitch * rng.uniform(0.8, 1.3) * time) + 0.2 * rng.standard_normal(len(time))
                name = f"p{person:02}/{emotion}_{take}.wav"
                soundfile.write(root / name, 0.5 * gain * tone, 16_000)
                rows.append((name, emotion, f"p{person:02}"))
    return manifest(root / "clips.csv", rows)


@pytest.fixture(scope="module")
def trained(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("runs") / "voices"
    cfg = composed(*WORDS, f"dataset.root={people}")
    with ser.results.console.capture() as screen:
        results = run(cfg, folder)
    (folder / "screen.txt").write_text(screen.get())
    return Trained(folder, results, split_clips(read_corpora(cfg["dataset"]), **cfg["split"]))


@pytest.fixture(scope="module")
def recognizer(trained: Trained) -> Recognizer:
    return Recognizer.load(trained.folder)


@pytest.fixture(scope="module")
def sounds(trained: Trained) -> list[Path]:
    """The test clips of one person."""
    first = trained.split.test[0].speaker
    return [clip.path for clip in trained.split.test if clip.speaker == first]


def recordings_of(recognizer: Recognizer, clips: list[Clip]) -> list[Recording]:
    return [read_audio(clip.path, recognizer.sample_rate) for clip in clips]


def trial(recognizer: Recognizer, clips: list[Clip]) -> Trial:
    recordings = {clip.name: one for clip, one in zip(clips, recordings_of(recognizer, clips), strict=True)}
    return Trial(clips, recognizer.labels, Split([], [], clips), {recognizer.sample_rate: recordings}, {}, {})


@pytest.fixture(scope="module")
def heard(recognizer: Recognizer, trained: Trained) -> ExtractedClips:
    return ExtractedClips.of(recognizer, trial(recognizer, trained.split.test))


def module(people: Path, **options: Any) -> EmotionDataModule:
    cfg = composed(*WORDS, f"dataset.root={people}")
    data = EmotionDataModule(
        split_clips(read_corpora(cfg["dataset"]), **cfg["split"]), FeatureConfig(**cfg["features"]), **options
    )
    data.setup()
    return data


def test_each_voice_has_mean_0_and_deviation_1_on_its_side(people: Path) -> None:
    data = module(people)
    assert data.prior is not None
    assert data.prior.speakers == len(data.voices["train"])
    clips = torch.arange(len(data.clips))
    features, real = data._extract(clips)
    scaled = data.make_batch(clips).inputs[:, 0]
    for side in ("train", "val", "test"):
        for name, voice in data.voices[side].items():
            own = [i for i in data._positions[side] if f"manifest/{data.clips[i].speaker}" == name]
            expected = Voice.of(Moments.of(features[own], real[own]))
            assert torch.equal(voice.mean, expected.mean), "no other voice's clips are in it"
            mean, deviation = data.prior.statistics(expected)
            clip, frames = own[0], int(real[own[0]])
            wanted = (features[clip, :, :frames].double() - mean[:, None]) / deviation[:, None]
            torch.testing.assert_close(scaled[clip, :, :frames].double(), wanted, rtol=1e-4, atol=1e-4)


def test_no_label_of_a_voice_is_read_in_validation_and_test(people: Path) -> None:
    plain, data = module(people), module(people)
    held_out = [*data._positions["val"], *data._positions["test"]]
    for side in ("val", "test"):
        shown = [clip.emotion for clip in getattr(data.split, side)]
        changed = [
            replace(clip, emotion=other) for clip, other in zip(getattr(data.split, side), shown[::-1], strict=True)
        ]
        data.split = replace(data.split, **{side: changed})
    data.clips = []
    data._positions = {}
    data.setup()
    assert [clip.emotion for clip in data.clips] != [clip.emotion for clip in plain.clips]
    places = torch.tensor(held_out)
    assert torch.equal(plain.make_batch(places).inputs, data.make_batch(places).inputs)


@pytest.mark.parametrize("voice", ["speaker", "session", "corpus"])
def test_what_counts_as_a_voice_can_be_chosen(people: Path, voice: str) -> None:
    data = module(people, voice=voice)
    several = voice == "speaker"
    assert (len(data.voices["train"]) > 1) == several, "nobody tells sessions here, so the corpus is one voice"


def test_voice_dropout_is_drawn_in_training_alone(people: Path) -> None:
    data = module(people, voice_dropout=1.0)
    clips = torch.tensor(data._positions["train"])
    none = data.changed(enrolment="none").make_batch(clips).inputs
    assert torch.equal(data.make_batch(clips, training=True).inputs, none)
    assert not torch.equal(data.make_batch(clips).inputs, none)


def test_options_of_voices_that_can_not_work_are_refused() -> None:
    for words, message in (
        (("dataset.voice=person",), "dataset.voice='person' must be one of speaker, session, corpus"),
        (("datamodule.enrolment=some",), "datamodule.enrolment='some' must be one of all, none"),
        (("datamodule.voice_dropout=2",), "datamodule.voice_dropout=2 must lie between 0 and 1"),
        (("features.normalize=standard",), "datamodule.voice_dropout=0.3 needs features.normalize=speaker"),
    ):
        with pytest.raises(DataError, match=message):
            check_choices(composed(*WORDS, *words))


def test_a_run_tells_its_enrolment_and_what_none_gives(trained: Trained) -> None:
    told = trained.results["enrolment"]
    assert (told["scored"], told["voice"]) == ("all", "speaker")
    assert 0 <= told["beside"]["none"]["test"]["uar"] <= 1
    screen = (trained.folder / "screen.txt").read_text()
    assert "Features are normalised by voice (speaker)" in screen
    assert "Enrolment: all" in screen
    assert "With none: UAR" in screen
    for page in ("page.html", "model_card.md"):
        assert "nrolment" in (trained.folder / page).read_text(), page


def test_a_checkpoint_answers_as_its_run_did(trained: Trained, recognizer: Recognizer, heard: ExtractedClips) -> None:
    found = heard.answers(Enrolment(None))
    known = {row.split(",")[0]: row for row in (trained.folder / "predictions.csv").read_text().splitlines()[1:]}
    for name, row in zip(found.clips, found.probabilities, strict=True):
        wanted = [float(cell) for cell in known[name].split(",")[-3:]]
        assert row.tolist() == pytest.approx(wanted, abs=1e-4)
    cfg = composed(*WORDS, f"dataset.root={Path(trained.split.test[0].path).parents[1] / 'clips.csv'}")
    with ser.results.console.capture():
        data, _ = ser.train.load_data(check_choices(cfg), torch.device("cpu"))
    logits, _ = logits_of(recognizer.network, data.changed(enrolment="none"), "test")
    none = heard.answers(Enrolment(0)).probabilities
    expected = recognizer.calibration.apply(logits).double().softmax(1).numpy()
    np.testing.assert_allclose(none, expected, atol=1e-5)


def test_an_enrolled_voice_changes_answers_and_can_be_kept(
    recognizer: Recognizer, sounds: list[Path], tmp_path: Path
) -> None:
    voice = recognizer.enrol(sounds)
    assert voice.clips == len(sounds)
    plain, known = recognizer(sounds[0]), recognizer(sounds[0], voice=voice)
    assert plain != known
    voice.save(tmp_path / "voice.json")
    assert recognizer(sounds[0], voice=Voice.load(tmp_path / "voice.json")) == known
    samples = [soundfile.read(path, dtype="float32")[0] for path in sounds]
    assert recognizer.enrol(samples, sample_rate=16_000).mean.tolist() == pytest.approx(voice.mean.tolist())
    assert next(recognizer.answer(sounds[:1], voices=voice)).probabilities == pytest.approx(known, abs=1e-6)
    mixed = list(recognizer.answer(sounds[:2], voices=[None, voice]))
    assert mixed[0].probabilities == pytest.approx(plain, abs=1e-6)
    neutral = recognizer.enrol(sounds, neutral=True)
    assert neutral.emotions == {"neutral": 1.0}
    assert recognizer(sounds[0], voice=neutral) != known
    assert sum(recognizer.enrol(sounds, guess=True).emotions.values()) == pytest.approx(1)


def test_a_long_recording_enrols_with_all_of_its_sound(recognizer: Recognizer, sounds: list[Path]) -> None:
    rng = np.random.default_rng(3)
    long = (0.1 * rng.standard_normal(10 * 16_000)).astype(np.float32)
    frames = recognizer.enrol([long], sample_rate=16_000).frames
    assert frames > 0.9 * 10 * 16_000 / 256


def test_what_says_nothing_of_a_voice_is_declined_by_name(
    recognizer: Recognizer, sounds: list[Path], tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "silent.wav", np.zeros(16_000), 16_000)
    soundfile.write(tmp_path / "short.wav", np.full(800, 0.1), 16_000)
    with pytest.raises(VoiceError, match=r"silent\.wav: is silent"):
        recognizer.enrol([*sounds, tmp_path / "silent.wav"])
    with pytest.raises(AudioError, match=r"short\.wav: lasts 0\.050 s"):
        recognizer.enrol([tmp_path / "short.wav"])
    left_out: list[str] = []
    voice = recognizer.enrol([*sounds, tmp_path / "silent.wav", tmp_path / "short.wav"], left_out=left_out)
    assert voice.clips == len(sounds)
    assert len(left_out) == 2
    with pytest.raises(VoiceError, match="none of 1 recordings"):
        recognizer.enrol([tmp_path / "silent.wav"], left_out=[])
    for wrong, message in (([], "no recording to enrol"), (str(sounds[0]), "is one recording: give a list")):
        with pytest.raises(UserError, match=message):
            recognizer.enrol(wrong)


def test_voices_of_other_features_and_networks_without_voices_are_refused(
    recognizer: Recognizer, sounds: list[Path]
) -> None:
    voice = recognizer.enrol(sounds)
    other = replace(voice, features={**voice.features, "n_mels": 17})
    with pytest.raises(VoiceError, match="enrolled with other features"):
        recognizer(sounds[0], voice=other)
    plain = Recognizer(recognizer.network, recognizer.frontend, recognizer.labels, recognizer.sample_rate)
    for call in (lambda: plain.enrol(sounds), lambda: plain(sounds[0], voice=voice)):
        with pytest.raises(UserError, match=r"not trained with features\.normalize=speaker"):
            call()


def test_enrolment_scores_other_clips_and_reads_no_label(heard: ExtractedClips) -> None:
    drawn, scored = heard.draw(Enrolment(2), seed=1)
    people = {clip.speaker for clip in heard.trial.clips}
    assert (~scored).sum() == 2 * len(people)
    for person in people:
        own = [i for i, clip in enumerate(heard.trial.clips) if clip.speaker == person]
        enrolled = [i for i in own if not scored[i]]
        assert all(sorted(drawn[i]) == enrolled for i in own)
    swapped = replace(heard, trial=replace(heard.trial, clips=[replace(c, emotion="sad") for c in heard.trial.clips]))
    for enrolment in (Enrolment(2), Enrolment(None), Enrolment(0)):
        one, other = heard.answers(enrolment, seed=1), swapped.answers(enrolment, seed=1)
        np.testing.assert_array_equal(one.probabilities, other.probabilities)
    neutral = heard.draw(Enrolment(1, neutral=True), seed=0)[1]
    assert {heard.trial.clips[i].emotion for i in np.flatnonzero(~neutral)} == {"neutral"}
    with pytest.raises(UserError, match="no voice has more than 50 any clips"):
        heard.answers(Enrolment(50))


def test_adapting_reads_no_label_and_leaves_the_network_that_is_given(
    recognizer: Recognizer, trained: Trained, tmp_path: Path
) -> None:
    clips = trained.split.train
    recordings = [Recording(0.3 * soundfile.read(clip.path, dtype="float32")[0]) for clip in clips]
    before = {name: value.clone() for name, value in recognizer.network.state_dict().items()}
    plain = recognizer.probabilities(recordings)
    adapted, about = adapt(recognizer, recordings, balanced=True)
    assert all(torch.equal(value, before[name]) for name, value in recognizer.network.state_dict().items())
    assert torch.equal(recognizer.probabilities(recordings), plain)
    assert about.clips == len(clips)
    assert 0 < about.batch_norm < 1
    _, mean, _ = Moments.join([adapted.measure(recording)[0] for recording in recordings]).pooled()
    found = adapted.frontend.normalizer.mean.flatten()
    old = recognizer.frontend.normalizer.mean.flatten()
    wanted = about.normalizer * mean + (1 - about.normalizer) * old
    torch.testing.assert_close(found, wanted.float(), rtol=1e-3, atol=0.05)
    shares = adapted.probabilities(recordings).mean(0)
    assert (shares - 1 / 3).abs().max() < (plain.mean(0) - 1 / 3).abs().max()
    held = adapted_checkpoint(Checkpoint.read(trained.folder / "checkpoints/last.ckpt"), adapted, about, "noise")
    held.write(tmp_path / "adapted.ckpt")
    back = Recognizer.load(tmp_path / "adapted.ckpt")
    torch.testing.assert_close(back.probabilities(recordings), adapted.probabilities(recordings), rtol=0, atol=1e-6)
    with pytest.raises(UserError, match="was adapted to other recordings"):
        join_checkpoints([tmp_path / "adapted.ckpt"])
    with pytest.raises(UserError, match=f"{LEAST_CLIPS - 1} recordings are too few"):
        adapt(recognizer, recordings[: LEAST_CLIPS - 1])


def test_each_half_of_the_speakers_is_scored_after_adapting_on_the_other(
    recognizer: Recognizer, trained: Trained
) -> None:
    clips = trained.split.train
    first = halves(clips)
    people = [{clip.speaker for clip, inside in zip(clips, first, strict=True) if inside == side} for side in (0, 1)]
    assert not people[0] & people[1]
    known = Knowledge(adapt=True, anyway=True)
    answers, told = adapted_answers(recognizer, trial(recognizer, clips), known)
    assert sorted(answers.clips) == sorted(clip.name for clip in clips)
    assert [part.clips for part in told] == [int((~first).sum()), int(first.sum())]
    swapped = [replace(clip, emotion="sad") for clip in clips]
    other, _ = adapted_answers(recognizer, trial(recognizer, swapped), known)
    np.testing.assert_array_equal(answers.probabilities, other.probabilities)
    with pytest.raises(UserError, match="two or more speakers, all of them known"):
        halves([replace(clip, speaker=None) for clip in clips])


def test_a_timeline_takes_its_recording_for_a_voice(recognizer: Recognizer, sounds: list[Path]) -> None:
    samples = np.concatenate([soundfile.read(path, dtype="float32")[0] for path in sounds])
    first = Listener(recognizer, "a", window=0.3, hop=0.1, answering=False)
    first.push(samples)
    first.finish()
    voice = first.voice()
    assert voice is not None
    known = Listener(recognizer, "a", window=0.3, hop=0.1, voice=voice)
    running = Listener(recognizer, "a", window=0.3, hop=0.1)
    unknown = Listener(recognizer, "a", window=0.3, hop=0.1, voice=None)
    found = []
    for listener in (known, running, unknown):
        listener.push(samples)
        found.append(listener.finish().probabilities)
    last = running.voice()
    assert last is not None
    torch.testing.assert_close(last.mean, voice.mean)
    assert not np.allclose(found[0], found[2], equal_nan=True)
    assert not np.allclose(found[1], found[2], equal_nan=True)
    silent = Listener(recognizer, "a", window=0.3, hop=0.1, answering=False)
    silent.push(np.zeros(8_000, np.float32))
    silent.finish()
    assert silent.voice() is None


def test_speakers_are_told_by_folder_or_by_a_table(tmp_path: Path) -> None:
    paths = [tmp_path / "a/1.wav", tmp_path / "a/2.wav", tmp_path / "b/1.wav"]
    assert speakers_of(paths, "all") == ["all"] * 3
    assert len(set(speakers_of(paths, "folder"))) == 2
    (tmp_path / "who.csv").write_text("path,speaker\na/1.wav,Ann\nb/1.wav,Bo\n")
    assert speakers_of(paths, str(tmp_path / "who.csv")) == ["Ann", None, "Bo"]
    (tmp_path / "bad.csv").write_text("file,who\n")
    for said, message in (("nobody", "must be folder, all, or a CSV"), (str(tmp_path / "bad.csv"), "columns path and")):
        with pytest.raises(UserError, match=message):
            speakers_of(paths, said)


def command(monkeypatch: pytest.MonkeyPatch, script: Any, *words: object) -> int | str | None:
    monkeypatch.setattr(sys, "argv", [script.__name__, *map(str, words)])
    try:
        script.main()
    except SystemExit as end:
        return end.code
    return 0


def test_the_commands_say_what_was_known(
    trained: Trained, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not command(monkeypatch, enrolment_script, trained.folder, "--draws", 1, "--out", tmp_path / "curve")
    curve = json.loads((tmp_path / "curve/enrolment.json").read_text())["curve"]
    assert [(point["enrolment"], point["kind"]) for point in curve][:3] == [("none", "any"), ("1", "any"), ("3", "any")]
    assert (tmp_path / "curve/enrolment.png").is_file()
    words = ["dataset=manifest", f"dataset.root={people}"]
    for options, told in (
        (["--enrol", "all"], "Enrolment: all"),
        (["--enrol", "1", "--enrol-neutral"], "Enrolment: 1 other neutral clips of each test voice"),
        (["--adapt", "--anyway", "--balanced"], "Adapted without labels on the other half of the speakers"),
        (["--adapt", "--anyway", "--transductive"], "Adapted without labels on the scored clips"),
    ):
        out = ["--out", tmp_path / "scored"]
        assert not command(monkeypatch, evaluate_script, trained.folder, *words, *options, *out), options
        assert told in " ".join(capsys.readouterr().out.split()), options
    for options, told in (
        (["--enrol", "few"], "none, all, or a number of clips"),
        (["--balanced"], "give --adapt"),
        (["--adapt"], "sound like those of the training"),
        (["--enrol-neutral"], "needs a number of clips"),
    ):
        assert told in str(command(monkeypatch, evaluate_script, trained.folder, *words, *options))


def test_predict_knows_voices_and_adapted_models(
    trained: Trained, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = people.parent
    adapted = tmp_path / "adapted"
    to = ["--out", adapted, "--voices", "folder"]
    assert "adapt with --anyway" in str(command(monkeypatch, adapt_script, trained.folder, folder, *to))
    assert not command(monkeypatch, adapt_script, trained.folder, folder, "--anyway", *to)
    assert "Adapted to 72 recordings" in capsys.readouterr().out
    assert "Adapted without labels" in (adapted / "model_card.md").read_text()
    own = command(monkeypatch, adapt_script, trained.folder, folder, "--out", trained.folder)
    assert "is the run's own folder" in str(own)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/metrics.json").write_text("{}")
    assert "holds another run" in str(
        command(monkeypatch, adapt_script, trained.folder, folder, "--out", tmp_path / "other")
    )
    words = ["dataset=manifest", f"dataset.root={people}", "--out", tmp_path / "scored"]
    assert not command(monkeypatch, evaluate_script, adapted, *words)
    assert "Adapted without labels on 72 recordings of the user's own" in " ".join(capsys.readouterr().out.split())
    for run_folder, options, told in (
        (trained.folder, [], "No voice is known"),
        (trained.folder, ["--voices", "folder"], "1 voices are known"),
        (adapted, ["--voices", "all"], "1 voices are known"),
        (
            trained.folder,
            ["--enrol", folder / "p00", "--enrol-neutral"],
            "One voice is known from 6 neutral recordings",
        ),
        (trained.folder, ["--timeline", "--window", "0.3", "--hop", "0.1"], "segments"),
        (trained.folder, ["--timeline", "--window", "0.3", "--hop", "0.1", "--no-own-voice"], "segments"),
    ):
        assert not command(monkeypatch, predict_script, run_folder, folder / "p01", *options), options
        assert told in " ".join(capsys.readouterr().out.split()), options
    for options in (["--enrol", folder, "--voices", "all"], ["--enrol-neutral"], ["--no-own-voice"]):
        assert command(monkeypatch, predict_script, trained.folder, folder, *options) == 2


def test_models_are_scored_on_other_corpora_once(
    trained: Trained, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [trained.folder, "--to", "manifest", "--words", f"dataset.root={people}", "--out", tmp_path]
    monkeypatch.setattr("ser.inference.adapt.LEAST_DISTANCE", 0.0)  # these clips are those of the training
    assert not command(monkeypatch, transfer_script, *words)
    (kept,) = tmp_path.glob("00_*.json")
    found = json.loads(kept.read_text())
    assert next(iter(found["conditions"])) == "as it is"
    assert "adapted, balanced, all clips of each voice" in found["conditions"]
    assert "10 other clips of each voice" not in found["conditions"], "nobody has more than 6 clips"
    monkeypatch.setattr(ser.inference.transfer, "measure", None)
    capsys.readouterr()
    assert not command(monkeypatch, transfer_script, *words)
    assert "From corpus to corpus" in " ".join(capsys.readouterr().out.split())
    assert (tmp_path / "transfer.md").read_text().count("| manifest |") == len(found["conditions"])


def test_scores_of_another_enrolment_are_told_apart(
    trained: Trained, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["dataset=manifest", f"dataset.root={people}", *SPLIT, "--side", "test", "--out", tmp_path / "none"]
    assert not command(monkeypatch, evaluate_script, trained.folder, *words)
    capsys.readouterr()
    assert not command(monkeypatch, compare_script, trained.folder, tmp_path / "none")
    assert "A was scored with enrolment all, and B with none" in " ".join(capsys.readouterr().out.split())
    assert not command(monkeypatch, leaderboard_script, trained.folder, "--out", tmp_path)
    assert "knows all clips of each test voice" in (tmp_path / "leaderboard.md").read_text()


def test_an_ensemble_and_pooled_folds_keep_the_enrolment(trained: Trained, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(trained.folder, other)
    metrics = json.loads((other / "metrics.json").read_text())
    (other / "metrics.json").write_text(json.dumps({**metrics, "seed": 2}))
    runs = find_runs([trained.folder, other])
    with ser.results.console.capture():
        joined = ensemble(runs, tmp_path / "joined", [])
    told = joined.enrolment
    assert told["scored"] == "all"
    assert joined.test["uar"] == pytest.approx(trained.results["test"]["uar"], abs=1e-6)
    beside = trained.results["enrolment"]["beside"]["none"]["test"]["uar"]
    assert told["beside"]["none"]["test"]["uar"] == pytest.approx(beside, abs=1e-6)


def test_a_run_that_was_stopped_ends_with_the_same_voices_and_answers(
    trained: Trained, people: Path, tmp_path: Path
) -> None:
    cfg = composed(*WORDS, f"dataset.root={people}")
    with ser.results.console.capture():
        with struck_down(epoch=2):
            run(cfg, tmp_path / "run")
        resumed = run(cfg, tmp_path / "run")
    assert resumed["test"] == trained.results["test"]
    assert resumed["enrolment"] == trained.results["enrolment"]
    whole, again = (Checkpoint.read(folder / "checkpoints/last.ckpt") for folder in (trained.folder, tmp_path / "run"))
    torch.testing.assert_close(whole.weights, again.weights, rtol=0, atol=0)
    voices = [found.voices for found in (whole, again)]
    assert [told["frames"] for told in voices] == [voices[0]["frames"]] * 2
    assert torch.equal(voices[0]["shift"], voices[1]["shift"])


@pytest.mark.parametrize("words", [("augment=wave",), ("augment=full",), ("model=cnn1d", "features=energy_zcr")])
def test_voices_go_with_augmentation_and_with_features_of_one_dimension(people: Path, words: tuple[str, ...]) -> None:
    base = [word for word in WORDS if not word.startswith(("augment", *(w.split("=")[0] + "=" for w in words)))]
    base = [word for word in base if "cnn1d" not in str(words) or not word.startswith(("features.n_", "model."))]
    cfg = composed(*base, *words, f"dataset.root={people}", "features.normalize=speaker")
    with ser.results.console.capture():
        data, _ = ser.train.load_data(check_choices(cfg), torch.device("cpu"))
    torch.manual_seed(0)
    batch = data.make_batch(torch.arange(8), training=True)
    assert batch.inputs.isfinite().all()
    assert batch.inputs.abs().mean() < 3


def test_adapting_to_recordings_that_sound_like_the_trainings_is_declined_unless_asked_for(
    recognizer: Recognizer, trained: Trained
) -> None:
    recordings = recordings_of(recognizer, trained.split.train)
    with pytest.raises(UserError, match=r"sound like those of the training.*below 0\.5.*--anyway"):
        adapt(recognizer, recordings)
    _, about = adapt(recognizer, recordings, anyway=True)
    assert about.distance is not None
    assert about.distance < 0.05
    louder = [Recording(2 * recording.samples.astype(np.float32) / 32_768) for recording in recordings]
    features, real = recognizer.extract(louder)
    normalizer = recognizer.frontend.normalizer
    own = torch.cat([clip[:, :frames] for clip, frames in zip(features, real.tolist(), strict=True)], 1).double()
    distance = ((own.mean(1) - normalizer.mean.flatten()).abs() / normalizer.std.flatten()).mean()
    assert distance_of(recognizer, Moments.of(features, real)) == pytest.approx(float(distance), abs=1e-3)

import csv
import re
import wave
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from lightning import Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, f1_score
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2

import ser.training.tensorboard
from ser.augment import Augment
from ser.data.audio import from_samples
from ser.data.bank import WaveformBank
from ser.data.corpora import Clip
from ser.data.splits import Split
from ser.datamodule import EmotionDataModule
from ser.errors import UserError
from ser.evaluation import Answers, answers_about
from ser.features import FeatureConfig
from ser.models import NETWORKS, EmotionNetwork
from ser.results.figures import saliency_figure
from ser.training.callbacks import TestAnswers
from ser.training.tensorboard import TensorBoard

LABELS = ["anger", "happy", "sad | low"]
"""In alphabetical order; a folder can have any name."""

RATE = 16_000

ENERGY = FeatureConfig(names=["energy", "zcr"], hop_length=100, frame_length=256)
MEL = FeatureConfig(names=["mel"], hop_length=80, n_fft=512, n_mels=46)

LIGHT = Augment(16_000, spec={"shift_share": 0.2, "time_masks": 1})


def corpus() -> tuple[Split, WaveformBank]:
    """36 tones of three emotions and four speakers, and their recordings; one training clip is silent."""
    rng = np.random.default_rng(0)
    sides: dict[str, list[Clip]] = {"train": [], "val": [], "test": []}
    recordings = {}
    for i in range(36):
        side, label = ("train", "train", "val", "test")[i // 3 % 4], LABELS[i % 3]
        time = np.arange(round((0.3 + 0.01 * i) * RATE)) / RATE
        sound = 0.3 * np.sin(2 * np.pi * (200 + 150 * (i % 3)) * time) + 0.2 * rng.standard_normal(len(time))
        clip = Clip(f"clip{i:02}", Path(f"clip{i:02}.wav"), label, speaker=f"s{i % 4}")
        sides[side].append(clip)
        recordings[clip.name] = from_samples(sound.astype(np.float32) * (i != 0), RATE, RATE)
    return Split(**sides), WaveformBank.of([recording.samples for recording in recordings.values()], recordings)


def data_of(
    features: FeatureConfig = ENERGY, augment: Augment | None = LIGHT, max_seconds: float | None = None
) -> EmotionDataModule:
    split, recordings = corpus()
    data = EmotionDataModule(split, features, augment, batch_size=6, max_seconds=max_seconds, recordings=recordings)
    with pytest.warns(UserWarning, match="silent"):
        data.setup()
    return data


def cfg_of(every_n_epochs: int) -> dict[str, Any]:
    return {"figure_every_n_epochs": every_n_epochs, "split": {"name": "stratified"}, "dataset": {"name": "tones"}}


class Run:
    """A network, trained and tested with the callback."""

    def __init__(
        self, folder: Path, every_n_epochs: int = 1, epochs: int = 1, data: EmotionDataModule | None = None,
        logger: Logger | None = None, others: tuple[Callback, ...] = (), fit: bool = True,
        **options: Any,
    ) -> None:  # fmt: skip
        self.data = data or data_of()
        torch.manual_seed(0)
        name = "cnn1d" if self.data.frontend.features.dimensions == 1 else "cnn2d"
        self.network = NETWORKS[name](self.data.input_shape, len(LABELS), schedule="onecycle", dropout=0.5)
        self.board = TensorBoard(cfg_of(every_n_epochs), self.data)
        self.answers = TestAnswers()
        self.trainer = Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            logger=logger or TensorBoardLogger(folder, "logs", "", default_hp_metric=False),
            callbacks=[*others, self.answers, self.board],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=1,
            **options,
        )
        if fit:
            self.trainer.fit(self.network, datamodule=self.data)
        self.trainer.test(self.network, datamodule=self.data, verbose=False)
        self.folder = folder / "logs"
        probabilities = self.answers.logits.softmax(1).double().numpy()
        clips = [self.data.clips[i] for i in self.answers.clips.tolist()]
        self.table: Answers = answers_about(clips, self.data.labels, probabilities)

    def shown(self) -> EventAccumulator:
        """What TensorBoard finds, after the answers were shown."""
        self.board.show_answers(self.network, self.table)
        return self.found()

    def found(self) -> EventAccumulator:
        for logger in self.trainer.loggers:
            logger.finalize("success")
        events = EventAccumulator(str(self.folder), size_guidance=dict.fromkeys(("images", "tensors"), 0))
        return events.Reload()


@pytest.fixture(scope="module")
def one_d(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, EventAccumulator]:
    run = Run(tmp_path_factory.mktemp("one"), every_n_epochs=2, epochs=3)
    return run, run.shown()


@pytest.fixture(scope="module")
def two_d(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, EventAccumulator]:
    run = Run(tmp_path_factory.mktemp("two"), data=data_of(MEL, None))
    return run, run.shown()


PICTURES = {
    *("data/label_counts", "data/waveforms", "data/features", "train/first_layer"),
    *("val/confusion_matrix", "test/confusion_matrix"),
}


def test_every_picture_is_there_and_is_one(
    one_d: tuple[Run, EventAccumulator], two_d: tuple[Run, EventAccumulator]
) -> None:
    sometimes = {"test/saliency"}  # a network that answers the same to all has no class with right and wrong answers
    assert set(one_d[1].Tags()["images"]) - sometimes == PICTURES | {"data/features_augmented", "data/effects"}
    assert set(two_d[1].Tags()["images"]) - sometimes == PICTURES, (
        "without augmentation there is one picture of the features"
    )
    for _, found in (one_d, two_d):
        for tag in found.Tags()["images"]:
            for image in found.Images(tag):
                assert image.encoded_image_string.startswith(b"\x89PNG")
                assert image.width > 200


def test_training_is_drawn_every_few_epochs_and_at_the_last_one_and_test_once(
    one_d: tuple[Run, EventAccumulator],
) -> None:
    _, found = one_d
    for tag in ("val/confusion_matrix", "train/first_layer"):
        assert [image.step for image in found.Images(tag)] == [1, 2]
    assert len(found.Images("test/confusion_matrix")) == 1


@pytest.mark.parametrize("options", [{"max_steps": 4}, {"check_val_every_n_epoch": 2}])
def test_the_last_epoch_is_drawn_wherever_training_stops(tmp_path: Path, options: dict[str, Any]) -> None:
    found = Run(tmp_path, 7, 2, **options).found()
    assert [image.step for image in found.Images("train/first_layer")] == [1]
    validated = 1 if "check_val_every_n_epoch" in options else 0
    assert [image.step for image in found.Images("val/confusion_matrix")] == [validated]


def test_every_0_epochs_there_are_scalars_alone(tmp_path: Path) -> None:
    run = Run(tmp_path, 0)
    found = run.shown()
    tags = found.Tags()
    assert not any(tags[kind] for kind in ("images", "graph"))
    assert tags["tensors"] == ["custom_scalars__config__"]
    assert not (run.folder / "projector_config.pbtxt").exists()
    assert {"val/f1/anger", "train/learning_rate", "train/clips_per_second"} <= set(tags["scalars"])


def test_a_logger_that_takes_no_pictures_is_left_alone(tmp_path: Path) -> None:
    run = Run(tmp_path, 1, logger=CSVLogger(tmp_path, "logs", ""))
    run.board.show_answers(run.network, run.table)
    assert (tmp_path / "logs" / "metrics.csv").is_file()
    assert "f1/" not in (tmp_path / "logs" / "metrics.csv").read_text()
    assert not list(tmp_path.rglob("events*"))


def test_a_negative_number_of_epochs_is_refused() -> None:
    with pytest.raises(UserError, match="figure_every_n_epochs=-1 must be 0 or more"):
        TensorBoard(cfg_of(-1), data_of())


class Probe(Callback):
    """Draws from torch's generator after each epoch and after the test, beside what training draws."""

    def __init__(self) -> None:
        self.drawn: list[float] = []

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        self.drawn.append(torch.rand(1).item())

    def on_test_start(self, trainer: Trainer, pl_module: Any) -> None:
        self.drawn.append(torch.rand(1).item())


@pytest.mark.parametrize("features", [ENERGY, MEL], ids=["1d", "2d"])
def test_a_run_is_the_same_with_pictures_and_without(tmp_path: Path, features: FeatureConfig) -> None:
    probes = Probe(), Probe()
    numpy_before = np.random.get_state()[1].tolist()
    with_them, without = (
        Run(tmp_path / str(every), every, 2, data_of(features), others=(probe,))
        for every, probe in zip((1, 0), probes, strict=True)
    )
    assert probes[0].drawn == probes[1].drawn
    torch.testing.assert_close(with_them.answers.logits, without.answers.logits, rtol=0, atol=0)
    weights, others = with_them.network.state_dict(), without.network.state_dict()
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    state = torch.get_rng_state()
    with_them.shown()
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(weights[name], value) for name, value in with_them.network.state_dict().items())
    assert np.random.get_state()[1].tolist() == numpy_before


def counts_of(run: Run, side: str) -> NDArray[np.int64]:
    """By scikit-learn."""
    positions = [i for i, clip in enumerate(run.data.clips) if clip in run.data.side(side)]
    batch = run.data.make_batch(torch.tensor(positions))
    with torch.no_grad():
        predicted = run.network.eval()(batch.inputs).argmax(1)
    return confusion_matrix(batch.targets, predicted, labels=range(3))


def test_the_matrices_drawn_are_those_of_the_whole_side_at_that_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[str, NDArray[np.int64]]] = []

    def note(counts: NDArray[np.int64], labels: list[str], title: str, write_shares: bool) -> Figure:
        assert labels == LABELS
        assert write_shares
        drawn.append((title, counts))
        return Figure()

    monkeypatch.setattr(ser.training.tensorboard, "confusion_figure", note)
    run = Run(tmp_path, 1, 3)
    run.shown()
    assert [title for title, _ in drawn] == ["val, epoch 1", "val, epoch 2", "val, epoch 3", "test"]
    assert [counts.sum() for _, counts in drawn] == [9, 9, 9, 9]
    np.testing.assert_array_equal(drawn[2][1], counts_of(run, "val"))
    np.testing.assert_array_equal(drawn[3][1], counts_of(run, "test"))


def test_f1_of_each_class_is_there_by_epoch(one_d: tuple[Run, EventAccumulator]) -> None:
    run, found = one_d
    for side in ("train", "val"):
        last = []
        for label in LABELS:
            points = found.Scalars(f"{side}/f1/{label}")
            assert [point.step for point in points] == [0, 1, 2]
            last.append(points[-1].value)
        assert np.mean(last) == pytest.approx(found.Scalars(f"{side}/macro_f1")[-1].value, abs=1e-6)
    counts = counts_of(run, "val")
    true, predicted = zip(*[cell for cell, n in np.ndenumerate(counts) for _ in range(n)], strict=True)
    own = f1_score(true, predicted, average=None, labels=range(3), zero_division=0)
    np.testing.assert_allclose([found.Scalars(f"val/f1/{label}")[-1].value for label in LABELS], own, atol=1e-6)


def test_learning_rate_and_speed_are_there_by_epoch(one_d: tuple[Run, EventAccumulator]) -> None:
    _, found = one_d
    rates = [point.value for point in found.Scalars("train/learning_rate")]
    assert len(rates) == 3
    assert rates[0] == pytest.approx(1e-3 / 25), "where OneCycleLR begins"
    assert rates[1] > rates[0]
    speeds = [point.value for point in found.Scalars("train/clips_per_second")]
    assert len(speeds) == 3
    assert all(0 < speed < 1e6 for speed in speeds)


def test_charts_put_training_and_validation_together(one_d: tuple[Run, EventAccumulator]) -> None:
    _, found = one_d
    (event,) = found.Tensors("custom_scalars__config__")
    layout = layout_pb2.Layout.FromString(event.tensor_proto.string_val[0])
    charts = {chart.title: list(chart.multiline.tag) for category in layout.category for chart in category.chart}
    scalars = found.Tags()["scalars"]
    shown = {
        title: {tag for p in patterns for tag in scalars if re.match(p, tag)} for title, patterns in charts.items()
    }
    for name in ("loss", "accuracy", "macro_f1", "weighted_f1", "uar"):
        assert shown[name] == {f"train/{name}", f"val/{name}"}
    assert shown["F1 of each class, val"] == {f"val/f1/{label}" for label in LABELS}
    assert shown["F1 of each class, train"] == {f"train/f1/{label}" for label in LABELS}
    assert shown["learning rate"] == {"train/learning_rate"}


def text(found: EventAccumulator, tag: str) -> str:
    (event,) = found.Tensors(f"{tag}/text_summary")
    return event.tensor_proto.string_val[0].decode()


def test_the_choices_are_told_as_yaml(one_d: tuple[Run, EventAccumulator]) -> None:
    block = re.fullmatch(r"```yaml\n(.*)```", text(one_d[1], "run/config"), re.DOTALL)
    assert block is not None
    assert yaml.safe_load(block[1]) == cfg_of(2)


def test_the_split_is_told_with_its_leakage(one_d: tuple[Run, EventAccumulator]) -> None:
    run, found = one_d
    told = text(found, "data/split")
    assert f"split=stratified ({run.data.split.hash})" in told
    assert "3 of 3 test speakers were seen in training or validation." in told
    assert "| anger | 6 | 3 | 3 |" in told
    assert r"| sad \| low | 6 | 3 | 3 |" in told
    assert "| **all** | **18** | **9** | **9** |" in told
    assert "| speakers | 4 | 3 | 3 |" in told


def test_the_classes_are_ranked_from_most_to_least_confusing(one_d: tuple[Run, EventAccumulator]) -> None:
    run, found = one_d
    lines = text(found, "test/most_confusing").splitlines()[2:]
    counts = counts_of(run, "test")
    f1 = {}
    for line in lines:
        name, score, _, recall, others = (cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1])
        own = LABELS.index(name.replace(r"\|", "|"))
        assert float(recall) == pytest.approx(counts[own, own] / counts[own].sum(), abs=1e-3)
        wrong = int(np.delete(counts[own], own).max())
        assert others.endswith(f"({wrong} of {counts[own].sum()})")
        f1[name] = float(score)
    assert len(f1) == 3
    assert list(f1.values()) == sorted(f1.values())


def sounds(found: EventAccumulator) -> list[str]:
    return [tag for tag, about in found.summary_metadata.items() if about.plugin_data.plugin_name == "audio"]


def played_in(found: EventAccumulator, tag: str) -> NDArray[np.float32]:
    """The sound of a tag, ``(time,)`` with full scale at ±1."""
    (event,) = found.Tensors(tag)
    with wave.open(BytesIO(event.tensor_proto.string_val[0])) as sound:
        assert sound.getframerate() == RATE
        return np.frombuffer(sound.readframes(sound.getnframes()), "<i2").astype(np.float32) / 32767


def test_a_clip_of_each_class_sounds_as_it_is_and_silence_is_passed_over(
    one_d: tuple[Run, EventAccumulator],
) -> None:
    run, found = one_d
    assert run.data.remarks["clip00"] == ("silent",)
    for label, name in zip(LABELS, ("clip03", "clip01", "clip02"), strict=True):
        samples = played_in(found, f"data/{label}")
        position = [clip.name for clip in run.data.clips].index(name)
        bank = run.data.bank
        start, length = bank.starts[position], bank.lengths[position]
        expected = bank.samples[start : start + length].numpy().clip(-1, 1)
        np.testing.assert_allclose(samples, expected, atol=1e-4)
        assert found.summary_metadata[f"data/{label}"].display_name == f"data/{label}: {name}"


def test_the_worst_mistakes_are_heard_with_what_was_said(one_d: tuple[Run, EventAccumulator]) -> None:
    run, found = one_d
    table = run.table
    wrong = [row for row in range(9) if table.predicted[row] != table.true[row]]
    wrong.sort(key=lambda row: -table.probabilities[row].max())
    assert wrong
    tags = [tag for tag in sounds(found) if tag.startswith("test/")]
    assert tags == [f"test/mistake_{place + 1}" for place in range(min(8, len(wrong)))]
    for tag, row in zip(tags, wrong, strict=False):
        true, said = table.labels[table.true[row]], table.labels[table.predicted[row]]
        sure = table.probabilities[row].max()
        caption = f"{tag}: {true} taken for {said}, p {sure:.2f}, {table.clips[row]}"
        assert found.summary_metadata[tag].display_name == caption


def test_a_test_without_a_mistake_has_none_to_hear(tmp_path: Path) -> None:
    run = Run(tmp_path, fit=False)
    run.table = answers_about(run.data.side("test"), LABELS, np.eye(3)[run.table.true])
    found = run.shown()
    assert sounds(found) == []
    assert "test/saliency" not in found.Tags()["images"]


def test_the_graph_is_the_networks(one_d: tuple[Run, EventAccumulator]) -> None:
    run, found = one_d
    names = {node.name for node in found.Graph().node}
    for place, layer in enumerate(run.network.layers):
        if list(layer.parameters()):
            assert any(f"{type(layer).__name__}[{place}]/weight" in name for name in names)


def test_the_projector_has_what_the_last_layer_reads_of_each_test_clip(
    one_d: tuple[Run, EventAccumulator], two_d: tuple[Run, EventAccumulator]
) -> None:
    for run, _ in (one_d, two_d):
        config = (run.folder / "projector_config.pbtxt").read_text()
        paths = dict(re.findall(r'(\w+_path): "(.*)"', config))
        with (run.folder / paths["metadata_path"]).open(newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        vectors = np.loadtxt(run.folder / paths["tensor_path"], delimiter="\t")
        table = run.table
        assert [row["clip"] for row in rows] == table.clips
        assert [row["speaker"] for row in rows] == table.speakers
        assert [row["emotion"] for row in rows] == [table.labels[i] for i in table.true]
        assert [row["predicted"] for row in rows] == [table.labels[i] for i in table.predicted]
        assert [row["answer"] == "right" for row in rows] == (table.predicted == table.true).tolist()
        last = run.network.layers[-1]
        assert isinstance(last, torch.nn.Linear)
        with torch.no_grad():
            logits = last(torch.from_numpy(vectors).float())
        torch.testing.assert_close(logits, run.answers.logits, rtol=0, atol=1e-4)
        assert not last._forward_pre_hooks


def test_a_large_test_is_projected_in_part_evenly_spaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ser.training.tensorboard, "PROJECTED", 3)
    run = Run(tmp_path, fit=False)
    run.shown()
    lines = next(run.folder.rglob("metadata.tsv")).read_text().splitlines()[1:]
    assert [line.split("\t")[-1] for line in lines] == [run.table.clips[i] for i in (0, 4, 8)]


@pytest.fixture
def explained(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    calls: list[dict[str, Any]] = []

    def note(clips: dict[str, Any], seconds_per_frame: float, lines: bool) -> Figure:
        calls.append({"clips": clips, "lines": lines, "seconds_per_frame": seconds_per_frame})
        return saliency_figure(clips, seconds_per_frame, lines)

    monkeypatch.setattr(ser.training.tensorboard, "saliency_figure", note)
    return calls


@pytest.mark.parametrize("features", [ENERGY, MEL], ids=["1d", "2d"])
def test_saliency_is_the_gradient_of_the_answers_logit(
    tmp_path: Path, explained: list[dict[str, Any]], features: FeatureConfig
) -> None:
    run = Run(tmp_path, data=data_of(features), fit=False)
    # Two right and two wrong answers of the first two classes, whatever the network says.
    said = run.table.true.copy()
    for label in (0, 1):
        said[np.flatnonzero(run.table.true == label)[0]] = 2
    run.table = answers_about(run.data.side("test"), LABELS, 0.5 * np.eye(3)[said] + 0.5 / 3)
    native: list[bool] = []
    run.network.register_forward_pre_hook(lambda *_: native.append(not torch.backends.cudnn.enabled))
    assert len(run.shown().Images("test/saliency")) == 1
    assert native[-1:] == [True], "cuDNN takes no gradient of a recurrent layer in use"
    (call,) = explained
    assert call["lines"] == (features is ENERGY)
    assert call["seconds_per_frame"] == features.hop_length / RATE
    assert [", rightly" in title for title in call["clips"]] == [True, False, True, False]
    names = [clip.name for clip in run.data.clips]
    network: EmotionNetwork = run.network.eval()
    for title, (shown, gradient) in call["clips"].items():
        inputs = run.data.make_batch(torch.tensor([names.index(title.rpartition(", ")[2])])).inputs
        np.testing.assert_array_equal(shown.reshape(-1), inputs.flatten())
        answer = network(inputs)[0].argmax()
        jacobian = torch.autograd.functional.jacobian(network, inputs)[0, answer]
        np.testing.assert_allclose(gradient.reshape(-1), jacobian.flatten(), rtol=0, atol=1e-6)
        assert np.abs(gradient).max() > 1e-4
    assert all(parameter.grad is None for parameter in network.parameters())


def test_augmented_clips_sound_as_they_are_drawn(tmp_path: Path) -> None:
    augment = Augment(RATE, wave={"speed": {"chance": 1.0}, "gain": {"chance": 1.0}})
    run = Run(tmp_path, data=data_of(augment=augment))
    found = run.found()
    assert {f"data/{label}_augmented" for label in LABELS} < set(sounds(found))
    for label, name in zip(LABELS, ("clip03", "clip01", "clip02"), strict=True):
        samples = played_in(found, f"data/{label}_augmented")
        position = [clip.name for clip in run.data.clips].index(name)
        assert 0.899 < run.data.bank.lengths[position] / len(samples) < 1.101
        assert found.summary_metadata[f"data/{label}_augmented"].display_name == f"data/{label}_augmented: {name}"


def test_each_effect_of_a_run_is_drawn_and_played_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[dict[str, NDArray[np.float32]]] = []
    monkeypatch.setattr(
        ser.training.tensorboard, "log_mel_figure", lambda pictures, *_: drawn.append(pictures) or Figure()
    )
    wave = {key: {"chance": 0.01} for key in ("speed", "noise", "polarity")}
    spec = {"time_masks": 2, "level_db": 0, "mixup": 0.01}
    run = Run(tmp_path, data=data_of(MEL, Augment(RATE, wave, spec)))
    _, _, effects = drawn
    on = [*(f"augment.wave.{name}" for name in wave), "augment.spec.time_masks", "augment.spec.mixup"]
    assert list(effects) == ["as it is", *on]
    clip = [clip.name for clip in run.data.clips].index("clip03")
    np.testing.assert_array_equal(effects["as it is"], run.data.make_batch(torch.tensor([clip])).inputs[0, 0])
    np.testing.assert_allclose(effects["augment.wave.polarity"], effects["as it is"], atol=1e-4)
    for option in ("augment.wave.noise", "augment.spec.time_masks"):
        assert not np.allclose(effects[option], effects["as it is"], atol=0.1), option
    found = run.found()
    assert {f"data/augment.wave.{name}" for name in wave} < set(sounds(found))
    assert "data/augment.spec.time_masks" not in sounds(found)
    played = torch.from_numpy(played_in(found, "data/augment.wave.speed"))
    length = run.data.frontend.length
    padded = torch.nn.functional.pad(played, (0, length - len(played)))[None]
    features = run.data.frontend(padded, torch.tensor([len(played)]))[0, 0]
    np.testing.assert_allclose(effects["augment.wave.speed"], features, atol=0.2)


def test_effects_are_shown_on_one_piece_of_a_clip_that_is_cropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[dict[str, NDArray[np.float32]]] = []
    monkeypatch.setattr(
        ser.training.tensorboard, "log_mel_figure", lambda pictures, *_: drawn.append(pictures) or Figure()
    )
    Run(tmp_path, data=data_of(MEL, Augment(RATE, wave={"polarity": {"chance": 1.0}}), max_seconds=0.25))
    np.testing.assert_allclose(drawn[2]["augment.wave.polarity"], drawn[2]["as it is"], atol=1e-3)


def test_features_are_drawn_as_the_network_reads_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[dict[str, NDArray[np.float32]], list[str]]] = []

    def note(lines: dict[str, NDArray[np.float32]], names: list[str], *rest: Any) -> Figure:
        drawn.append((lines, names))
        return Figure()

    monkeypatch.setattr(ser.training.tensorboard, "feature_lines_figure", note)
    run = Run(tmp_path)
    (plain, names), (augmented, _), _ = drawn
    assert names == ["energy", "zcr"]
    assert list(plain) == list(augmented) == LABELS
    positions = [[clip.name for clip in run.data.clips].index(name) for name in ("clip03", "clip01", "clip02")]
    inputs = run.data.make_batch(torch.tensor(positions)).inputs
    np.testing.assert_array_equal(np.stack(list(plain.values())).reshape(3, -1), inputs.flatten(1))
    assert any(not np.array_equal(plain[label], augmented[label]) for label in LABELS)

import csv
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor

import ser.datamodule
from ser.augment import Augment
from ser.data.bank import WaveformBank, decode_clips
from ser.data.corpora import SIDES, Clip, read_corpora
from ser.data.labels import LabelError
from ser.data.samplers import EpochSampler
from ser.data.splits import Split, split_clips
from ser.datamodule import DataError, EmotionDataModule
from ser.errors import UserError
from ser.features import FeatureConfig
from ser.models import NETWORKS, Batch
from tests.helpers import DEVICES

EMOTIONS = ("sad", "anger", "happy", "fear")
SIDE_OF = ("train", "test", "train", "val", "train", "train")
"""Of the six clips of each emotion."""

LIGHT = Augment(16_000, spec={"shift_share": 0.3, "frequency_masks": 1, "time_masks": 2})

Corpus = Callable[..., Split]


def energy(**options: Any) -> FeatureConfig:
    return FeatureConfig(**{"names": ["energy", "zcr"], "hop_length": 160, "frame_length": 512, **options})


def mel(**options: Any) -> FeatureConfig:
    return FeatureConfig(**{"names": ["mel"], "hop_length": 256, "n_fft": 512, "n_mels": 40, **options})


@pytest.fixture
def corpus(tmp_path: Path, write_wav: Callable[..., Path]) -> Corpus:
    """``corpus(folder="corpus", change=())`` → 24 clips of 0.3 to 0.8 s, listed in a manifest, divided.

    Clips whose side stands in ``change`` sound otherwise than without it, and last as long.
    """

    def make(folder: str = "corpus", change: tuple[str, ...] = ()) -> Split:
        rows = []
        for i, emotion in enumerate(EMOTIONS):
            for take, side in enumerate(SIDE_OF):
                seconds = 0.3 + 0.5 * ((5 * i + 7 * take) % 11) / 10
                seed = 6 * i + take + (100 if side in change else 0)
                write_wav(f"{folder}/{emotion}_{take}.wav", seconds, seed=seed)
                rows.append({"path": f"{emotion}_{take}.wav", "emotion": emotion, "split": side})
        manifest = tmp_path / folder / "clips.csv"
        with manifest.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, ["path", "emotion", "split"])
            table.writeheader()
            table.writerows(rows)
        return split_clips(read_corpora({"name": "manifest", "root": str(manifest)}), name="official")

    return make


def prepared(split: Split, features: FeatureConfig | None = None, **options: Any) -> EmotionDataModule:
    data = EmotionDataModule(split, features or energy(), **options)
    data.setup()
    return data


def everything(data: EmotionDataModule, training: bool = False) -> Batch:
    return data.make_batch(torch.arange(len(data.clips)), training)


def samples(path: Path) -> Tensor:
    return torch.from_numpy(soundfile.read(path, dtype="float32")[0])


def test_labels_are_sorted_and_targets_point_into_them(corpus: Corpus) -> None:
    data = prepared(corpus())
    assert data.labels == ["anger", "fear", "happy", "sad"]
    batch = everything(data)
    assert [data.labels[target] for target in batch.targets] == [clip.emotion for clip in data.clips]


def test_sides_are_those_of_the_split_training_first(corpus: Corpus) -> None:
    split = corpus()
    data = prepared(split, batch_size=6)
    assert data.clips == [*split.train, *split.val, *split.test]
    for name, clips in (("train", split.train), ("val", split.val), ("test", split.test)):
        assert data.side(name) == clips
    val = [i for batch in data.val_dataloader() for i in batch.tolist()]
    test = [i for batch in data.test_dataloader() for i in batch.tolist()]
    assert [data.clips[i] for i in val] == split.val
    assert [data.clips[i] for i in test] == split.test
    batches = [batch.tolist() for batch in data.train_dataloader()]
    assert [len(batch) for batch in batches] == [6, 6, 4]
    assert sorted(i for batch in batches for i in batch) == list(range(len(split.train)))


def test_a_batch_holds_the_features_of_its_clips_alone(corpus: Corpus) -> None:
    data = prepared(corpus(), energy(normalize="none"))
    longest = max(len(samples(clip.path)) for clip in data.clips)
    assert data.frontend.length == longest
    batch = data.make_batch(torch.tensor([9, 3]))
    assert batch.inputs.shape == (2, *data.input_shape) == (2, 1, 2 * (1 + longest // 160))
    assert batch.clips.tolist() == [9, 3]
    for row, i in enumerate((9, 3)):
        waveform = samples(data.clips[i].path)
        padded = torch.cat([waveform, torch.zeros(longest - len(waveform))])
        expected = data.frontend.features(padded[None]).flatten(1)
        torch.testing.assert_close(batch.inputs[row], expected, rtol=1e-6, atol=1e-7)


def test_an_unreadable_clip_is_left_out_of_its_side_and_listed(corpus: Corpus) -> None:
    split = corpus()
    bad = split.test[1]
    bad.path.write_text("no sound")
    data = prepared(split)
    assert data.side("test") == [clip for clip in split.test if clip != bad]
    assert data.side("train") == split.train
    assert [(clip, bad.path.name in reason) for clip, reason in data.skipped] == [(bad, True)]
    batch = everything(data)
    assert len(batch.inputs) == 23
    assert [data.labels[target] for target in batch.targets] == [clip.emotion for clip in data.clips]


def test_strict_makes_an_unreadable_clip_an_error_that_names_the_file(corpus: Corpus) -> None:
    split = corpus()
    split.train[2].path.write_text("no sound")
    split.val[0].path.unlink()
    data = EmotionDataModule(split, energy(), strict=True)
    with pytest.raises(UserError, match=r"2 clips can't be used, and dataset\.strict=true") as error:
        data.setup()
    assert str(split.train[2].path) in str(error.value)
    assert str(split.val[0].path) in str(error.value)


def test_a_side_with_no_usable_clip_left_is_refused(corpus: Corpus) -> None:
    split = corpus()
    for clip in split.val:
        clip.path.write_text("no sound")
    with pytest.raises(DataError, match="no usable clip is left for val") as error:
        prepared(split)
    assert str(split.val[0].path) in str(error.value)


def test_an_emotion_with_no_usable_training_clip_is_refused(corpus: Corpus) -> None:
    split = corpus()
    for clip in split.train:
        if clip.emotion == "fear":
            clip.path.unlink()
    with pytest.raises(DataError, match="no training clip shows fear"):
        prepared(split)


def test_clips_that_were_refused_are_refused_again(corpus: Corpus) -> None:
    split = corpus()
    for clip in split.train:
        if clip.emotion == "fear":
            clip.path.unlink()
    data = EmotionDataModule(split, energy())
    for _ in range(2):
        with pytest.raises(DataError, match="no training clip shows fear"):
            data.setup()
    assert len(data.skipped) == 4


@pytest.mark.parametrize("normalize", ["standard", "clip", "none"])
def test_a_silent_clip_is_kept_with_a_warning(corpus: Corpus, normalize: str) -> None:
    split = corpus()
    silent = split.train[4]
    soundfile.write(silent.path, np.zeros(6000), 16_000)
    data = EmotionDataModule(split, mel(normalize=normalize))
    with pytest.warns(UserWarning, match="silent clips, which are kept: 1, such as") as caught:
        data.setup()
    assert any(silent.name in str(warning.message) for warning in caught)
    assert data.side("train") == split.train
    assert data.skipped == []
    assert data.remarks == {silent.name: ("silent",)}
    assert everything(data).inputs.isfinite().all()


def test_a_clip_that_breaks_off_is_kept_with_a_warning(corpus: Corpus) -> None:
    split = corpus()
    cut = split.train[4]
    soundfile.write(cut.path, 0.1 * np.random.default_rng(0).standard_normal(9000), 16_000)
    cut.path.write_bytes(cut.path.read_bytes()[:10_000])
    with pytest.warns(UserWarning, match=f"breaks off .*: 1 clips, which are kept, such as {cut.name}"):
        data = prepared(split)
    assert data.side("train") == split.train
    assert data.remarks == {cut.name: ("breaks off before the end that its header tells (after 0.3 s of 0.6 s)",)}


def test_what_is_odd_about_a_clip_in_use_is_remarked(corpus: Corpus) -> None:
    split = corpus()
    stereo = split.val[1]
    soundfile.write(stereo.path, 0.1 * np.random.default_rng(0).standard_normal((8820, 2)), 22_050)
    assert set(prepared(split).remarks) == {stereo.name}


@pytest.fixture
def with_a_long_clip(corpus: Corpus) -> Split:
    split = corpus()
    soundfile.write(split.train[3].path, np.full(31 * 16_000, 0.1), 16_000)
    return split


def test_a_clip_over_30_seconds_is_refused_with_the_remedy(with_a_long_clip: Split) -> None:
    with pytest.raises(DataError, match=r"lasts 31\.0 s.*datamodule\.max_seconds") as error:
        prepared(with_a_long_clip)
    assert str(with_a_long_clip.train[3].path) in str(error.value)


def test_a_clip_over_30_seconds_is_cropped_when_max_seconds_says_so(with_a_long_clip: Split) -> None:
    data = prepared(with_a_long_clip, max_seconds=0.5)
    assert data.frontend.length == 8000
    assert data.input_shape == (1, 2 * 51)


def test_max_seconds_pads_shorter_clips_to_it(corpus: Corpus) -> None:
    split = corpus()
    assert prepared(split, max_seconds=2.0).input_shape == (1, 2 * 201)
    data = prepared(split, energy(normalize="none"), max_seconds=2.0)
    assert not everything(data).inputs[:, :, 100:201].any(), "nothing is heard after the longest clip's 0.8 s"


@pytest.mark.parametrize("keep_features", [True, False])
def test_longer_clips_are_cropped_about_their_middle_outside_training(corpus: Corpus, keep_features: bool) -> None:
    data = prepared(corpus(), energy(normalize="none"), max_seconds=0.4, keep_features=keep_features)
    batch = everything(data)
    longer = 0
    for i, clip in enumerate(data.clips):
        waveform = samples(clip.path)
        surplus = max(len(waveform) - 6400, 0)
        longer += surplus > 0
        cropped = waveform[surplus // 2 : surplus // 2 + 6400]
        padded = torch.cat([cropped, torch.zeros(6400 - len(cropped))])
        torch.testing.assert_close(
            batch.inputs[i], data.frontend.features(padded[None]).flatten(1), rtol=1e-6, atol=1e-7
        )
    assert 0 < longer < len(data.clips)


@pytest.mark.parametrize("keep_features", [True, False])
def test_longer_clips_are_cropped_at_random_in_training(corpus: Corpus, keep_features: bool) -> None:
    data = prepared(corpus(), energy(normalize="none"), max_seconds=0.4, keep_features=keep_features)
    index = next(i for i, clip in enumerate(data.clips) if 6400 < len(samples(clip.path)) < 7400)
    waveform = samples(data.clips[index].path)
    windows = waveform.unfold(0, 6400, 1)
    candidates = torch.cat([data.frontend.features(part) for part in windows.split(100)]).flatten(1)
    torch.manual_seed(5)
    found = set()
    for _ in range(20):
        drawn = data.make_batch(torch.tensor([index]), training=True).inputs[0]
        distances = (candidates - drawn).abs().amax(1)
        assert distances.min() < 1e-6, "a training input is one of the clip's windows"
        found.add(int(distances.argmin()))
    assert len(found) > 10
    assert max(found) - min(found) > len(windows) / 2


def test_a_crop_is_drawn_anew_for_each_clip_of_a_batch(corpus: Corpus) -> None:
    data = prepared(corpus(), energy(normalize="none"), max_seconds=0.3)
    longest = int(data.bank.lengths.argmax())
    inputs = data.make_batch(torch.full((8,), longest), training=True).inputs
    assert len(inputs.unique(dim=0)) == 8


@pytest.mark.parametrize(
    ("features", "max_seconds"),
    [(energy(), None), (mel(), 0.4), (mel(normalize="clip"), None)],
    ids=["energy and zcr", "mel, cropped", "mel, by clip"],
)
def test_kept_features_give_exactly_the_batches_of_features_computed_each_time(
    corpus: Corpus, features: FeatureConfig, max_seconds: float | None
) -> None:
    split = corpus()
    kept = prepared(split, features, max_seconds=max_seconds)
    computed = prepared(split, features, max_seconds=max_seconds, keep_features=False)
    order = torch.randperm(24, generator=torch.Generator().manual_seed(0))
    for part in order.split(7):
        for training in (False, True):
            torch.manual_seed(1)
            one = kept.make_batch(part, training)
            torch.manual_seed(1)
            other = computed.make_batch(part, training)
            assert torch.equal(one.inputs, other.inputs)
            assert torch.equal(one.targets, other.targets)


def test_kept_features_are_augmented_as_features_computed_each_time_are(corpus: Corpus) -> None:
    split = corpus()
    drawn = []
    for keep_features in (True, False):
        data = prepared(split, mel(), augment=LIGHT, keep_features=keep_features)
        torch.manual_seed(2)
        drawn.append(data.make_batch(torch.arange(16), training=True).inputs)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], data.make_batch(torch.arange(16)).inputs)


def test_augmentation_leaves_kept_features_as_they_are(corpus: Corpus) -> None:
    data = prepared(corpus(), mel(), augment=LIGHT)
    before = everything(data).inputs.clone()
    for _ in range(3):
        everything(data, training=True)
    assert torch.equal(everything(data).inputs, before)


def test_the_normaliser_says_which_clips_it_has_seen(corpus: Corpus) -> None:
    split = corpus()
    data = EmotionDataModule(split, energy())
    assert data.fitted_on == []
    data.setup()
    assert data.fitted_on == split.train
    split.train[3].path.write_text("no sound")
    split.test[0].path.unlink()
    with_gaps = prepared(split)
    assert with_gaps.fitted_on == with_gaps.side("train") == [c for c in split.train if c != split.train[3]]
    for normalize in ("clip", "none"):
        assert prepared(split, energy(normalize=normalize)).fitted_on == [], "nothing is fitted"


@pytest.mark.parametrize("keep_features", [True, False])
def test_the_normaliser_is_fitted_on_training_clips_only(corpus: Corpus, keep_features: bool) -> None:
    first = prepared(corpus("one"), mel(), keep_features=keep_features)
    second = prepared(corpus("two", change=("val", "test")), mel(), keep_features=keep_features)
    third = prepared(corpus("three", change=("train",)), mel(), keep_features=keep_features)
    training = torch.arange(len(first.side("train")))
    held_out = torch.arange(len(training), len(first.clips))
    assert torch.equal(first.frontend.normalizer.mean, second.frontend.normalizer.mean)
    assert torch.equal(first.frontend.normalizer.std, second.frontend.normalizer.std)
    assert torch.equal(first.make_batch(training).inputs, second.make_batch(training).inputs)
    assert not torch.equal(first.make_batch(held_out).inputs, second.make_batch(held_out).inputs)
    assert not torch.equal(first.frontend.normalizer.mean, third.frontend.normalizer.mean)


def test_the_normaliser_has_mean_and_deviation_of_the_real_frames_of_training(corpus: Corpus) -> None:
    split = corpus()
    data = prepared(split, energy())
    raw = []
    for clip in split.train:
        waveform = samples(clip.path)
        padded = torch.cat([waveform, torch.zeros(data.frontend.length - len(waveform))])
        raw.append(data.frontend.features(padded[None])[0, :, : 1 + len(waveform) // 160])
    frames = torch.cat(raw, dim=1).double()
    torch.testing.assert_close(data.frontend.normalizer.mean[:, 0].double(), frames.mean(1), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(
        data.frontend.normalizer.std[:, 0].double(), frames.std(1, correction=0), rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize("normalize", ["standard", "clip"])
@pytest.mark.parametrize("keep_features", [True, False])
def test_normalised_padding_is_0_and_sound_is_not(corpus: Corpus, normalize: str, keep_features: bool) -> None:
    data = prepared(corpus(), mel(normalize=normalize), keep_features=keep_features)
    inputs = everything(data).inputs[:, 0]
    padded = 0
    for i, clip in enumerate(data.clips):
        real = 1 + len(samples(clip.path)) // 256
        assert not inputs[i, :, real:].any()
        assert inputs[i, :, :real].abs().amax(0).all(), "every real frame has something"
        padded += inputs.shape[2] - real
    assert padded > 100


def test_without_normalisation_padding_is_what_the_feature_makes_of_silence(corpus: Corpus) -> None:
    data = prepared(corpus(), mel(normalize="none"))
    shortest = int(data.bank.lengths.argmin())
    assert set(data.make_batch(torch.tensor([shortest])).inputs[0, 0, :, -1].tolist()) == {-80.0}


def test_augmenting_features_that_are_not_normalised_is_refused(corpus: Corpus) -> None:
    with pytest.raises(DataError, match=r"augment=none, or features\.normalize=standard or clip"):
        EmotionDataModule(corpus(), mel(normalize="none"), LIGHT)
    EmotionDataModule(corpus(), mel(normalize="none"), Augment(16_000))


@pytest.mark.parametrize(("option", "taken"), [("level_db", "logmel"), ("frequency_warp", "mel or logmel")])
@pytest.mark.parametrize("features", [energy(), mel(names=["mfcc2d"])])
def test_what_is_for_log_mel_is_refused_for_other_features(
    corpus: Corpus, features: FeatureConfig, option: str, taken: str
) -> None:
    with pytest.raises(DataError, match=rf"augment\.spec\.{option}=0\.5 .*set it to 0, or take features={taken}"):
        EmotionDataModule(corpus(), features, Augment(16_000, spec={option: 0.5}))


@pytest.mark.parametrize("numbers", [{}, {"names": ["logmel"], "normalize": "clip"}])
def test_features_without_a_level_get_no_other_level(corpus: Corpus, numbers: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"level_db=3\.0 needs features that know a clip's level"):
        EmotionDataModule(corpus(), mel(**numbers), Augment(16_000, spec={"level_db": 3.0}))


def test_a_level_is_what_a_louder_waveform_has(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    split = corpus()
    data = prepared(split, mel(names=["logmel"], top_db=200.0), augment=Augment(16_000, spec={"level_db": 6.0}))
    monkeypatch.setattr(torch, "rand", lambda *size, device=None: torch.ones(size, device=device))
    clips = torch.arange(4)
    waveforms, lengths = data.bank.gather(clips, data.frontend.length)
    louder = data.frontend(10 ** (6 / 20) * waveforms, lengths)
    found = data.make_batch(clips, training=True).inputs
    # Where the floor of the power, -100 dB, does not matter.
    assert ((louder - found).abs() < 0.01).float().mean() > 0.95


def test_mixup_gives_soft_targets_in_training_only(corpus: Corpus) -> None:
    data = prepared(corpus(), mel(), augment=Augment(16_000, spec={"mixup": 1.0}))
    torch.manual_seed(0)
    batch = data.make_batch(torch.arange(6), training=True)
    assert batch.soft is not None
    torch.testing.assert_close(batch.soft.sum(1), torch.ones(6))
    assert torch.equal(batch.soft.argmax(1), batch.targets)
    assert data.make_batch(torch.arange(6)).soft is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bank": "disk"}, "datamodule.bank='disk' must be one of device, memory, mmap"),
        ({"bank": "mmap"}, "datamodule.bank=mmap reads from files of a cache: give datamodule.cache=FOLDER"),
        ({"target": "raters"}, "dataset.target='raters' must be one of emotion, votes"),
        ({"batch_size": 0}, "datamodule.batch_size=0 must be at least 1"),
        ({"max_seconds": 0.0}, r"datamodule.max_seconds=0\.0 must be above 0"),
        ({"max_seconds": -2.0}, r"datamodule.max_seconds=-2\.0 must be above 0"),
    ],
)
def test_an_option_out_of_its_range_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        EmotionDataModule(Split([], [], []), energy(), **options)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("keep_features", [True, False])
@pytest.mark.parametrize("max_seconds", [None, 0.4])
def test_a_bank_in_memory_gives_exactly_the_batches_of_one_on_the_device(
    corpus: Corpus, device: str, keep_features: bool, max_seconds: float | None
) -> None:
    split = corpus()
    banks = [
        prepared(split, mel(), bank=bank, device=device, keep_features=keep_features, max_seconds=max_seconds)
        for bank in ("device", "memory")
    ]
    assert banks[0].bank.device.type == device
    assert banks[1].bank.device.type == "cpu"
    clips = torch.tensor([20, 3, 11, 3], device=device)
    one, other = (data.make_batch(clips) for data in banks)
    assert one.inputs.device.type == other.inputs.device.type == one.targets.device.type == device
    assert torch.equal(one.inputs, other.inputs)
    assert torch.equal(one.targets, other.targets)


def test_recorded_noise_that_can_not_be_used_is_told_before_clips_are_read(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "noises").mkdir()
    soundfile.write(tmp_path / "noises" / "hush.wav", np.zeros(4_000), 16_000)
    monkeypatch.setattr(ser.datamodule, "decode_clips", lambda *_: pytest.fail("clips were read"))
    augment = Augment(16_000, wave={"noise": {"chance": 0.5, "folder": str(tmp_path / "noises")}})
    with pytest.raises(UserError, match=r"augment\.wave\.noise\.folder: .*hush\.wav is silent; take it away"):
        EmotionDataModule(corpus(), energy(), augment=augment).setup()


class Seen(Callback):
    """Copies of the batches of each stage."""

    def __init__(self) -> None:
        self.batches: dict[str, list[tuple[int, Batch]]] = {"sanity": [], "train": [], "val": [], "test": []}

    def _keep(self, stage: str, trainer: Trainer, batch: Batch) -> None:
        self.batches[stage].append(
            (trainer.current_epoch, Batch(*(part if part is None else part.clone() for part in batch)))
        )

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self._keep("train", trainer, batch)

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._keep("sanity" if trainer.sanity_checking else "val", trainer, batch)

    def on_test_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._keep("test", trainer, batch)

    def clips(self, stage: str, epoch: int | None = None) -> list[int]:
        chosen = [batch for at, batch in self.batches[stage] if epoch is None or at == epoch]
        return [clip for batch in chosen for clip in batch.clips.tolist()]


def seen_by_a_trainer(data: EmotionDataModule, epochs: int = 2) -> Seen:
    torch.manual_seed(0)
    seen = Seen()
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=[seen],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    network = NETWORKS["cnn1d"](data.input_shape, len(data.labels))
    trainer.fit(network, datamodule=data)
    trainer.test(network, datamodule=data, verbose=False)
    return seen


@pytest.mark.parametrize("max_seconds", [None, 0.4])
def test_a_trainer_gets_augmented_and_random_input_in_training_only(corpus: Corpus, max_seconds: float | None) -> None:
    split = corpus()
    data = prepared(split, energy(), augment=LIGHT, batch_size=6, max_seconds=max_seconds, seed=3)
    seen = seen_by_a_trainer(data)
    plain = everything(data)
    for stage in ("sanity", "val", "test"):
        assert seen.batches[stage]
        for _, batch in seen.batches[stage]:
            assert torch.equal(batch.inputs, plain.inputs[batch.clips])
            assert torch.equal(batch.targets, plain.targets[batch.clips])
    changed = 0
    for _, batch in seen.batches["train"]:
        assert torch.equal(batch.targets, plain.targets[batch.clips])
        changed += int((batch.inputs != plain.inputs[batch.clips]).flatten(1).any(1).sum())
    assert changed > 0.9 * 2 * len(split.train)

    by_name = {side: [data.clips.index(clip) for clip in getattr(split, side)] for side in ("train", "val", "test")}
    assert seen.clips("sanity") == by_name["val"]
    assert seen.clips("val") == 2 * by_name["val"]
    assert seen.clips("test") == by_name["test"]
    for epoch in (0, 1):
        assert seen.clips("train", epoch) == order(EpochSampler(len(split.train), seed=3), epoch)
    assert sorted(seen.clips("train", 0)) == sorted(seen.clips("train", 1)) == by_name["train"]


def test_a_last_training_batch_of_one_clip_is_left_out_since_a_batch_norm_fails_on_it(corpus: Corpus) -> None:
    split = corpus()
    data = prepared(split, batch_size=5)
    assert len(split.train) % 5 == 1
    assert [len(batch) for batch in data.train_dataloader()] == [5, 5, 5]
    assert sum(len(batch) for batch in data.test_dataloader()) == len(split.test)


def test_without_augmentation_and_cropping_a_trainer_gets_the_plain_features_in_training_too(corpus: Corpus) -> None:
    data = prepared(corpus(), energy(), batch_size=6)
    plain = everything(data)
    batches = seen_by_a_trainer(data).batches["train"]
    assert len(batches) == 6
    assert all(torch.equal(batch.inputs, plain.inputs[batch.clips]) for _, batch in batches)


def order(sampler: EpochSampler, epoch: int) -> list[int]:
    sampler.set_epoch(epoch)
    return list(sampler)


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from leaves(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from leaves(inner)
    else:
        yield value


def test_its_state_is_plain_data_and_tensors_and_survives_a_file(corpus: Corpus, tmp_path: Path) -> None:
    data = prepared(corpus())
    state = data.state_dict()
    assert {type(leaf) for leaf in leaves(state)} <= {str, int, float, bool, type(None), Tensor}
    torch.save(state, tmp_path / "state.pt")
    back = torch.load(tmp_path / "state.pt", weights_only=True)
    assert back["labels"] == ["anger", "fear", "happy", "sad"]
    assert FeatureConfig(**back["features"]) == energy()
    assert back["length"] == data.frontend.length
    assert torch.equal(back["normalizer"]["mean"], data.frontend.normalizer.mean)
    assert torch.equal(back["normalizer"]["std"], data.frontend.normalizer.std)
    data.load_state_dict(back)


def test_a_checkpoint_of_other_emotions_is_refused(corpus: Corpus) -> None:
    split = corpus()
    renamed = Split(
        *(
            [replace(clip, emotion="calm" if clip.emotion == "sad" else clip.emotion) for clip in side]
            for side in (split.train, split.val, split.test)
        )
    )
    with pytest.raises(DataError, match=r"the checkpoint has labels=.*'sad'.*, and this run .*'calm'"):
        prepared(renamed).load_state_dict(prepared(split).state_dict())


def test_a_checkpoint_of_other_features_is_refused(corpus: Corpus) -> None:
    split = corpus()
    with pytest.raises(DataError, match="the checkpoint has features="):
        prepared(split, energy(frame_length=1024)).load_state_dict(prepared(split).state_dict())


def test_a_checkpoint_of_another_length_is_refused(corpus: Corpus) -> None:
    split = corpus()
    with pytest.raises(DataError, match="the checkpoint has length=8000, and this run 12800"):
        prepared(split, max_seconds=0.8).load_state_dict(prepared(split, max_seconds=0.5).state_dict())


def test_a_checkpoint_normalised_on_other_training_clips_is_refused(corpus: Corpus) -> None:
    state = prepared(corpus("one")).state_dict()
    with pytest.raises(DataError, match="normalised on other training clips"):
        prepared(corpus("two", change=("train",))).load_state_dict(state)
    prepared(corpus("three", change=("val", "test"))).load_state_dict(state)


def test_setup_decodes_once_whatever_the_stage(corpus: Corpus) -> None:
    split = corpus()
    data = prepared(split)
    before = everything(data).inputs
    for clip in data.clips:
        clip.path.unlink()
    for stage in ("fit", "validate", "test"):
        data.setup(stage)
    assert torch.equal(everything(data).inputs, before)


def heard(split: Split, rate: int = 16_000) -> WaveformBank:
    """What decoding gives of each clip."""
    return decode_clips([*split.train, *split.val, *split.test], rate)


@pytest.mark.parametrize("rate", [16_000, 8_000])
def test_recordings_that_are_given_are_not_decoded_again_and_make_no_difference(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch, rate: int
) -> None:
    split = corpus()
    split.train[2].path.write_text("no sound")
    soundfile.write(split.val[1].path, 0.1 * np.random.default_rng(0).standard_normal((8820, 2)), 22_050)
    soundfile.write(split.test[1].path, np.zeros(8000), 16_000)
    features = energy(sample_rate=rate)
    with pytest.warns(UserWarning, match="silent clips"):
        decoded = prepared(split, features)
    recordings = heard(split, rate)
    for clip in (*split.train, *split.val, *split.test):
        clip.path.unlink()

    def never(*_: Any) -> None:
        raise AssertionError("decoded a second time")

    monkeypatch.setattr(ser.datamodule, "decode_clips", never)
    data = EmotionDataModule(split, features, recordings=recordings)
    with pytest.warns(UserWarning, match="silent clips"):
        data.setup()
    data.setup("test")
    assert data.clips == decoded.clips
    assert data.skipped == decoded.skipped
    assert [clip for clip, _ in data.skipped] == [split.train[2]]
    assert data.remarks == decoded.remarks
    assert {split.val[1].name, split.test[1].name} <= set(data.remarks)
    assert torch.equal(data.bank.samples, decoded.bank.samples)
    assert torch.equal(data.bank.starts, decoded.bank.starts)
    assert torch.equal(data.bank.lengths, decoded.bank.lengths)
    one, other = everything(data), everything(decoded)
    assert torch.equal(one.inputs, other.inputs)
    assert torch.equal(one.targets, other.targets)


def test_recordings_that_are_given_are_let_go_of_once_they_are_in_the_bank(corpus: Corpus) -> None:
    split = corpus()
    recordings = heard(split)
    reference = weakref.ref(recordings)
    data = EmotionDataModule(split, energy(), recordings=recordings)
    del recordings
    assert reference() is not None
    data.setup()
    assert reference() is None


def voted(split: Split, votes: Callable[[Clip], Mapping[str, int] | None]) -> Split:
    """The same clips, with the raters' votes."""
    train, val, test = (
        [replace(clip, votes=votes(clip)) for clip in side] for side in (split.train, split.val, split.test)
    )
    return Split(train, val, test)


def take(clip: Clip) -> int:
    return int(clip.path.stem[-1])


def some_votes(clip: Clip) -> dict[str, int]:
    """More for the own emotion than for anger, and ten for one that the run doesn't know."""
    votes = dict.fromkeys(EMOTIONS, 0) | {"calm": 10}
    votes["anger"] += 1
    votes[clip.emotion] += 3 + take(clip)
    return votes


def expected_shares(data: EmotionDataModule, clips: Tensor) -> Tensor:
    rows = []
    for i in clips.tolist():
        votes = {label: (data.clips[i].votes or {}).get(label, 0) for label in data.labels}
        rows.append([votes[label] / sum(votes.values()) for label in data.labels])
    return torch.tensor(rows)


@pytest.mark.parametrize("bank", ["device", "memory"])
def test_training_clips_are_trained_towards_the_shares_of_their_votes(corpus: Corpus, bank: str) -> None:
    split = voted(corpus(), some_votes)
    data = prepared(split, target="votes", bank=bank)
    plain = prepared(split)
    clips = torch.tensor([13, 2, 7, 0])
    batch = data.make_batch(clips, training=True)
    assert batch.soft is not None
    torch.testing.assert_close(batch.soft, expected_shares(data, clips))
    torch.testing.assert_close(batch.soft.sum(1), torch.ones(4))
    assert len(batch.soft.unique(dim=0)) > 2
    assert data.without_votes == []
    assert data.labels == sorted(EMOTIONS), "an emotion of raters alone is no class"
    # Everything else is as without votes, and so is everything that isn't training.
    same = plain.make_batch(clips, training=True)
    assert same.soft is None
    assert torch.equal(batch.inputs, same.inputs)
    assert torch.equal(batch.targets, same.targets)
    assert data.make_batch(clips).soft is None


def test_mixup_mixes_votes_as_it_mixes_features(corpus: Corpus) -> None:
    data = prepared(voted(corpus(), some_votes), target="votes", augment=Augment(16_000, spec={"mixup": 1.0}))
    clips = torch.arange(8)
    torch.manual_seed(0)
    batch = data.make_batch(clips, training=True)
    assert batch.soft is not None
    plain, shares = data.make_batch(clips).inputs.flatten(1), expected_shares(data, clips)
    mixed = 0
    for own, (inputs, soft) in enumerate(zip(batch.inputs.flatten(1), batch.soft, strict=True)):
        for other in range(len(clips)):
            apart = plain[own] - plain[other]
            share = (inputs - plain[other]) @ apart / (apart @ apart).clamp_min(1e-9)
            if torch.allclose(share * plain[own] + (1 - share) * plain[other], inputs, atol=1e-4) and own != other:
                torch.testing.assert_close(soft, share * shares[own] + (1 - share) * shares[other])
                mixed += 1
                break
    assert mixed >= 6, "all but those that are their own partner"


def test_a_trainer_gets_soft_targets_in_training_only(corpus: Corpus) -> None:
    data = prepared(voted(corpus(), some_votes), target="votes", batch_size=6)
    seen = seen_by_a_trainer(data, epochs=1)
    for _, batch in seen.batches["train"]:
        assert batch.soft is not None
        torch.testing.assert_close(batch.soft, expected_shares(data, batch.clips))
    assert sum(len(batch.clips) for _, batch in seen.batches["train"]) == len(data.side("train"))
    assert all(batch.soft is None for stage in ("sanity", "val", "test") for _, batch in seen.batches[stage])


def test_a_training_clip_without_a_vote_for_a_class_of_the_run_keeps_its_emotion_and_is_named(corpus: Corpus) -> None:
    given: dict[int, dict[str, int]] = {0: {}, 2: {"calm": 4}, 4: dict.fromkeys(EMOTIONS, 0), 5: {"fear": 2}}
    split = voted(corpus(), lambda clip: given.get(take(clip), {}))
    data = prepared(split, target="votes")
    clips = torch.arange(len(split.train))
    soft = data.make_batch(clips, training=True).soft
    assert soft is not None
    for row, clip in zip(soft.tolist(), split.train, strict=True):
        shown = "fear" if take(clip) == 5 else clip.emotion
        assert row == [float(label == shown) for label in data.labels]
    assert data.without_votes == [clip for clip in split.train if take(clip) != 5]
    assert len(data.without_votes) == 12


def test_votes_that_are_not_known_are_refused_in_training_and_nowhere_else(corpus: Corpus) -> None:
    split = corpus()
    held_out = {clip.name for clip in (*split.val, *split.test)}
    data = prepared(voted(split, lambda clip: None if clip.name in held_out else some_votes(clip)), target="votes")
    assert data.without_votes == []
    lacking = split.train[5].name
    data = EmotionDataModule(
        voted(split, lambda clip: None if clip.name == lacking else some_votes(clip)), energy(), target="votes"
    )
    for _ in range(2):
        with pytest.raises(DataError, match=r"every training clip, and 1 have none.*dataset\.metadata=") as error:
            data.setup()
        assert lacking in str(error.value)
    with pytest.raises(DataError, match=f"and {len(split.train)} have none"):
        prepared(split, target="votes")
    assert prepared(split).make_batch(torch.arange(3), training=True).soft is None


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_of_soft_targets_is_the_cross_entropy_with_them(corpus: Corpus, smoothing: float) -> None:
    data = prepared(voted(corpus(), some_votes), target="votes")
    torch.manual_seed(0)
    network = NETWORKS["cnn1d"](data.input_shape, len(data.labels), label_smoothing=smoothing).eval()
    batch = data.make_batch(torch.arange(8), training=True)
    assert batch.soft is not None
    network.log_dict = network.log = lambda *values, **options: None  # type: ignore[method-assign,assignment]
    with torch.no_grad():
        loss, hard = network.training_step(batch), network.training_step(batch._replace(soft=None))
        logs = network(batch.inputs).log_softmax(1)
        torch.testing.assert_close(
            loss, torch.nn.functional.cross_entropy(network(batch.inputs), batch.soft, label_smoothing=smoothing)
        )
    wanted = (1 - smoothing) * expected_shares(data, batch.clips) + smoothing / len(data.labels)
    torch.testing.assert_close(loss, -(wanted * logs).sum(1).mean())
    assert not torch.isclose(loss, hard)


def test_scores_are_about_the_emotion_and_not_the_votes(corpus: Corpus) -> None:
    """Raters all choose fear: the network learns to answer it, and is wrong about the others."""
    data = prepared(voted(corpus(), lambda clip: {"fear": 5}), target="votes")
    network = NETWORKS["cnn1d"](data.input_shape, len(data.labels), learning_rate=1e-2)
    trainer = Trainer(
        max_epochs=12,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    torch.manual_seed(0)
    trainer.fit(network, datamodule=data)
    assert trainer.callback_metrics["train/accuracy"] == pytest.approx(0.25, abs=0.07)
    assert trainer.callback_metrics["val/accuracy"] == pytest.approx(0.25)
    assert trainer.callback_metrics["train/loss"] < 0.2


def test_people_heard_elsewhere_are_known_in_any_spelling(corpus: Corpus) -> None:
    split = corpus()
    sides = {side: [replace(clip, speaker=f"{side} 1") for clip in getattr(split, side)] for side in SIDES}
    data = prepared(replace(split, **sides), energy())
    assert data.add_seen(["manifest/TEST\u00a01", "manifest/somebody"]) == ["manifest/test 1"]
    assert data.leakage().seen == ["test 1"]


def test_a_class_without_a_usable_clip_is_refused(corpus: Corpus) -> None:
    split = corpus()
    for side in SIDES:
        for clip in getattr(split, side):
            if clip.emotion == "fear":
                clip.path.write_text("no sound")
    with pytest.raises(LabelError, match=r"no usable clip of fear: 6 clips can't be used, .*labels\.drop=\[fear\]"):
        prepared(split)

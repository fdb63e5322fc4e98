import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

import ser.augment.waveform
from ser.augment import EFFECTS, Augment, WaveAugment
from ser.augment.waveform import RENAMED, converted
from ser.config import compose_words
from ser.data.audio import read_audio
from ser.data.bank import WaveformBank
from ser.data.corpora import Clip, read_corpora
from ser.data.splits import split_clips
from ser.datamodule import EmotionDataModule
from ser.errors import UserError
from ser.features import FeatureConfig, Frontend
from ser.train import run
from tests.helpers import DEVICES

RATE = 16_000
SAMPLES = 12_000

EACH = tuple(EFFECTS)

EVERYTHING: dict[str, Any] = {key: {"chance": 1.0} for key in EACH}


def noisy(batch: int = 6, samples: int = SAMPLES) -> tuple[Tensor, Tensor]:
    """Clips of several lengths, the first one without padding."""
    generator = torch.Generator().manual_seed(0)
    lengths = samples - 1_000 * (torch.arange(batch) % 6)
    waveforms = 0.1 * torch.randn(batch, samples, generator=generator)
    return waveforms * (torch.arange(samples) < lengths[:, None]), lengths


def augmented(seed: int = 0, clips: tuple[Tensor, Tensor] | None = None, **options: Any) -> tuple[Tensor, Tensor]:
    torch.manual_seed(seed)
    changed: tuple[Tensor, Tensor] = WaveAugment(RATE, **options).train()(*(clips or noisy()))
    return changed


def write(folder: Path, **sounds: np.ndarray) -> str:
    folder.mkdir(exist_ok=True)
    for name, sound in sounds.items():
        soundfile.write(folder / f"{name}.wav", sound, RATE)
    return str(folder)


def test_nothing_happens_by_default_or_outside_training() -> None:
    waveforms, lengths = noisy()
    assert not WaveAugment(RATE).active
    for augment in (WaveAugment(RATE).train(), WaveAugment(RATE, **EVERYTHING).eval()):
        torch.manual_seed(0)
        expected = torch.get_rng_state()
        changed, ends = augment(waveforms, lengths)
        assert torch.equal(changed, waveforms)
        assert torch.equal(ends, lengths)
        assert torch.equal(torch.get_rng_state(), expected), "nothing is drawn"


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", EACH)
def test_each_changes_clips_keeps_the_shape_and_leaves_padding_silent(name: str, device: str) -> None:
    waveforms, lengths = (part.to(device) for part in noisy())
    before = waveforms.clone()
    assert WaveAugment(RATE, **{name: {"chance": 1.0}}).active
    changed, ends = augmented(clips=(waveforms, lengths), **{name: {"chance": 1.0}})
    assert changed.shape == waveforms.shape
    assert changed.device.type == ends.device.type == device
    assert changed.isfinite().all()
    assert torch.equal(waveforms, before), "the input stays as it is"
    kept = sum(torch.equal(*pair) for pair in zip(changed, waveforms, strict=True))
    assert kept <= (1 if name in ("speed", "stretch", "pitch") else 0), "a factor may be rounded to 1"
    assert all(not row[end:].any() and row[:end].any() for row, end in zip(changed, ends.tolist(), strict=True))
    assert (ends != lengths).any() == (name in ("speed", "stretch"))


def test_a_seed_draws_the_same_again_and_another_one_something_else() -> None:
    first, again, other = (augmented(seed, **EVERYTHING)[0] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_equal_clips_are_changed_differently() -> None:
    one = noisy(1)
    for name in set(EACH) - {"polarity", "telephone"}:
        changed, _ = augmented(clips=(one[0].expand(8, -1), one[1].expand(8)), **{name: {"chance": 1.0}})
        assert len({tuple(row[:9_000:30].tolist()) for row in changed}) > 4, name


@pytest.mark.parametrize("probability", [0.1, 0.5])
def test_as_many_clips_are_changed_as_the_probability_says(probability: float) -> None:
    clips = 2_000
    changed, _ = augmented(clips=(torch.ones(clips, 4), torch.full((clips,), 4)), polarity={"chance": probability})
    share = (changed[:, 0] == -1).float().mean()
    spread = (probability * (1 - probability) / clips) ** 0.5
    assert abs(share - probability) < 4 * spread


def test_a_clip_does_not_depend_on_its_neighbours() -> None:
    waveforms, lengths = noisy()
    others, ends = waveforms.clone(), lengths.clone()
    others[1:, :] = 0
    others[1:, :3_000] = 0.5
    ends[1:] = 3_000
    first, again = (augmented(clips=clips, **EVERYTHING)[0][0] for clips in ((waveforms, lengths), (others, ends)))
    torch.testing.assert_close(first, again, atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", EACH)
@pytest.mark.parametrize("samples", [1, 2, 300, 1_600])
@pytest.mark.parametrize("level", [0.0, 0.1])
def test_a_batch_of_one_clip_however_short_or_silent(name: str, samples: int, level: float) -> None:
    sound = level * torch.randn(1, samples, generator=torch.Generator().manual_seed(0))
    changed, ends = augmented(clips=(sound, torch.tensor([samples])), **{name: {"chance": 1.0}})
    assert changed.shape == sound.shape
    assert changed.isfinite().all()
    assert 1 <= ends[0] <= samples
    assert not changed[0, int(ends[0]) :].any()
    assert level or not changed.any()


def test_gain_is_even_over_its_range_and_changes_log_mel_by_as_much() -> None:
    waveforms, lengths = noisy(200)
    changed, _ = augmented(clips=(waveforms, lengths), gain={"chance": 1.0, "db": 10.0})
    gains = 10 * torch.log10(changed.square().sum(1) / waveforms.square().sum(1))
    assert -10 <= gains.min() < -9
    assert 9 < gains.max() <= 10
    assert abs(gains.mean()) < 4 * 10 / 3**0.5 / 200**0.5
    frontend = Frontend(FeatureConfig(names=["logmel"], top_db=200.0), SAMPLES)
    before, after = (frontend.extract(sound[:4], lengths[:4])[:, :, :10] for sound in (waveforms, changed))
    torch.testing.assert_close(after - before, gains[:4, None, None].expand_as(before), atol=0.02, rtol=0)


def test_noise_is_within_its_range() -> None:
    waveforms, lengths = noisy(50)
    options = {"noise": {"chance": 1.0, "snr_low_db": 0.0, "snr_high_db": 10.0}}
    added = augmented(clips=(waveforms, lengths), **options)[0] - waveforms
    snr = 10 * torch.log10(waveforms.square().sum(1) / added.square().sum(1))
    assert -0.1 < snr.min() < 2
    assert 8 < snr.max() < 10.1


def test_speed_is_within_its_range_and_a_longer_clip_is_cropped() -> None:
    waveforms, lengths = noisy(60)
    changed, ends = augmented(clips=(waveforms, lengths), speed={"chance": 1.0, "share": 0.2})
    assert changed.shape == waveforms.shape
    factors = lengths / ends
    assert 0.799 < factors.min() < 0.9
    assert 1.1 < factors.max() < 1.201
    assert (ends[lengths == SAMPLES] == SAMPLES).any()


def test_a_crop_is_at_random() -> None:
    ramp = torch.arange(SAMPLES, dtype=torch.float32).expand(40, -1)
    torch.manual_seed(0)
    cropped, ends = ser.augment.waveform._fitted(ramp, torch.tensor([SAMPLES] * 39 + [5]), 10_000)
    assert ends.tolist() == [10_000] * 39 + [5]
    starts = cropped[:39, 0]
    assert starts.min() < 300
    assert 1_700 < starts.max() <= 2_000
    assert torch.equal(cropped[0], starts[0] + torch.arange(10_000))
    assert cropped[39].tolist()[:6] == [0, 1, 2, 3, 4, 0]


def test_recorded_noise_is_read_once_and_not_where_no_clip_draws_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tones = [np.sin(2 * np.pi * hz * np.arange(size) / RATE) for hz, size in ((1_000, 1_600), (3_000, 40_000))]
    folder = write(tmp_path, short=0.5 * tones[0], long=0.5 * tones[1])
    reads = []
    decode = ser.augment.waveform.decode
    monkeypatch.setattr(ser.augment.waveform, "decode", lambda *words: reads.append(words) or decode(*words))
    augment = WaveAugment(RATE, noise={"chance": 1.0, "folder": folder}).train()
    assert not reads
    WaveAugment(RATE, gain={"chance": 1.0}, noise={"folder": folder}).read()
    assert not reads
    augment.read()
    waveforms, lengths = noisy(20)
    torch.manual_seed(0)
    added = augment(waveforms, lengths)[0] - waveforms
    augment(waveforms, lengths)
    assert len(reads) == 1
    peaks = torch.fft.rfft(added[:, :6_000]).abs().argmax(1) * RATE / 6_000
    assert set(peaks.round(decimals=-2).tolist()) == {1_000, 3_000}
    assert not augment.state_dict(), "a checkpoint has no noise"


@pytest.mark.parametrize("device", DEVICES)
def test_recorded_noise_and_rooms_stay_in_main_memory(tmp_path: Path, device: str) -> None:
    folder = write(tmp_path, click=np.r_[1.0, np.zeros(3_999)])
    augment = WaveAugment(
        RATE, **{key: {"chance": 1.0, "folder": folder} for key in ("noise", "reverberation")}
    ).train()
    changed, _ = augment(*(part.to(device) for part in noisy()))
    assert changed.device.type == device
    assert {name: effect.bank.device.type for name, effect in augment.effects.items()} == {
        "noise": "cpu",
        "reverberation": "cpu",
    }


def test_effects_alone_have_the_noise_that_was_read_even_if_its_folder_is_gone(tmp_path: Path) -> None:
    folder = write(tmp_path / "noises", click=np.r_[1.0, np.zeros(3_999)])
    augment = Augment(RATE, {"noise": {"chance": 0.1, "folder": folder}, "gain": {"chance": 0.1}})
    augment.wave.read()
    shutil.rmtree(folder)
    alone = augment.each()["augment.wave.noise"].wave
    assert alone.effects["noise"].bank is augment.wave.effects["noise"].bank is not None


def test_recorded_rooms_are_heard(tmp_path: Path) -> None:
    response = np.zeros(3_000)
    response[100], response[2_100] = 0.8, 0.4
    waveforms, lengths = noisy()
    options = {"reverberation": {"chance": 1.0, "folder": write(tmp_path, room=response)}}
    changed, _ = augmented(clips=(waveforms, lengths), **options)
    echo = waveforms.clone()
    echo[:, 2_000:] += 0.5 * waveforms[:, :-2_000]
    echo *= torch.arange(SAMPLES) < lengths[:, None]
    echo *= (waveforms.square().sum(1) / echo.square().sum(1)).sqrt()[:, None]
    torch.testing.assert_close(changed, echo, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["noise", "reverberation"])
def test_a_folder_without_sound_is_refused_before_anything_is_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=rf"augment\.wave\.{name}\.folder=.*nowhere is no folder"):
        WaveAugment(RATE, **{name: {"folder": str(tmp_path / "nowhere")}})
    with pytest.raises(UserError, match=rf"augment\.wave\.{name}\.folder=.* holds no sound file"):
        WaveAugment(RATE, **{name: {"folder": str(tmp_path)}})


def test_a_file_that_can_not_be_used_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "silent", hush=np.zeros(4_000))
    with pytest.raises(UserError, match=r"augment\.wave\.noise\.folder: .*hush\.wav is silent"):
        augmented(noise={"chance": 1.0, "folder": folder})
    (tmp_path / "silent" / "broken.wav").write_text("no sound")
    with pytest.raises(
        UserError, match=r"augment\.wave\.reverberation\.folder: .*broken\.wav: can't be read.*take it away"
    ):
        augmented(reverberation={"chance": 1.0, "folder": folder})


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        *((f"{name}.chance", value, "must lie between 0 and 1") for name in EACH for value in (-0.1, 1.1)),
        ("shift.share", 2.0, "must lie between 0 and 1"),
        ("clipping.peak_share", -1.0, "must lie between 0 and 1"),
        ("stretch.share", 0.6, "between 0 and 0.5"),
        ("speed.share", float("nan"), "between 0 and 0.5"),
        ("pitch.semitones", 13.0, "an octave"),
        ("gain.db", -1.0, "must be 0 dB or more"),
        ("reverberation.rt60_low_seconds", 0.0, "between 0 and 10 s"),
        ("reverberation.rt60_high_seconds", 60.0, "between 0 and 10 s"),
        ("noise.snr_low_db", 31.0, "snr_high_db=30.0"),
        ("reverberation.drr_low_db", float("-inf"), "drr_high_db=10.0"),
    ],
)
def test_an_option_beyond_its_range_is_refused(option: str, value: float, told: str) -> None:
    effect, _, field = option.partition(".")
    with pytest.raises(UserError, match=rf"augment\.wave\.{option}={value}.*{told}"):
        WaveAugment(RATE, **{effect: {field: value}})


def test_a_telephone_band_needs_a_rate_that_holds_it() -> None:
    WaveAugment(4_000)
    with pytest.raises(
        UserError, match=r"telephone\.high_hz=3400\.0 must be .* 2000 Hz.*augment\.wave\.telephone\.chance=0"
    ):
        WaveAugment(4_000, telephone={"chance": 0.1})


def test_full_is_wave_and_spec() -> None:
    parts = {name: compose_words([f"augment={name}"])["augment"] for name in ("wave", "spec", "full")}
    assert parts["full"] == {"wave": parts["wave"]["wave"], "spec": parts["spec"]["spec"]}
    assert not Augment(RATE, **parts["spec"]).wave.active
    assert not Augment(RATE, **parts["wave"]).spec.active


def test_real_clips_stay_sound_at_every_rate(real_clips: list[Clip]) -> None:
    for rate in (8_000, RATE, 22_050):
        bank = WaveformBank.of([read_audio(clip.path, rate).samples for clip in real_clips[:6]])
        waveforms, lengths = bank.gather(torch.arange(6), int(bank.lengths.max()))
        torch.manual_seed(0)
        changed, ends = WaveAugment(rate, **{**EVERYTHING, "gain": {}}).train()(waveforms, lengths)
        assert changed.isfinite().all()
        levels = [
            10 * torch.log10(sound.square().sum(1) / size) for sound, size in ((waveforms, lengths), (changed, ends))
        ]
        assert (levels[1] - levels[0]).abs().max() < 12, "neither silent nor far too loud"


def test_a_whole_training_with_everything(corpus: Path, tmp_path: Path) -> None:
    noises = write(tmp_path / "noises", hiss=0.1 * np.random.default_rng(0).standard_normal(5_000))
    cfg = compose_words([
        "dataset=folder", f"dataset.root={corpus}", "split.val=0.2", "model=cnn2d", "datamodule.batch_size=8",
        "features=logmel", "features.hop_length=128", "features.n_mels=46", "features.n_fft=512",
        "augment=full", *(f"augment.wave.{name}.chance=0.5" for name in EACH), f"augment.wave.noise.folder={noises}",
        "trainer.max_epochs=2", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false", "logger=csv",
        "figure_every_n_epochs=0",
    ])  # fmt: skip
    results = run(cfg, tmp_path / "run", ["python", "train.py"])
    assert np.isfinite([results["test"]["uar"], *(epoch["train/loss"] for epoch in results["history"])]).all()
    checkpoint = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)
    assert not [name for name in checkpoint["state_dict"] if "noise" in name or "wave" in name]


@pytest.mark.parametrize("options", [{}, {"max_seconds": 0.45}, {"cached": True}, {"keep_features": False}])
def test_a_data_module_augments_in_training_alone(corpus: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    cfg = compose_words(["dataset=folder", f"dataset.root={corpus}"])
    split = split_clips(read_corpora(cfg["dataset"]), name="stratified", val=0.2)
    if cached := options.get("cached"):
        options = {"cache": str(tmp_path)}
    features = FeatureConfig(names=["mel"])
    data = EmotionDataModule(split, features, Augment(RATE, wave=EVERYTHING), **options)
    data.setup()
    plainly = EmotionDataModule(split, features, **options)
    plainly.setup()
    assert torch.equal(data.frontend.normalizer.mean, plainly.frontend.normalizer.mean)
    assert len(list(tmp_path.glob("features-*"))) == bool(cached), "what is kept is not augmented, and so the same"
    clips = torch.arange(8)
    plain = data.make_batch(clips).inputs
    assert torch.equal(plain, plainly.make_batch(clips).inputs)
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(data.make_batch(clips, training=True).inputs)
    assert torch.equal(data.make_batch(clips).inputs, plain)
    assert torch.equal(drawn[0], drawn[1])
    assert all(not torch.equal(row, other) for row, other in zip(drawn[0], plain, strict=True))
    assert not torch.equal(drawn[0], drawn[2])


def test_options_of_earlier_versions_are_read() -> None:
    old = {**dict.fromkeys(EACH, 0.25), "noise": 0.5, "snr_low_db": 3.0, "noise_folder": None, "gain_db": 2.0}
    new = converted(old)
    assert new["noise"] == {"chance": 0.5, "snr_low_db": 3.0, "folder": None}
    assert new["gain"] == {"chance": 0.25, "db": 2.0}
    assert list(WaveAugment(RATE, **new).effects) == list(EACH)
    assert converted(new) == new
    for name in RENAMED.values():
        effect, _, option = name.partition(".")
        assert option in {field.name for field in fields(EFFECTS[effect])}


def test_an_effect_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(UserError, match=r"augment\.wave\.no_such_effect is no effect: take speed, stretch"):
        WaveAugment(RATE, no_such_effect={"chance": 1.0})

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from ser.features import FEATURES, FeatureConfig, FeatureError, Frontend, Normalizer
from ser.features.transforms import Energy
from tests.helpers import DEVICES

NAME_SETS = [*([name] for name in FEATURES), ["energy", "zcr"], ["mfcc", "energy", "zcr"]]


def ragged(clips: int = 7, rows: int = 3, frames: int = 20, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Features of clips that end early, with something else in the padding."""
    generator = torch.Generator().manual_seed(seed)
    features = 5 * torch.randn(clips, rows, frames, generator=generator) + torch.tensor([-40.0, 0.0, 3.0])[:rows, None]
    real = torch.randint(1, frames + 1, (clips,), generator=generator)
    for clip, end in zip(features, real.tolist(), strict=True):
        clip[:, end:] = 1000
    return features, real


def real_parts(features: Tensor, real: Tensor) -> list[NDArray[np.float64]]:
    return [clip[:, :end].double().numpy() for clip, end in zip(features, real.tolist(), strict=True)]


def fitted(features: Tensor, real: Tensor, chunk: int = 256) -> Normalizer:
    normalizer = Normalizer("standard", features.shape[1])
    normalizer.fit(zip(features.split(chunk), real.split(chunk), strict=True))
    return normalizer


@settings(deadline=None, max_examples=40)
@given(clips=st.integers(1, 12), seed=st.integers(0, 1000), chunk=st.integers(1, 13))
def test_mean_and_deviation_are_those_of_real_frames(clips: int, seed: int, chunk: int) -> None:
    features, real = ragged(clips, seed=seed)
    frames = np.concatenate(real_parts(features, real), axis=1)
    normalizer = fitted(features, real, chunk=chunk)
    np.testing.assert_allclose(normalizer.mean[:, 0].numpy(), frames.mean(1), rtol=1e-6, atol=1e-6)
    deviation = frames.std(1) if frames.shape[1] > 1 else np.ones(3)
    np.testing.assert_allclose(normalizer.std[:, 0].numpy(), deviation, rtol=1e-6)


def test_real_frames_are_standard_and_padding_is_exactly_zero() -> None:
    features, real = ragged(40)
    scaled = fitted(features, real)(features, real)
    frames = np.concatenate(real_parts(scaled, real), axis=1)
    np.testing.assert_allclose(frames.mean(1), 0, atol=1e-5)
    np.testing.assert_allclose(frames.std(1), 1, atol=1e-5)
    for clip, end in zip(scaled, real.tolist(), strict=True):
        assert torch.count_nonzero(clip[:, end:]) == 0
        assert torch.count_nonzero(clip[:, :end]) == clip[:, :end].numel()


def test_other_clips_are_scaled_by_what_was_fitted() -> None:
    normalizer = fitted(*ragged())
    features, real = ragged(3, seed=9)
    scaled = normalizer(features, real)
    expected = [(part - normalizer.mean.numpy()) / normalizer.std.numpy() for part in real_parts(features, real)]
    for part, one in zip(real_parts(scaled, real), expected, strict=True):
        np.testing.assert_allclose(part, one, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("content", [0.0, -80.0, 1e9, float("nan"), float("inf")])
@pytest.mark.parametrize("mode", ["standard", "clip"])
def test_what_is_in_the_padding_has_no_influence(mode: str, content: float) -> None:
    features, real = ragged()
    other = features.clone()
    for clip, end in zip(other, real.tolist(), strict=True):
        clip[:, end:] = content
    outcomes = []
    for one in (features, other):
        normalizer = Normalizer(mode, 3)
        normalizer.fit([(one, real)])
        outcomes.append(normalizer(one, real))
    assert torch.equal(*outcomes)


def test_the_padded_length_has_no_influence() -> None:
    features, real = ragged()
    longer = torch.cat([features, torch.full((7, 3, 30), 7.0)], dim=2)
    short, long = fitted(features, real), fitted(longer, real)
    torch.testing.assert_close(short.mean, long.mean)
    torch.testing.assert_close(short.std, long.std)
    torch.testing.assert_close(short(features, real), long(longer, real)[..., :20])
    assert not long(longer, real)[..., 20:].any()


# Not representable, so that sums of them round: powers of silence in dB, cepstra of silence, roll-off in hertz.
CONSTANTS = [0.0, 1.0, -100.1, -1131.3709, 3910.177]


@pytest.mark.parametrize("mode", ["standard", "clip"])
@pytest.mark.parametrize("constant", CONSTANTS)
def test_a_row_that_never_changes_is_only_centred(mode: str, constant: float) -> None:
    features, real = ragged(60, frames=157)
    features[:, 1] = constant
    normalizer = Normalizer(mode, 3)
    normalizer.fit([(features, real)])
    scaled = normalizer(features, real)
    assert scaled[:, 1].abs().max() <= 1e-6 * max(1, abs(constant))
    assert scaled[:, 0].std() > 0.1
    if mode == "standard":
        assert normalizer.std[1] == 1
        features[:, 1] += 2
        assert normalizer(features, real)[0, 1, 0] == pytest.approx(2, rel=1e-3)


def test_a_row_that_hardly_changes_is_scaled_all_the_same() -> None:
    features, real = ragged(60)
    features[:, 1] = 1e-4 * torch.randn(60, 20)
    assert fitted(features, real)(features, real)[:, 1].std() > 0.5


def test_clip_mode_scales_each_clip_by_its_own_frames() -> None:
    features, real = ragged(12)
    real = real.clamp_min(2)
    scaled = Normalizer("clip", 3)(features, real)
    for part, raw in zip(real_parts(scaled, real), real_parts(features, real), strict=True):
        expected = (raw - raw.mean(1, keepdims=True)) / raw.std(1, keepdims=True)
        np.testing.assert_allclose(part, expected, atol=2e-4)
    for clip, end in zip(scaled, real.tolist(), strict=True):
        assert not clip[:, end:].any()


def test_clip_mode_does_not_look_at_other_clips_or_at_the_fit() -> None:
    features, real = ragged()
    normalizer = Normalizer("clip", 3)
    before = normalizer(features, real)
    normalizer.fit([ragged(3, seed=4)])
    assert torch.equal(normalizer(features, real), before)
    assert torch.equal(normalizer(features[2:3], real[2:3]), before[2:3])


def test_a_clip_of_one_frame_is_only_centred_in_clip_mode() -> None:
    features, _ = ragged(2)
    assert not Normalizer("clip", 3)(features, torch.tensor([1, 1])).any()


def test_none_passes_everything_through() -> None:
    features, real = ragged()
    normalizer = Normalizer("none", 3)
    normalizer.fit([(features, real)])
    assert torch.equal(normalizer(features, real), features)


@pytest.mark.parametrize("mode", ["", "minmax", "Standard"])
def test_no_normalisation_of_that_name(mode: str) -> None:
    with pytest.raises(FeatureError, match="must be one of none, standard, clip"):
        Normalizer(mode, 3)
    with pytest.raises(FeatureError, match="must be one of none, standard, clip"):
        Frontend(FeatureConfig(normalize=mode), 16_000)


def test_the_state_carries_the_fit() -> None:
    features, real = ragged()
    normalizer = fitted(features, real)
    other = Normalizer("standard", 3)
    other.load_state_dict(normalizer.state_dict())
    assert torch.equal(other(features, real), normalizer(features, real))


def frontend(length: int = 12_000, **numbers: Any) -> Frontend:
    return Frontend(FeatureConfig(**numbers), length)


def clips(count: int, length: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Waveforms of unlike loudness and lengths, one of them silent."""
    generator = torch.Generator().manual_seed(seed)
    loudness = 10 ** (-4 * torch.rand(count, 1, generator=generator))
    waveforms = loudness * torch.randn(count, length, generator=generator).clamp(-1, 1)
    lengths = torch.randint(1600, length + 1, (count,), generator=generator)
    waveforms *= torch.arange(length) < lengths[:, None]
    waveforms[count // 2] = 0
    return waveforms, lengths


@pytest.mark.parametrize("names", NAME_SETS, ids="_".join)
@pytest.mark.parametrize("length", [1600, 12_345])
def test_a_clip_has_exactly_the_same_features_in_any_batch(names: list[str], length: int) -> None:
    waveforms, lengths = clips(7, length)
    module = frontend(length, names=names)
    together = module.extract(waveforms, lengths)
    for clip, real, expected in zip(waveforms, lengths, together, strict=True):
        assert torch.equal(module.extract(clip[None], real[None])[0], expected)
    assert torch.equal(module.extract(waveforms.flip(0), lengths.flip(0)).flip(0), together)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("names", NAME_SETS, ids="_".join)
def test_a_device_gives_the_features_of_a_cpu(names: list[str], device: str) -> None:
    waveforms, lengths = clips(7, 12_345)
    module = frontend(12_345, names=names)
    expected = module.extract(waveforms, lengths)
    found = module.to(device).extract(waveforms.to(device), lengths.to(device))
    assert found.device.type == device
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("names", NAME_SETS, ids="_".join)
def test_more_threads_change_not_one_digit(names: list[str]) -> None:
    waveforms, lengths = clips(7, 12_345)
    module = frontend(12_345, names=names)
    by_one = module.extract(waveforms, lengths)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert torch.equal(module.extract(waveforms, lengths), by_one)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("names", NAME_SETS, ids="_".join)
@pytest.mark.parametrize("numbers", [{}, {"hop_length": 100, "frame_length": 3000}, {"pad_mode": "reflect"}], ids=str)
def test_padding_that_is_left_out_changes_nothing(names: list[str], numbers: dict[str, Any]) -> None:
    module = frontend(30_000, names=names, **numbers)
    lengths = torch.tensor([1600, 5119, 5120, 5121, 14_000, 28_900, 29_000, 30_000])
    waveforms = torch.randn(len(lengths), 30_000, generator=torch.Generator().manual_seed(3)).clamp(-1, 1)
    waveforms *= torch.arange(30_000) < lengths[:, None]
    torch.testing.assert_close(module.extract(waveforms, lengths), module.features(waveforms), rtol=1e-5, atol=1e-4)


@settings(deadline=None, max_examples=15)
@given(order=st.permutations(range(9)), size=st.integers(1, 9))
def test_order_and_company_change_nothing(order: list[int], size: int) -> None:
    waveforms, lengths = clips(9, 4000)
    module = frontend(4000, names=["mel"])
    module.normalizer.fit([(module.extract(waveforms, lengths), module.real_frames(lengths))])
    expected = module(waveforms, lengths)
    picked = torch.tensor(order[:size])
    assert torch.equal(module(waveforms[picked], lengths[picked]), expected[picked])


@pytest.mark.parametrize("names", NAME_SETS, ids="_".join)
@pytest.mark.parametrize("normalize", ["none", "standard", "clip"])
def test_forward_is_extract_then_normalise_then_arrange(names: list[str], normalize: str) -> None:
    waveforms, lengths = clips(6, 6000)
    module = frontend(6000, names=names, normalize=normalize)
    features, real = module.extract(waveforms, lengths), module.real_frames(lengths)
    module.normalizer.fit([(features, real)])
    out = module(waveforms, lengths)
    assert torch.equal(out, module.arrange(module.normalizer(features, real)))
    assert out.shape == (6, *module.input_shape)
    assert torch.isfinite(out).all()


@pytest.mark.parametrize(
    ("names", "shape"),
    [
        (["mel"], (1, 128, 157)),
        (["mfcc2d"], (1, 64, 157)),
        (["mfcc"], (1, 157)),
        (["rolloff"], (1, 157)),
        (["energy", "zcr"], (1, 314)),
        (["mfcc", "energy", "zcr"], (1, 471)),
    ],
    ids=str,
)
def test_shapes_at_the_length_of_crema_d(names: list[str], shape: tuple[int, ...]) -> None:
    module = frontend(80_080, names=names)
    assert module.input_shape == shape
    assert module(torch.zeros(1, 80_080), torch.tensor([80_080])).shape == (1, *shape)


@pytest.mark.parametrize("names", [["energy", "zcr"], ["zcr", "energy"], ["mfcc", "energy", "zcr"]], ids="_".join)
def test_joined_features_follow_each_other_along_time(names: list[str]) -> None:
    waveforms, lengths = clips(5, 80_080)
    together = frontend(80_080, names=names, normalize="none")(waveforms, lengths)
    apart = [frontend(80_080, names=[name], normalize="none")(waveforms, lengths) for name in names]
    assert torch.equal(together, torch.cat(apart, dim=2))
    assert together.shape == (5, 1, 157 * len(names))


def test_joined_features_are_normalised_each_by_itself() -> None:
    waveforms, lengths = clips(8, 9000)
    modules = [frontend(9000, names=names) for names in (["energy", "zcr"], ["energy"], ["zcr"])]
    for module in modules:
        module.normalizer.fit([(module.extract(waveforms, lengths), module.real_frames(lengths))])
    together, *apart = (module(waveforms, lengths) for module in modules)
    torch.testing.assert_close(together, torch.cat(apart, dim=2))


def test_arrange_puts_rows_one_after_the_other() -> None:
    features = torch.arange(12.0).view(2, 2, 3)
    assert torch.equal(frontend(names=["energy", "zcr"]).arrange(features), torch.arange(12.0).view(2, 1, 6))
    assert torch.equal(frontend(names=["mel"]).arrange(features), features.unsqueeze(1))


def test_real_frames_are_centred_no_later_than_the_clips_end() -> None:
    lengths = torch.tensor([1600, 5119, 5120, 5121, 12_000])
    assert frontend().real_frames(lengths).tolist() == [4, 10, 11, 11, 24]
    assert frontend(hop_length=160).real_frames(lengths).tolist() == [11, 32, 33, 33, 76]
    assert frontend().real_frames(torch.tensor([12_000])).item() == frontend().features.frames(12_000)


def test_padding_says_nothing_whatever_its_length() -> None:
    waveforms, lengths = clips(6, 8000)
    longer = torch.nn.functional.pad(waveforms, (0, 8000))
    short, long = frontend(8000, names=["mel"]), frontend(16_000, names=["mel"])
    for module, some in ((short, waveforms), (long, longer)):
        module.normalizer.fit([(module.extract(some, lengths), module.real_frames(lengths))])
    tight, loose = short(waveforms, lengths), long(longer, lengths)
    for clip, real in zip(range(6), short.real_frames(lengths).tolist(), strict=True):
        torch.testing.assert_close(tight[clip, ..., :real], loose[clip, ..., :real], rtol=0, atol=1e-4)
        assert not tight[clip, ..., real:].any()
        assert not loose[clip, ..., real:].any()


class RunningEnergy(Energy):
    """Energy, averaged over all frames so far: what follows a clip depends on all of it."""

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__(config)
        self.reach = None

    def forward(self, waveforms: Tensor) -> Tensor:
        energy = super().forward(waveforms)
        return energy.cumsum(2) / torch.arange(1, energy.shape[2] + 1)


@pytest.mark.parametrize("names", [["running"], ["zcr", "running"]])
def test_a_feature_that_is_not_local_is_computed_over_the_padding_as_well(
    monkeypatch: pytest.MonkeyPatch, names: list[str]
) -> None:
    monkeypatch.setitem(FEATURES, "running", RunningEnergy)
    waveforms = 0.1 * torch.randn(2, 40_000)
    waveforms[0, 9_000:] = 0
    lengths = torch.tensor([9_000, 40_000])
    module = frontend(40_000, names=names)
    assert module.features.reach is None
    assert torch.equal(module.extract(waveforms, lengths), module.features(waveforms))
    module.features.reach = 1024
    assert not torch.equal(module.extract(waveforms, lengths), module.features(waveforms)), "the contract matters"

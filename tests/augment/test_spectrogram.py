import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ser.augment import Augment, SpecAugment
from ser.augment.spectrogram import OFF
from tests.helpers import DEVICES

ROWS, FRAMES = 16, 40

EVERYTHING: dict[str, Any] = {
    "crop_frames": 20,
    "shift_share": 0.5,
    "time_warp": 0.2,
    "frequency_warp": 0.1,
    "level_db": 6.0,
    "frequency_masks": 2,
    "time_masks": 2,
    "mixup": 1.0,
}


def ones(batch: int = 200, rows: int = ROWS, frames: int = FRAMES) -> Tensor:
    return torch.ones(batch, rows, frames)


def numbered(batch: int = 5, rows: int = 3, frames: int = FRAMES) -> Tensor:
    """Features no two of which are alike, and none 0."""
    return torch.arange(1.0, batch * rows * frames + 1).view(batch, rows, frames)


def training(**options: Any) -> Callable[[Tensor], Tensor]:
    return partial(applied, SpecAugment(**options).train())


def applied(augment: SpecAugment, features: Tensor, real: list[int] | None = None) -> Tensor:
    """On clips without padding, or with ``real`` frames each; one decibel is 0.5 in the features."""
    ends = torch.tensor(real or [features.shape[2]] * len(features), device=features.device)
    out: Tensor = augment(features, ends, torch.full((features.shape[1], 1), 0.5, device=features.device))
    return out


def shifted(features: Tensor, by: list[int]) -> Tensor:
    """What a shift should give, the slow way."""
    out = torch.zeros_like(features)
    frames = features.shape[2]
    for clip, steps in enumerate(by):
        for frame in range(frames):
            if 0 <= frame - steps < frames:
                out[clip, :, frame] = features[clip, :, frame - steps]
    return out


def test_nothing_happens_outside_training() -> None:
    features = numbered()
    augment = SpecAugment(**{**EVERYTHING, "frequency_share": 0.9, "time_share": 0.9}).eval()
    assert torch.equal(applied(augment, features), features)
    assert all(map(torch.equal, augment.mix(features, features[:, 0]), (features, features[:, 0])))


@pytest.mark.parametrize("device", DEVICES)
def test_all_of_it_happens_on_the_device(device: str) -> None:
    features, targets = numbered().to(device), torch.eye(5, device=device)
    augment = SpecAugment(**{**EVERYTHING, "crop_frames": None}).train()
    torch.manual_seed(0)
    mixed, soft = augment.mix(applied(augment, features, [40, 30, 20, 10, 1]), targets)
    assert mixed.device.type == soft.device.type == device
    assert mixed.isfinite().all()
    assert not torch.equal(mixed, features)
    torch.testing.assert_close(soft.sum(1), torch.ones(5, device=device))


def test_nothing_happens_by_default() -> None:
    features = numbered()
    assert not SpecAugment().active
    assert torch.equal(training()(features), features)


@pytest.mark.parametrize(
    "options",
    [
        {"shift_share": 0.1},
        {"frequency_masks": 1},
        {"time_masks": 1},
        {"crop_frames": 9},
        {"time_warp": 0.1},
        {"frequency_warp": 0.1},
        {"level_db": 3.0},
        {"mixup": 0.5},
    ],
)
def test_one_option_makes_it_active(options: dict[str, Any]) -> None:
    assert SpecAugment(**options).active


def test_what_does_not_happen_draws_nothing() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    training()(numbered())
    applied(SpecAugment(**EVERYTHING).eval(), numbered())
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("by", [[0, 1, -1, 20, -20], [19, -19, 3, 0, -7]])
def test_a_shift_moves_whole_frames_and_fills_with_zero(monkeypatch: pytest.MonkeyPatch, by: list[int]) -> None:
    bounds = []

    def drawn(low: int, high: int, size: tuple[int, int], device: torch.device) -> Tensor:
        bounds.append((low, high, size))
        return torch.tensor(by, device=device)[:, None]

    monkeypatch.setattr(torch, "randint", drawn)
    features = numbered()
    assert torch.equal(training(shift_share=0.5)(features), shifted(features, by))
    assert bounds == [(-20, 21, (5, 1))]


def test_every_shift_up_to_the_share_is_drawn_and_none_beyond() -> None:
    torch.manual_seed(0)
    features = numbered(1)
    possible = shifted(features.expand(21, -1, -1), list(range(-10, 11)))
    out = training(shift_share=0.1)(features.expand(500, -1, -1))
    clips, which = torch.nonzero((out[:, None] == possible).all((2, 3)), as_tuple=True)
    assert torch.equal(clips, torch.arange(500))
    assert set((which - 10).tolist()) == set(range(-4, 5))


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), share=st.floats(0, 1), frames=st.integers(1, 50), rows=st.integers(1, 4))
def test_any_shift_is_a_shift(seed: int, share: float, frames: int, rows: int) -> None:
    torch.manual_seed(seed)
    features = numbered(3, rows, frames)
    most = int(share * frames)
    for clip, out in zip(features, training(shift_share=share)(features), strict=True):
        assert any(torch.equal(out, shifted(clip[None], [by])[0]) for by in range(-most, most + 1))


def widths_of_runs(gone: Tensor) -> list[int]:
    """Lengths of the runs of True."""
    widths, width = [], 0
    for one in [*gone.tolist(), False]:
        if one:
            width += 1
        elif width:
            widths.append(width)
            width = 0
    return widths


@pytest.mark.parametrize("share", [0.125, 0.5])
def test_a_frequency_mask_takes_whole_neighbouring_rows_up_to_its_share(share: float) -> None:
    torch.manual_seed(0)
    seen = set()
    for clip in training(frequency_masks=1, frequency_share=share)(ones()):
        gone = (clip == 0).all(1)
        assert torch.equal(clip, (~gone).float()[:, None].expand(ROWS, FRAMES))
        runs = widths_of_runs(gone)
        assert len(runs) <= 1
        seen.add(sum(runs))
    assert 0 < max(seen) <= share * ROWS
    assert 0 in seen


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_time_mask_takes_whole_neighbouring_frames_up_to_its_share(share: float) -> None:
    torch.manual_seed(0)
    seen = set()
    for clip in training(time_masks=1, time_share=share)(ones()):
        gone = (clip == 0).all(0)
        assert torch.equal(clip, (~gone).float().expand(ROWS, FRAMES))
        runs = widths_of_runs(gone)
        assert len(runs) <= 1
        seen.add(sum(runs))
    assert 1 < max(seen) <= share * FRAMES
    assert 0 in seen


def test_masks_reach_every_place_and_leave_the_rest_as_it_was() -> None:
    torch.manual_seed(0)
    features = numbered(1, ROWS).expand(800, -1, -1)
    out = training(frequency_masks=2, time_masks=2)(features)
    assert (((out == 0) | (out == features)).all()).item()
    # torchaudio's masks end one short of the last row and of the last frame.
    assert (out[:, :-1, :-1] == 0).any(0).all()


def test_two_masks_take_more_than_one_can() -> None:
    torch.manual_seed(0)
    gone = (training(time_masks=2, time_share=0.25)(ones(500)) == 0)[:, 0].sum(1)
    assert 10 < gone.max() <= 20
    assert max(len(widths_of_runs(clip[0] == 0)) for clip in training(time_masks=2)(ones(300))) == 2


@pytest.mark.parametrize(
    "options",
    [{"shift_share": 0.5}, {"frequency_masks": 1, "frequency_share": 0.5}, {"time_masks": 1, "time_share": 0.5}],
)
def test_each_clip_is_drawn_by_itself(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    features = numbered(1, ROWS).expand(64, -1, -1)
    out = training(**options)(features)
    assert len({tuple(clip.flatten().tolist()) for clip in out}) > 3
    assert not torch.equal(out[0], out[1]) or not torch.equal(out[1], out[2])


def test_the_seed_draws_it_and_the_next_time_is_another() -> None:
    augment = training(shift_share=0.25, frequency_masks=2, time_masks=2)
    features = numbered(8, ROWS)
    torch.manual_seed(1)
    first, second = augment(features), augment(features)
    torch.manual_seed(1)
    assert torch.equal(augment(features), first)
    assert not torch.equal(first, second)


def test_what_comes_in_stays_as_it_is() -> None:
    features = numbered(8, ROWS)
    before = features.clone()
    out = training(shift_share=0.25, frequency_masks=2, time_masks=2)(features)
    assert torch.equal(features, before)
    assert out.shape == features.shape
    assert out.dtype == features.dtype


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_1d_features_never_lose_a_row(rows: int) -> None:
    torch.manual_seed(0)
    features = ones(300, rows)
    assert torch.equal(training(frequency_masks=2)(features), features)


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_1d_features_never_lose_a_row_to_a_larger_share(rows: int, share: float) -> None:
    torch.manual_seed(0)
    features = ones(300, rows)
    assert torch.equal(training(frequency_masks=3, frequency_share=share)(features), features)


def test_shares_below_one_frame_change_nothing() -> None:
    features = numbered(frames=7)
    assert torch.equal(training(shift_share=0.1, time_masks=2, time_share=0.1)(features), features)


@pytest.mark.parametrize(
    "name", ["shift_share", "time_warp", "frequency_warp", "frequency_share", "time_share", "mixup"]
)
@pytest.mark.parametrize("share", [-0.01, 1.01, float("nan")])
def test_a_share_is_between_0_and_1(name: str, share: float) -> None:
    with pytest.raises(ValueError, match=f"augment.spec.{name}={share} must lie between 0 and 1"):
        SpecAugment(**{name: share})


@pytest.mark.parametrize("name", ["frequency_masks", "time_masks"])
def test_no_fewer_masks_than_none(name: str) -> None:
    with pytest.raises(ValueError, match=f"augment.spec.{name}=-1 must be 0 or more"):
        SpecAugment(**{name: -1})


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("crop_frames", 0),
        ("time_warp", 1.0),
        ("level_db", -1.0),
        ("level_db", float("inf")),
        ("mixup_alpha", 0.0),
        ("mixup_alpha", float("nan")),
    ],
)
def test_a_number_out_of_its_range_is_refused(option: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"augment\.spec\.{option}={value}"):
        SpecAugment(**{option: value})


def test_a_crop_is_a_piece_of_the_clip_drawn_from_its_real_frames() -> None:
    torch.manual_seed(0)
    features = numbered(1).expand(400, -1, -1) * (torch.arange(FRAMES) < 30)
    out = applied(SpecAugment(crop_frames=12).train(), features, [30] * 400)
    pieces = features[0].unfold(1, 12, 1).transpose(0, 1)[:19]
    assert out.shape == (400, 3, 12)
    which = ((out[:, None] - pieces).abs().amax((2, 3)) < 1e-3).float()
    assert which.sum(1).eq(1).all()
    assert set(which.argmax(1).tolist()) == set(range(19))


def test_a_clip_shorter_than_the_crop_stays_whole_and_no_longer_than_it_is() -> None:
    features = numbered() * (torch.arange(FRAMES) < 8)
    out = applied(SpecAugment(crop_frames=12).train(), features, [8] * 5)
    torch.testing.assert_close(out, features[:, :, :12], rtol=0, atol=1e-3)
    torch.testing.assert_close(applied(SpecAugment(crop_frames=500).train(), features, [8] * 5), features)


def drawn_once(monkeypatch: pytest.MonkeyPatch, value: float) -> None:
    """Draw ``value``, 0 to 1, whatever is drawn."""
    monkeypatch.setattr(torch, "rand", lambda *size, device=None: torch.full(size, value, device=device))


@pytest.mark.parametrize(("value", "speed"), [(1.0, 1.25), (0.0, 0.75), (0.5, 1.0)])
def test_a_time_warp_plays_a_clip_at_another_speed(monkeypatch: pytest.MonkeyPatch, value: float, speed: float) -> None:
    drawn_once(monkeypatch, value)
    # A ramp: every frame says when it was heard.
    features = torch.arange(1.0, FRAMES + 1).expand(2, 3, -1) * (torch.arange(FRAMES) < 20)
    out = applied(SpecAugment(time_warp=0.25).train(), features, [20, 20])
    start = value * max(19 - speed * (FRAMES - 1), 0)
    heard = start + speed * torch.arange(FRAMES)
    torch.testing.assert_close(out[0, 0], torch.where(heard <= 19, heard + 1, 0), rtol=0, atol=1e-4)


@pytest.mark.parametrize(("value", "stretch"), [(1.0, 1.1), (0.0, 0.9), (0.5, 1.0)])
def test_a_frequency_warp_stretches_the_rows(monkeypatch: pytest.MonkeyPatch, value: float, stretch: float) -> None:
    drawn_once(monkeypatch, value)
    features = torch.arange(1.0, ROWS + 1).view(1, -1, 1).expand(2, -1, FRAMES)
    out = training(frequency_warp=0.1)(features)
    expected = (1 + stretch * torch.arange(ROWS)).clamp_max(ROWS)
    torch.testing.assert_close(out[0], expected.unsqueeze(1).expand(-1, FRAMES), rtol=0, atol=1e-4)


def test_a_level_raises_every_real_number_by_as_many_decibels() -> None:
    torch.manual_seed(0)
    features = numbered(300) * (torch.arange(FRAMES) < 30)
    out = applied(SpecAugment(level_db=6.0).train(), features, [30] * 300)
    risen = (out - features)[:, :, :30]
    by = risen.mean((1, 2)) / 0.5
    torch.testing.assert_close(risen, (0.5 * by).view(-1, 1, 1).expand_as(risen), rtol=0, atol=0.05)
    assert -6 <= by.min() < -5
    assert 5 < by.max() <= 6
    assert not out[:, :, 30:].any()


def test_mixup_mixes_features_and_targets_alike_and_each_clip_by_itself() -> None:
    torch.manual_seed(0)
    targets = torch.eye(8)
    features = targets.unsqueeze(2).expand(-1, -1, 4)  # a clip's features are its own target
    mixed, soft = SpecAugment(mixup=1.0, mixup_alpha=0.4).train().mix(features, targets)
    torch.testing.assert_close(mixed, soft.unsqueeze(2).expand(-1, -1, 4))
    torch.testing.assert_close(soft.sum(1), torch.ones(8))
    own = soft.diagonal()
    assert (own >= 0.5).all()
    assert len(own.unique()) > 4
    assert ((soft > 0).sum(1) <= 2).all()


def test_mixup_happens_as_often_as_it_says() -> None:
    torch.manual_seed(0)
    count = 4000
    _, soft = (
        SpecAugment(mixup=0.3, mixup_alpha=1.0).train().mix(torch.zeros(count, 1, 1), torch.eye(2).repeat(2000, 1))
    )
    # A clip that meets one of its own class, which half do, looks unmixed.
    assert (soft.amax(1) < 1).float().mean().item() == pytest.approx(0.15, abs=0.03)


def test_the_shares_of_mixup_follow_the_beta_distribution() -> None:
    torch.manual_seed(0)
    count = 2000
    _, soft = SpecAugment(mixup=1.0, mixup_alpha=1.0).train().mix(torch.zeros(count, 1, 1), torch.eye(count))
    own = soft.diagonal()
    # max(x, 1 - x) of a uniform x has the mean 3/4.
    assert own.mean().item() == pytest.approx(0.75, abs=0.02)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), frames=st.integers(1, 50), rows=st.integers(1, 20), data=st.data())
def test_everything_at_once_is_finite_and_leaves_padding_silent(
    seed: int, frames: int, rows: int, data: st.DataObject
) -> None:
    torch.manual_seed(seed)
    real = data.draw(st.lists(st.integers(1, frames), min_size=3, max_size=3))
    features = torch.randn(3, rows, frames) * (torch.arange(frames) < torch.tensor(real).view(-1, 1, 1))
    options = {**EVERYTHING, "shift_share": 0.0, "time_warp": 0.0, "crop_frames": None}
    out = applied(SpecAugment(**options).train(), features, real)
    assert out.isfinite().all()
    for clip, end in zip(out, real, strict=True):
        assert not clip[:, end:].any()
    assert applied(SpecAugment(**EVERYTHING).train(), features, real).isfinite().all()


def test_each_effect_that_is_on_stands_alone_and_happens_to_every_clip() -> None:
    wave = {"noise": {"chance": 0.1, "snr_low_db": 3.0}, "gain": {"chance": 0.2}, "speed": {"chance": 0.0}}
    spec = {"time_masks": 1, "time_share": 0.5, "mixup": 0.1, "mixup_alpha": 9.0, "level_db": 0.0}
    found = Augment(16_000, wave, spec).each()
    assert list(found) == ["augment.wave.noise", "augment.wave.gain", "augment.spec.time_masks", "augment.spec.mixup"]
    noise, _, masks, mixup = found.values()
    assert {name: effect.chance for name, effect in noise.wave.effects.items()} == {"noise": 1.0}
    assert noise.wave.effects["noise"].snr_low_db == 3.0
    assert not noise.spec.active
    assert masks.spec.masks == [(3, 0.5)]
    assert not masks.spec.mixup
    assert (mixup.spec.mixup, mixup.spec.mixup_alpha, mixup.spec.masks) == (1.0, 9.0, [])
    assert not Augment(16_000).each()


def test_what_turns_an_effect_off_is_its_default() -> None:
    assert SpecAugment(**OFF).active is SpecAugment().active is False
    defaults = inspect.signature(SpecAugment).parameters
    assert {name: defaults[name].default for name in OFF} == OFF

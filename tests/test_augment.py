from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ser.augment import Augment

ROWS, FRAMES = 16, 40


def ones(batch: int = 200, rows: int = ROWS, frames: int = FRAMES) -> Tensor:
    return torch.ones(batch, rows, frames)


def numbered(batch: int = 5, rows: int = 3, frames: int = FRAMES) -> Tensor:
    """Features no two of which are alike, and none 0."""
    return torch.arange(1.0, batch * rows * frames + 1).view(batch, rows, frames)


def training(**options: Any) -> Augment:
    return Augment(**options).train()


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
    augment = Augment(shift_share=0.5, frequency_masks=2, time_masks=2, frequency_share=0.9, time_share=0.9).eval()
    assert torch.equal(augment(features), features)


def test_nothing_happens_by_default() -> None:
    features = numbered()
    assert not Augment().active
    assert torch.equal(training()(features), features)


@pytest.mark.parametrize("options", [{"shift_share": 0.1}, {"frequency_masks": 1}, {"time_masks": 1}])
def test_one_option_makes_it_active(options: dict[str, Any]) -> None:
    assert Augment(**options).active


def test_what_does_not_happen_draws_nothing() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    training()(numbered())
    Augment(shift_share=0.5, time_masks=1).eval()(numbered())
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


@pytest.mark.parametrize("name", ["shift_share", "frequency_share", "time_share"])
@pytest.mark.parametrize("share", [-0.01, 1.01, float("nan")])
def test_a_share_is_between_0_and_1(name: str, share: float) -> None:
    with pytest.raises(ValueError, match=f"augment.{name}={share} must lie between 0 and 1"):
        Augment(**{name: share})


@pytest.mark.parametrize("name", ["frequency_masks", "time_masks"])
def test_no_fewer_masks_than_none(name: str) -> None:
    with pytest.raises(ValueError, match=f"augment.{name}=-1 must be 0 or more"):
        Augment(**{name: -1})

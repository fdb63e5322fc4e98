from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ser.data.samplers import EpochSampler, dealt, share_of
from ser.errors import UserError


def order(sampler: EpochSampler, epoch: int) -> list[int]:
    sampler.set_epoch(epoch)
    return list(sampler)


def steps(sampler: EpochSampler, epoch: int) -> list[list[int]]:
    """What a loader makes of it."""
    clips = order(sampler, epoch)
    return [clips[start : start + sampler.share] for start in range(0, len(clips), sampler.share)]


def test_the_sampler_gives_a_permutation_that_seed_and_epoch_alone_decide() -> None:
    sampler = EpochSampler(50, seed=1)
    assert len(sampler) == 50
    first, second = order(sampler, 0), order(sampler, 1)
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second
    torch.manual_seed(99)
    assert order(sampler, 0) == order(EpochSampler(50, seed=1), 0) == first
    assert order(EpochSampler(50, seed=2), 0) != first


def test_the_sampler_draws_nothing_from_the_global_generator() -> None:
    state = torch.get_rng_state()
    order(EpochSampler(10, seed=1), 3)
    assert torch.equal(torch.get_rng_state(), state)


@st.composite
def deals(draw: st.DrawFn) -> tuple[int, int, int]:
    """Clips, clips a step, and processes to which at least one step can be dealt out."""
    ranks = draw(st.integers(1, 8))
    share = draw(st.integers(1, 12))
    return draw(st.integers(2 * ranks, 300)), share * ranks, ranks


@given(deals(), st.integers(0, 2**32 - 1), st.integers(0, 50))
def test_all_processes_together_take_the_steps_of_one(deal: tuple[int, int, int], seed: int, epoch: int) -> None:
    size, batch_size, ranks = deal
    alone = steps(EpochSampler(size, seed, batch_size), epoch)
    samplers = [EpochSampler(size, seed, batch_size, rank, ranks) for rank in range(ranks)]
    shares = [steps(sampler, epoch) for sampler in samplers]
    assert [len(sampler) for sampler in samplers] == [sum(map(len, own)) for own in shares]
    assert len({tuple(map(len, own)) for own in shares}) == 1, "each process takes as many clips in each step"
    together = [[clip for own in parts for clip in own] for parts in zip(*shares, strict=True)]
    whole = size // batch_size
    assert together[:whole] == alone[:whole]
    rest = set().union(*map(set, together[whole:]))
    assert rest <= set().union(*map(set, alone[whole:]))
    left_over = size - whole * batch_size
    assert len(rest) == (0 if left_over // ranks == 1 < batch_size // ranks else left_over // ranks * ranks)
    assert max(Counter(clip for step in together for clip in step).values()) == 1, "no clip is seen twice"


@given(deals(), st.integers(0, 2**32 - 1))
def test_no_step_has_a_single_clip_for_a_process_unless_that_was_asked_for(
    deal: tuple[int, int, int], seed: int
) -> None:
    size, batch_size, ranks = deal
    sampler = EpochSampler(size, seed, batch_size, rank=ranks - 1, ranks=ranks)
    assert sampler.share == 1 or all(len(step) > 1 for step in steps(sampler, 0))


def test_the_clips_that_sit_out_change_from_epoch_to_epoch() -> None:
    samplers = [EpochSampler(11, 1, batch_size=4, rank=rank, ranks=4) for rank in range(4)]
    out = [set(range(11)) - {clip for sampler in samplers for clip in order(sampler, epoch)} for epoch in range(40)]
    assert {len(clips) for clips in out} == {3}
    assert set().union(*out) == set(range(11))
    assert max(Counter(clip for clips in out for clip in clips).values()) < 30


@given(st.integers(1, 300), st.integers(1, 16))
def test_every_clip_of_an_evaluation_is_dealt_out_once(size: int, ranks: int) -> None:
    clips = list(range(100, 100 + size))
    if size < ranks:
        with pytest.raises(UserError, match=f"{size} validation or test clips can't be dealt out to {ranks} devices"):
            dealt(clips, 0, ranks)
        return
    shares = [dealt(clips, rank, ranks) for rank in range(ranks)]
    assert sorted(clip for share in shares for clip in share) == clips
    assert all(share == sorted(share) for share in shares)
    assert {len(share) for share in shares} <= {size // ranks, size // ranks + 1}


@given(st.integers(1, 500), st.integers(1, 16))
def test_a_batch_that_cannot_be_dealt_out_evenly_is_refused_with_those_that_can(batch_size: int, ranks: int) -> None:
    if batch_size % ranks == 0:
        assert share_of(batch_size, ranks) * ranks == batch_size
        return
    with pytest.raises(UserError, match=rf"datamodule\.batch_size={batch_size} .* to {ranks} devices") as error:
        share_of(batch_size, ranks)
    offered = [int(word) for word in str(error.value).partition("take ")[2].split(",")[0].split(" or ")]
    assert offered
    assert all(size > 0 and share_of(size, ranks) for size in offered)


def test_too_few_training_clips_for_so_many_processes_are_refused() -> None:
    with pytest.raises(UserError, match="7 training clips can't be dealt out to 4 devices"):
        EpochSampler(7, 1, batch_size=8, rank=0, ranks=4)
    assert len(EpochSampler(8, 1, batch_size=8, rank=0, ranks=4)) == 2

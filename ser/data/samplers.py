"""The clips of an epoch that each process gets, where several train one network together.

Lightning's own samplers repeat clips until every process has as many, also in tests. These repeat none:

- **Training.** ``batch_size`` clips are a step of all processes together, so the recipe is the same on more devices:
  every step has the clips that one process would take, and each process an equal share of them. The rest of an epoch,
  less than a batch, is one smaller step. Clips of it that can't be divided evenly are left out; the next epoch leaves
  out others, because each epoch has an order of its own.
- **Validation and test.** Clip ``i`` goes to process ``i`` modulo their number, so some may have one more than others.
"""

from collections.abc import Iterator

import torch
from torch.utils.data import Sampler

from ser.errors import UserError


class EpochSampler(Sampler[int]):
    """A process's share of a permutation that depends only on the seed and the epoch.

    So a resumed run continues with the same order, and all processes know it without communication.

    Args:
        size: Number of clips to order.
        seed: 0 or more.
        batch_size: Clips per step, of all processes together.
        rank: Number of this process, from 0.
        ranks: Number of processes.

    Raises:
        UserError: The batch, or the clips, can't be divided among this many processes.
    """

    def __init__(self, size: int, seed: int, batch_size: int = 1, rank: int = 0, ranks: int = 1) -> None:
        self.size = size
        self.seed = seed
        self.rank = rank
        self.ranks = ranks
        self.share = share_of(batch_size, ranks)
        self.epoch = 0
        self._whole = size // batch_size * batch_size
        rest = (size - self._whole) // ranks
        self._rest = 0 if rest == 1 and self.share > 1 else rest  # a batch norm can't learn from a single clip
        if ranks > 1 and not len(self):
            raise UserError(f"{size} training clips can't be dealt out to {ranks} devices: take fewer devices")

    def __len__(self) -> int:
        return self._whole // self.ranks + self._rest

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(self.size, generator=generator)
        steps = order[: self._whole].view(-1, self.ranks, self.share)[:, self.rank]
        rest = order[self._whole :][self.rank * self._rest : (self.rank + 1) * self._rest]
        return iter([*steps.flatten().tolist(), *rest.tolist()])

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; Lightning calls this before each one."""
        self.epoch = epoch


def share_of(batch_size: int, ranks: int) -> int:
    """Return the number of clips of a batch that each of ``ranks`` processes gets.

    Raises:
        UserError: ``batch_size`` is not a multiple of ``ranks``; unequal shares would weigh clips unequally.
    """
    if batch_size % ranks:
        below = batch_size // ranks * ranks
        fitting = " or ".join(str(size) for size in (below, below + ranks) if size)
        raise UserError(
            f"datamodule.batch_size={batch_size} clips a step can't be dealt out evenly to {ranks} devices: "
            f"take {fitting}, or another number of devices"
        )
    return batch_size // ranks


def dealt(clips: list[int], rank: int, ranks: int) -> list[int]:
    """Return this process's clips of an evaluation, in order; all processes together have each clip once.

    Raises:
        UserError: There are fewer clips than processes; one without a clip could not take part.
    """
    if len(clips) < ranks:
        raise UserError(f"{len(clips)} validation or test clips can't be dealt out to {ranks} devices: take fewer")
    return clips[rank::ranks]

"""Augmentation of normalised features, on the device, in training only; drawn again for each clip and each epoch."""

import sys
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchaudio.functional import mask_along_axis_iid

from ser.augment.waveform import check_bounds, within
from ser.errors import UserError

ROW_AXIS, FRAME_AXIS = 2, 3

OFF: dict[str, float | None] = {
    "crop_frames": None, "shift_share": 0.0, "time_warp": 0.0, "frequency_warp": 0.0, "level_db": 0.0,
    "frequency_masks": 0, "time_masks": 0, "mixup": 0.0,
}  # fmt: skip
"""Effect → the value that turns it off, which is its default."""


@dataclass(eq=False)
class SpecAugment(nn.Module):
    """Random piece, warps and level, then frequency and time masks (Park et al., 2019, arXiv 1904.08779), then mixup.

    What a shift lets in and a mask takes out is 0, the mean of normalised features, as padding is. All of it goes by
    frames and rows, so it costs no second pass through the features. Draws come from torch's global generator, one for
    each clip.

    Args:
        crop_frames: Train on a random piece of so many frames; None for complete clips. A shorter clip is not cropped.
        shift_share: Largest shift, earlier or later, as a share of the frames.
        time_warp: Play faster or slower by up to this share, pitch kept; 0.1 for 0.9 to 1.1 times the speed.
        frequency_warp: Stretch the rows by up to this share, as another length of vocal tract would stretch the mel
            scale (Jaitly & Hinton, 2013); for ``mel`` and ``logmel``.
        level_db: Louder or softer by up to so many decibels; for ``logmel`` with ``features.normalize=standard`` or
            ``speaker``, because other features have no level.
        frequency_masks: How many masks over rows.
        frequency_share: Each is narrower than this share of the rows; a 1D feature has too few to lose one.
        time_masks: How many masks over frames.
        time_share: Each is narrower than this share of the frames.
        mixup: Probability that a clip is mixed with another of its batch, and so are targets (Zhang et al., 2018,
            arXiv 1710.09412); the share of the clip itself is the larger one.
        mixup_alpha: Both numbers of the beta distribution that the share is drawn from.
    """

    crop_frames: int | None = None
    shift_share: float = within(0.0, 0, 1)
    time_warp: float = within(0.0, 0, 1)
    frequency_warp: float = within(0.0, 0, 1)
    level_db: float = within(0.0, 0, sys.float_info.max, "must be 0 dB or more")
    frequency_masks: int = within(0, 0, sys.maxsize, "must be 0 or more")
    frequency_share: float = within(0.125, 0, 1)
    time_masks: int = within(0, 0, sys.maxsize, "must be 0 or more")
    time_share: float = within(0.125, 0, 1)
    mixup: float = within(0.0, 0, 1)
    mixup_alpha: float = within(0.2, sys.float_info.min, sys.float_info.max, "must be above 0")

    def __post_init__(self) -> None:
        super().__init__()
        check_bounds(self, "augment.spec")
        if self.crop_frames is not None and self.crop_frames < 1:
            raise UserError(f"augment.spec.crop_frames={self.crop_frames} must be at least 1, or null for whole clips")
        if self.time_warp == 1:
            raise UserError(f"augment.spec.time_warp={self.time_warp} would stop time: take less, such as 0.1")
        rows, frames = (ROW_AXIS, self.frequency_share), (FRAME_AXIS, self.time_share)
        self.masks = [rows] * self.frequency_masks + [frames] * self.time_masks
        self.moves = bool(self.crop_frames is not None or self.time_warp or self.frequency_warp)
        self.active = bool(self.moves or self.shift_share or self.level_db or self.masks or self.mixup)

    def forward(self, features: Tensor, real: Tensor, per_decibel: Tensor) -> Tensor:
        """Change normalised features, except for mixup; unchanged outside training.

        Args:
            features: ``(batch, row, frame)``, 0 after each clip's end.
            real: Frames of each clip before its end, ``(batch,)``.
            per_decibel: What one decibel is in normalised features, ``(row, 1)``.

        Returns:
            The same shape, or ``crop_frames`` frames where that is less.
        """
        if not self.training or not self.active:
            return features
        if self.moves:
            features, real = self._move(features, real)
        if self.level_db:
            gain = self.level_db * _either_way(features)
            inside = torch.arange(features.shape[2], device=features.device) < real.view(-1, 1, 1)
            features = features + gain.view(-1, 1, 1) * per_decibel * inside
        # torchaudio draws one mask per clip for rank-4 tensors.
        augmented = self._shift(features).unsqueeze(1)
        for axis, share in self.masks:
            width = int(share * augmented.shape[axis])
            if width:
                augmented = mask_along_axis_iid(augmented, width, mask_value=0.0, axis=axis)
        return augmented.squeeze(1)

    def mix(self, features: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Mix clips with others of their batch; unchanged outside training.

        Args:
            features: ``(batch, row, frame)``.
            targets: Probabilities ``(batch, class)``.
        """
        if not self.training or not self.mixup:
            return features, targets
        alpha = torch.full((len(features),), self.mixup_alpha, device=features.device)
        drawn = torch.distributions.Beta(alpha, alpha).sample()
        mixed = torch.rand_like(drawn) < self.mixup
        share = torch.where(mixed, torch.maximum(drawn, 1 - drawn), 1.0)
        other = torch.randperm(len(features), device=features.device)
        weight = share.view(-1, 1, 1)
        mixed_targets = share.view(-1, 1) * targets + (1 - share).view(-1, 1) * targets[other]
        return weight * features + (1 - weight) * features[other], mixed_targets

    def _move(self, features: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        """Return a warped piece of each clip, and how many of its frames are real; bilinear between frames and rows."""
        batch, rows, frames = features.shape
        length = min(self.crop_frames or frames, frames)
        speed = 1 + self.time_warp * _either_way(features)
        stretch = 1 + self.frequency_warp * _either_way(features)
        start = torch.rand(batch, device=features.device) * (real - 1 - speed * (length - 1)).clamp_min(0)  # (batch,)
        if not self.time_warp:
            start = start.round()
        time = torch.arange(length, device=features.device) * speed[:, None] + start[:, None]  # (batch, frame)
        real_after = ((real - 1 - start) / speed).floor().clamp(0, length - 1).long() + 1
        row = torch.arange(rows, device=features.device) * stretch[:, None]  # (batch, row)
        # Places (batch, row, frame): -1 is the first and 1 the last; a single row or frame has only 0.
        across = (2 * torch.minimum(time, real[:, None] - 1) / max(frames - 1, 1) - 1)[:, None].expand(-1, rows, -1)
        along = (2 * row / max(rows - 1, 1) - 1)[:, :, None].expand(-1, -1, length)
        moved = F.grid_sample(
            features.unsqueeze(1), torch.stack([across, along], 3), padding_mode="border", align_corners=True
        ).squeeze(1)  # (batch, row, frame)
        inside = torch.arange(length, device=features.device) < real_after.view(-1, 1, 1)
        return moved * inside, real_after

    def _shift(self, features: Tensor) -> Tensor:
        batch, rows, frames = features.shape
        most = int(self.shift_share * frames)
        if not most:
            return features
        by = torch.randint(-most, most + 1, (batch, 1), device=features.device)
        source = torch.arange(frames, device=features.device) - by
        inside = (source >= 0) & (source < frames)
        shifted = features.gather(2, source.clamp(0, frames - 1).unsqueeze(1).expand(-1, rows, -1))
        return shifted * inside.unsqueeze(1)


def ends(features: Tensor) -> Tensor:
    """Count frames of augmented clips ``(batch,)`` up to the last that is not 0: a mask at the end makes padding.

    Args:
        features: Normalised features ``(batch, row, frame)``.
    """
    place = torch.arange(1, features.shape[2] + 1, device=features.device)
    return ((features != 0).any(1) * place).amax(1)


def _either_way(features: Tensor) -> Tensor:
    """Draw a number between -1 and 1 for each clip, ``(batch,)``."""
    return torch.rand(len(features), device=features.device) * 2 - 1

"""Augmentation of normalised features, on the device, in training only; drawn anew for each clip and each epoch."""

import torch
from torch import Tensor, nn
from torchaudio.functional import mask_along_axis_iid

from ser.errors import UserError

ROW_AXIS, FRAME_AXIS = 2, 3


class Augment(nn.Module):
    """Random time shift, then frequency and time masks (SpecAugment, Park et al., 2019, arXiv 1904.08779).

    What a shift lets in and a mask takes out is 0, the mean of normalised features, as padding is. A shift goes by
    whole frames, so it costs no second pass through the features. Draws come from torch's global generator.

    Args:
        shift_share: Largest shift, earlier or later, as a share of the frames.
        frequency_masks: How many masks over rows.
        frequency_share: Each is narrower than this share of the rows; a 1D feature has too few to lose one.
        time_masks: How many masks over frames.
        time_share: Each is narrower than this share of the frames.
    """

    def __init__(
        self,
        shift_share: float = 0.0,
        frequency_masks: int = 0,
        frequency_share: float = 0.125,
        time_masks: int = 0,
        time_share: float = 0.125,
    ) -> None:
        super().__init__()
        shares = {"shift_share": shift_share, "frequency_share": frequency_share, "time_share": time_share}
        for name, share in shares.items():
            if not 0 <= share <= 1:
                raise UserError(f"augment.{name}={share} must lie between 0 and 1")
        for name, count in {"frequency_masks": frequency_masks, "time_masks": time_masks}.items():
            if count < 0:
                raise UserError(f"augment.{name}={count} must be 0 or more")
        self.shift_share = shift_share
        self.masks = [(ROW_AXIS, frequency_share)] * frequency_masks + [(FRAME_AXIS, time_share)] * time_masks
        self.active = bool(shift_share or self.masks)

    def forward(self, features: Tensor) -> Tensor:
        """``(batch, row, frame)``, normalised → the same shape; unchanged outside training."""
        if not self.training or not self.active:
            return features
        # torchaudio draws one mask a clip for rank-4 tensors.
        augmented = self._shift(features).unsqueeze(1)
        for axis, share in self.masks:
            width = int(share * augmented.shape[axis])
            if width:
                augmented = mask_along_axis_iid(augmented, width, mask_value=0.0, axis=axis)
        return augmented.squeeze(1)

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

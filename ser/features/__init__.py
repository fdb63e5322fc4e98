"""Waveforms ``(batch, time)`` → features, as ``nn.Module``s over torchaudio."""

from ser.features.config import FeatureConfig
from ser.features.frontend import DIMENSIONS, Frontend, Normalizer, check_length, features_of
from ser.features.pretrained import PRETRAINED, HiddenStates, Pretrained, WeightsError
from ser.features.transforms import FEATURES, FeatureError, FeatureSet

__all__ = [
    "DIMENSIONS", "FEATURES", "PRETRAINED", "FeatureConfig", "FeatureError", "FeatureSet", "Frontend", "HiddenStates",
    "Normalizer", "Pretrained", "WeightsError", "check_length", "features_of",
]  # fmt: skip

"""Waveforms ``(batch, time)`` → features, as ``nn.Module``s over torchaudio."""

from ser.features.config import FeatureConfig
from ser.features.frontend import Frontend, Normalizer
from ser.features.transforms import FEATURES, FeatureError, FeatureSet

__all__ = ["FEATURES", "FeatureConfig", "FeatureError", "FeatureSet", "Frontend", "Normalizer"]

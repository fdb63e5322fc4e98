"""Waveforms ``(batch, time)`` → features, as ``nn.Module``s over torchaudio."""

from ser.features.config import FeatureConfig
from ser.features.frontend import DIMENSIONS, Frontend, Normalizer, check_length, features_of
from ser.features.hidden_states import HiddenStates, WeightsError
from ser.features.pretrained import PRETRAINED, Pretrained, pretrained_network
from ser.features.transforms import FEATURES, FeatureError, FeatureSet
from ser.features.voices import Moments, Scale, Voice, VoiceError, VoicePrior

__all__ = [
    "DIMENSIONS", "FEATURES", "PRETRAINED", "FeatureConfig", "FeatureError", "FeatureSet", "Frontend", "HiddenStates",
    "Moments", "Normalizer", "Pretrained", "Scale", "Voice", "VoiceError", "VoicePrior", "WeightsError", "check_length",
    "features_of", "pretrained_network",
]  # fmt: skip

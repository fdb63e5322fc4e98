"""Speech emotion recognition on PyTorch Lightning, Hydra, torchaudio and torchmetrics."""

__version__ = "0.2.0"

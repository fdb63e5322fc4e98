"""Every number of a feature set, in one place."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class FeatureConfig:
    """Which features, and their numbers; the defaults are librosa's at 16 kHz, as the report had them.

    Attributes:
        names: Features in order; several 1D features are joined along time, a 2D feature stands by itself.
        normalize: ``none``; ``standard``, each row (mel bin, coefficient or 1D feature) to mean 0 and standard
            deviation 1 over the real frames of the training clips; ``clip``, the same over each clip's own frames; or
            ``speaker``, the same over all clips at hand of whoever speaks (``dataset.voice``), drawn towards the
            training's own statistics where these are few.
        sample_rate: Hertz; every clip is brought to it.
        n_fft: Samples of a Fourier transform.
        win_length: Samples of the periodic Hann window; None for ``n_fft``.
        hop_length: Samples from one frame's centre to the next one's.
        frame_length: Samples of a frame of the features without a spectrum (energy and zero-crossing rate).
        pad_mode: What the first and last spectral frames see beyond the clip, as ``torch.stft`` names it: ``constant``,
            ``reflect`` or ``replicate``.
        n_mels: Mel filters, Slaney's scale and area normalisation.
        f_min: Lower end of the mel filters, hertz.
        f_max: Upper end, hertz; None for half the rate.
        top_db: Decibels below a clip's maximum at which its levels are cut off.
        n_mfcc: Cepstral coefficients; None for 20 in ``mfcc`` (averaged over them) and 64 in ``mfcc2d``.
        roll_percent: Share of a frame's magnitude that lies below its roll-off, 0 to 1.
        filter_rate: Hertz for which the filters of ``mfcc`` and ``mfcc2d`` and the bins of ``rolloff`` are laid out;
            None for ``sample_rate``. The report never passed its rate, so librosa took 22,050.
        bundle: For pretrained features only, as what follows: the name of torchaudio's bundle; None for
            ``WAV2VEC2_BASE``, ``HUBERT_BASE`` or ``WAVLM_BASE_PLUS``.
        weights: A file of weights, for ``whisper`` or the folder that holds it; None for the bundle's, which
            torchaudio downloads.
        silence: Seconds of silence that follow each clip in ``whisper``, which was trained with so much that all is
            30 s; at most that much is added. Its frames are left out of the statistics.
        digest: BLAKE2b of the weights file, 16 bytes in hexadecimal: others are refused. None for any; a checkpoint
            has that of its training.
        fine_tune: Also train the pretrained network, as a part of the network.
    """

    names: list[str] = field(default_factory=lambda: ["mel"])
    normalize: str = "standard"
    sample_rate: int = 16_000
    n_fft: int = 2048
    win_length: int | None = None
    hop_length: int = 512
    frame_length: int = 2048
    pad_mode: str = "constant"
    n_mels: int = 128
    f_min: float = 0.0
    f_max: float | None = None
    top_db: float = 80.0
    n_mfcc: int | None = None
    roll_percent: float = 0.85
    filter_rate: int | None = None
    bundle: str | None = None
    weights: str | None = None
    silence: float = 1.0
    digest: str | None = None
    fine_tune: bool = False


def converted(features: Mapping[str, Any]) -> dict[str, Any]:
    """Return options of features from a checkpoint, a voice or a run folder of any version, as they are now.

    ``mel`` with ``mel_reference=one`` is ``logmel``. Where nothing says ``silence``, which only ``whisper`` reads, it
    has its default.
    """
    now = dict(features)
    if now:
        now.setdefault("silence", FeatureConfig.silence)
    if now.pop("mel_reference", None) == "one" and now.get("names") == ["mel"]:
        now["names"] = ["logmel"]
    return now

"""See and hear augmentation: ``python benchmarks/augmentation_page.py CLIP OTHER --out page.html``.

The page is one file: a clip before and after each effect of ``augment.wave`` as waveform, log-mel and sound, and its
log-mel before and after what ``augment.spec`` draws. The other clip is for mixup.
"""

import base64
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from ser.augment import SpecAugment, effects
from ser.commands.cli import command_parser, errors_in_words
from ser.data.audio import read_audio
from ser.data.bank import WaveformBank
from ser.errors import Screen, escape
from ser.features import FeatureConfig, Frontend
from ser.results.figures import effect_figure, effects_figure
from ser.results.page import PLAYED_SECONDS, flac_url, pages

RATE = 16_000

FEATURES = FeatureConfig(names=["logmel"], hop_length=160, n_fft=512, n_mels=64)

SECONDS_PER_FRAME = FEATURES.hop_length / RATE

SEED = 330
"""Seed of noise, rooms and all else that is drawn; its first draws are large enough to be seen."""

DRAWS = 3
"""Draws that are shown of each effect of ``augment.spec``."""

DPI = 75

console = Screen()

Sounds = tuple[Tensor, Tensor]
"""Waveforms ``(clip, sample)`` and lengths ``(clip,)``."""


def _one(value: float) -> Tensor:
    return torch.tensor([float(value)])


def _noise(exponent: float, sound: Sounds) -> Sounds:
    noise = effects.coloured_noise(_one(exponent), sound[0].shape[1], torch.Generator().manual_seed(SEED))
    return effects.add_noise(*sound, noise, _one(10)), sound[1]


def _room(rt60: float, sound: Sounds) -> Sounds:
    responses = effects.impulse_responses(_one(rt60), RATE, generator=torch.Generator().manual_seed(SEED))
    return effects.reverberate(*sound, responses), sound[1]


EXAMPLES: dict[str, tuple[str, Callable[[Sounds], Sounds]]] = {
    "speed, 1.1 times": ("augment.wave.speed", lambda s: effects.change_speed(*s, _one(1.1))),
    "time stretch, 0.9 times": ("augment.wave.stretch", lambda s: effects.stretch_time(*s, RATE, _one(0.9))),
    "pitch, 2 semitones up": ("augment.wave.pitch", lambda s: (effects.shift_pitch(*s, RATE, _one(2)), s[1])),
    "shift, 0.2 s later": (
        "augment.wave.shift", lambda s: (effects.shift_time(*s, torch.tensor([RATE // 5])), s[1])
    ),
    "reverberation, RT60 0.5 s": ("augment.wave.reverberation", lambda s: _room(0.5, s)),
    "white noise, 10 dB SNR": ("augment.wave.noise", lambda s: _noise(0, s)),
    "pink noise, 10 dB SNR": ("augment.wave.noise", lambda s: _noise(1, s)),
    "brown noise, 10 dB SNR": ("augment.wave.noise", lambda s: _noise(2, s)),
    "clipping at 0.3 of the peak": ("augment.wave.clipping", lambda s: (effects.clip_peaks(s[0], _one(0.3)), s[1])),
    "telephone, 300 to 3,400 Hz": (
        "augment.wave.telephone", lambda s: (effects.band_pass(*s, RATE, _one(300), _one(3400)), s[1])
    ),
    "polarity": ("augment.wave.polarity", lambda s: (-s[0], s[1])),
    "gain, -6 dB": ("augment.wave.gain", lambda s: (effects.change_gain(s[0], _one(-6)), s[1])),
}  # fmt: skip
"""Title → the option that turns an effect on, and the effect at one strength."""

SPEC_EXAMPLES: dict[str, Mapping[str, Any]] = {
    "piece of 1 s": {"crop_frames": 100},
    "time warp, up to 15 % either way": {"time_warp": 0.15},
    "frequency warp, up to 6 % either way": {"frequency_warp": 0.06},
    "level, up to 6 dB either way": {"level_db": 6.0},
    "shift, up to an eighth either way": {"shift_share": 0.125},
    "two frequency masks": {"frequency_masks": 2},
    "two time masks": {"time_masks": 2},
    "mixup": {"mixup": 1.0, "mixup_alpha": 2.0},
}
"""Title → options of ``SpecAugment``; mixup is more even than by default, so that it is seen."""


def read(path: Path, samples: int | None = None) -> Sounds:
    """Read the first seconds of a clip, or ``samples`` around its middle, zero-padded where it is shorter.

    Raises:
        AudioError: The clip can't be used.
    """
    bank = WaveformBank.of([read_audio(path, RATE).samples[: PLAYED_SECONDS * RATE]])
    return bank.gather(torch.tensor([0]), samples or int(bank.lengths[0]))


def log_mel(sound: Sounds) -> NDArray[np.float32]:
    """Return the log-mel of a clip, ``(mel, frame)`` in dB."""
    waveforms, lengths = sound
    features = Frontend(FEATURES, waveforms.shape[1]).extract(waveforms, lengths)
    picture: NDArray[np.float32] = features[0].numpy()
    return picture


def drawn(sound: Sounds, other: Sounds) -> dict[str, dict[str, NDArray[np.float32]]]:
    """Apply ``augment.spec`` to a clip, and mixup to both: log-mels ``(mel, frame)`` in dB by title and draw.

    Features are normalised on the two clips, changed, and brought back to dB, so that what is masked or comes in has
    the mean of its row.
    """
    waveforms, lengths = (torch.cat(parts) for parts in zip(sound, other, strict=True))
    frontend = Frontend(FEATURES, waveforms.shape[1])
    features, real = frontend.extract(waveforms, lengths), frontend.real_frames(lengths)
    normalizer = frontend.normalizer
    normalizer.fit([(features, real)])
    clip = normalizer(features, real)
    found = {}
    for title, options in SPEC_EXAMPLES.items():
        augment = SpecAugment(**options).train()
        torch.manual_seed(SEED)
        # Half of the rows are of either clip, so that some of the first half are mixed with the other.
        batch = clip.repeat_interleave(4 * DRAWS, 0)
        changed = augment(batch, real.repeat_interleave(4 * DRAWS), 1 / normalizer.std)
        changed, shares = augment.mix(changed, torch.eye(2).repeat_interleave(4 * DRAWS, 0))
        pictures = (changed * normalizer.std + normalizer.mean).float().numpy()
        if "mixup" in options:
            mixed = [row for row, share in enumerate(shares[: 4 * DRAWS, 0].tolist()) if share < 1][:DRAWS]
            found[title] = {f"{shares[row, 0]:.2f} of it": pictures[row] for row in mixed}
        else:
            found[title] = {f"draw {row + 1}": pictures[row] for row in range(DRAWS)}
    return found


def overview(sound: Sounds, other: Sounds) -> Figure:
    """Draw the log-mel of a clip as it is and after each effect except polarity, which does not change it."""
    pictures = {"as it is": log_mel(sound)}
    pictures |= {title: log_mel(change(sound)) for title, (_, change) in EXAMPLES.items() if title != "polarity"}
    pictures |= {title: next(iter(draws.values())) for title, draws in drawn(sound, other).items()}
    return effects_figure(pictures, SECONDS_PER_FRAME)


def _png(figure: Figure) -> str:
    into = io.BytesIO()
    figure.savefig(into, format="png", dpi=DPI)
    return "data:image/png;base64," + base64.b64encode(into.getvalue()).decode()


def page(name: str, sound: Sounds, other: Sounds) -> str:
    """Return the page of a clip, as HTML."""
    parts = []
    before = log_mel(sound)
    for title, (option, change) in EXAMPLES.items():
        changed = change(sound)
        figure = effect_figure(
            {"before": sound[0][0].numpy(), "after": changed[0][0].numpy()},
            {"before": before, "after": log_mel(changed)},
            RATE,
            SECONDS_PER_FRAME,
        )
        parts.append(
            {
                "title": title,
                "option": option,
                "picture": _png(figure),
                "sound": flac_url(changed[0][0].clamp(-1, 1).numpy(), RATE),
            }
        )
    draws = [
        {
            "title": title,
            "options": " ".join(f"augment.spec.{option}={value}" for option, value in SPEC_EXAMPLES[title].items()),
            "picture": _png(effects_figure({"as it is": before, **pictures}, SECONDS_PER_FRAME)),
        }
        for title, pictures in drawn(sound, other).items()
    ]
    return pages.get_template("augmentation.html").render(
        name=name, before=flac_url(sound[0][0].clamp(-1, 1).numpy(), RATE), parts=parts, draws=draws
    )


def main() -> None:
    """Write the page, and the picture where asked to."""
    parser = command_parser(__doc__, "clip.wav other.wav --out page.html --figure augmentation.png")
    parser.add_argument("clip", type=Path, help=f"a sound file; its first {PLAYED_SECONDS} s are used")
    parser.add_argument("other", type=Path, help="another, which mixup mixes it with")
    parser.add_argument("--out", type=Path, default=Path("augmentation.html"), help="the page to write")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw a log-mel of each effect")
    options = parser.parse_args()
    if options.figure and options.figure.suffix.lower() not in (".png", ".pdf", ".svg"):
        parser.error(f"--figure={options.figure} must end in .png, .pdf or .svg")
    with errors_in_words():
        sound = read(options.clip)
        other = read(options.other, sound[0].shape[1])
        options.out.write_text(page(options.clip.name, sound, other), encoding="utf-8")
        if options.figure:
            overview(sound, other).savefig(options.figure, dpi=DPI)
    console.print(
        escape(f"{options.out} has {len(EXAMPLES) + len(SPEC_EXAMPLES)} effects on {options.clip}"),
        highlight=False,
        soft_wrap=True,
    )


if __name__ == "__main__":
    main()

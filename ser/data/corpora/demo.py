"""The demo corpus: 360 clips of a synthetic voice, for trying the program out without a corpus.

No person speaks in it. A program draws pitch, rate, loudness and voice quality around means that differ by emotion,
and turns them into vowel sounds. A score on these clips shows that the program runs and learns; it says nothing about
people, nor about how well a model would do on recordings.

There are 12 speakers (odd numbers with a low voice, even numbers with a high one), 5 sentences and 6 emotions, one
clip each, named as CREMA-D names its clips: ``9001_AIU_ANG_XX.wav``. All are 16 kHz mono WAV, PCM_16, of 1.2 to 2.6 s.
"""

import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from ser.data.corpora import crema_d
from ser.data.corpora.clip import Clip, CorpusError
from ser.data.corpora.facts import Facts

SAMPLE_RATE = 16_000
"""Samples per second."""

SPEAKERS = tuple(range(9001, 9013))

FACTS = Facts(
    title="The demo corpus",
    licence="made by this project, under its MIT licence",
    what="a synthetic voice, no people",
    label="the means that pitch, rate, loudness and voice quality were drawn around",
    speakers=len(SPEAKERS),
    people="settings of the voice, 6 low and 6 high",
    clips=360,
    synthetic=True,
)

SENTENCES = {
    "AIU": "AA IY UW - EH AO IY AH",
    "EAO": "EH AA AO IH - UW AE ER",
    "IUA": "IY UH AH - AA ER IY",
    "OEI": "AO EH IY AE - AH UW IH AA",
    "UAE": "UW AH AE ER - IY AO",
}
"""Code in the file name → vowels in ARPAbet, one per syllable; a dash is a pause."""

NAMES = tuple(
    f"{speaker}_{sentence}_{emotion}_XX.wav"
    for speaker in SPEAKERS
    for sentence in SENTENCES
    for emotion in sorted(crema_d.EMOTIONS)
)
"""File names of the whole corpus, sorted."""

FORMANTS = {
    "IY": ((270, 2290, 3010), (310, 2790, 3310)),
    "IH": ((390, 1990, 2550), (430, 2480, 3070)),
    "EH": ((530, 1840, 2480), (610, 2330, 2990)),
    "AE": ((660, 1720, 2410), (860, 2050, 2850)),
    "AA": ((730, 1090, 2440), (850, 1220, 2810)),
    "AO": ((570, 840, 2410), (590, 920, 2710)),
    "UH": ((440, 1020, 2240), (470, 1160, 2680)),
    "UW": ((300, 870, 2240), (370, 950, 2670)),
    "AH": ((640, 1190, 2390), (760, 1400, 2780)),
    "ER": ((490, 1350, 1690), (500, 1640, 1960)),
}
"""First three formants in Hz, low voice and high voice: means of men and women in Peterson and Barney (1952)."""

UPPER_FORMANTS = ((3500, 4500), (3900, 5000))
"""Fourth and fifth formant in Hz, low voice and high voice, the same in every vowel."""

BANDWIDTHS = np.array([70.0, 90.0, 140.0, 220.0, 280.0])
"""Bandwidths of the five formants, hertz."""

TRAITS = {
    #           pitch  span  rate level  tilt breath jitter
    "anger": (0.5, 0.5, 0.8, 1.5, -1.4, -0.7, 0.3),
    "disgust": (-1.2, -0.2, -1.1, -0.1, 0.1, 0.2, 0.4),
    "fear": (1.5, -0.3, 1.1, 0.1, -0.2, 0.6, 1.2),
    "happy": (1.0, 1.4, 0.2, 0.7, -0.6, -0.4, -0.3),
    "neutral": (-0.2, -0.7, 0.2, -0.1, 0.0, -0.3, -0.6),
    "sad": (-0.5, -0.8, -0.9, -1.3, 1.3, 0.8, 0.2),
}
"""Means of the emotions, in steps from the middle of all voices; ``_sound`` gives the steps their units.

The signs follow the review of Murray and Arnott (1993, JASA 93(2)); the sizes are made up.
"""

SPEAKER_SPREAD, CLIP_SPREAD = 0.25, 0.4
"""Standard deviations around the means, in steps: between speakers, and between the clips of one."""

HOP = 256
WINDOW = 2 * HOP
FFT = 2 * WINDOW

Array = npt.NDArray[np.float64]


def read(root: Path) -> list[Clip]:
    """Read the clips of the demo corpus in ``root``, sorted by name; the corpus is written first if it is not there.

    Raises:
        CorpusError: ``root`` holds something else, or only a part of the corpus.
    """
    write(root)
    return crema_d.read(root)


def write(root: Path, seed: int = 0) -> None:
    """Make the corpus and move it to ``root`` in one step, so that it is never there in part.

    A complete corpus that is there already stays as it is, whatever its seed. The same ``seed`` (0 or more) gives the
    same bytes, with the same numpy on the same kind of machine.

    Raises:
        CorpusError: ``root`` holds something else, or only a part of the corpus, or nothing can be moved there.
    """
    if _is_complete(root):
        return
    target = root.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as temporary:
        made = Path(temporary) / target.name
        made.mkdir()
        for name in NAMES:
            soundfile.write(made / name, _sound(name, seed), SAMPLE_RATE, subtype="PCM_16")
        with suppress(OSError):
            target.rmdir()  # takes away an empty folder only; Windows moves onto none
        try:
            made.replace(target)
        except OSError as error:
            # Another process may have been first; its clips are as good as ours.
            if not _is_complete(root):
                raise CorpusError(f"can't put the demo corpus at {root}: {error}; choose another folder") from error


def _is_complete(root: Path) -> bool:
    """Return whether ``root`` holds the corpus and otherwise only hidden files; False if it is empty or missing."""
    if not root.exists():
        return False
    there = {path.name for path in root.iterdir()} if root.is_dir() else {root.name}
    if there and {name for name in there if not name.startswith(".")} != set(NAMES):
        raise CorpusError(
            f"{root} holds something else than the {len(NAMES)} clips of the demo corpus, or not all of them; "
            "remove it, and the demo corpus is made anew, or choose another folder"
        )
    return bool(there)


def _sound(name: str, seed: int) -> Array:
    """Make the samples of the clip called ``name``, between -1 and 1."""
    speaker, sentence, emotion, _ = name.split("_")
    rng = np.random.default_rng([seed, *name.encode()])
    own = np.random.default_rng([seed, *speaker.encode()])
    high = int(speaker) % 2 == 0
    mean = np.array(TRAITS[crema_d.EMOTIONS[emotion]])
    speaker_draw, tract = own.standard_normal(mean.size), own.normal(1.0, 0.03)
    pitch, span, rate, level, tilt, breath, jitter = np.clip(
        mean + SPEAKER_SPREAD * speaker_draw + CLIP_SPREAD * rng.standard_normal(mean.size), -3.0, 3.0
    )

    # Silence, syllables and pauses in turn: how long each takes in seconds, and what it is.
    units = ["-", *SENTENCES[sentence].split(), "-"]
    voiced = np.array([unit != "-" for unit in units])
    seconds = np.where(voiced, rng.normal(1.0, 0.12, len(units)).clip(0.7, 1.3), 0.7)
    seconds *= np.clip(seconds[1:-1].sum() / (4.8 * 1.12**rate), 1.05, 2.2) / seconds[1:-1].sum()
    seconds[[0, -1]] = rng.uniform(0.08, 0.18, 2)
    starts = np.cumsum(seconds) - seconds
    time = np.arange(round(SAMPLE_RATE * seconds.sum())) / SAMPLE_RATE
    knots = (starts[:, None] + seconds[:, None] * [0.1, 0.3, 0.7]).ravel()

    peaks = voiced * 10 ** (rng.normal(0.0, 1.5, len(units)) / 20)
    envelope = np.interp(time, knots, (peaks[:, None] * [0.3, 1.0, 0.8]).ravel())
    accents = 2.0 * 1.4**span * rng.standard_normal(len(units))
    semitones = 2.8 * pitch + np.interp(time, starts + seconds / 2, accents) - 2.0 * time / time[-1]
    f0 = np.clip((200.0 if high else 120.0) * 2 ** (semitones / 12), 60.0, 600.0)
    source = _source(f0, envelope, 0.008 * 1.5**jitter, 10 ** ((4.0 * breath - 26.0) / 20), rng)

    vowels = [unit if unit != "-" else near for unit, near in zip(units, [*units[1:], units[-2]], strict=True)]
    formants = tract * np.array([FORMANTS[vowel][high] + UPPER_FORMANTS[high] for vowel in vowels])
    frames = np.arange(len(time) // HOP + 2) * HOP / SAMPLE_RATE
    tracks = np.stack([np.interp(frames, knots, np.repeat(track, 3)) for track in formants.T], axis=1)

    sound = _filter(source, tracks, 3.0 + 2.0 * tilt)
    gain = 4.0 * level - 28.0 + rng.uniform(-2.0, 2.0)  # dB; the last is how far away the microphone stands
    sound *= 10 ** (gain / 20) / np.sqrt(np.mean(sound**2))
    sound += rng.normal(0.0, 10 ** (-70 / 20), len(sound))
    sound -= sound.mean()
    return sound * min(1.0, 0.95 / np.abs(sound).max())


def _source(f0: Array, envelope: Array, jitter: float, breath: float, rng: np.random.Generator) -> Array:
    """Make the sound of the larynx: glottal pulses at ``f0`` Hz, and noise that is louder while the glottis is open.

    The pulse is a trigonometric one of Rosenberg (1971, JASA 49(2)): it rises over 40 % of the period and falls over
    16 %. Its derivative is taken, because the lips radiate that. ``jitter`` is the standard deviation of the periods as
    a share of their length, ``breath`` the level of the noise as a share of that of the pulses.
    """
    period = (np.cumsum(f0) / SAMPLE_RATE).astype(np.int64)
    uneven = rng.standard_normal((2, period[-1] + 2))
    phase = np.cumsum(f0 * (1 + jitter * uneven[0, period])) / SAMPLE_RATE
    period = np.minimum(phase.astype(np.int64), period[-1] + 1)
    phase %= 1.0
    rise = 0.5 - 0.5 * np.cos(np.pi * phase / 0.4)
    fall = np.cos(0.5 * np.pi * np.minimum((phase - 0.4) / 0.16, 1.0))
    flow = np.where(phase < 0.4, rise, fall) * envelope
    pulses = np.diff(flow * (1 + 4 * jitter * uneven[1, period]), prepend=0.0)
    noise = rng.standard_normal(len(flow)) * (0.3 * envelope + flow)
    return pulses + noise * breath * np.sqrt(np.mean(pulses**2) / np.mean(noise**2))


def _filter(source: Array, tracks: Array, tilt: float) -> Array:
    """Send ``source`` through formants that move: ``tracks`` has the frequencies in Hz, one row every HOP samples.

    Each formant is a resonator of Klatt (1980, JASA 67(3)), with gain one at 0 Hz; they follow one another. Above
    500 Hz the spectrum falls by another ``tilt`` dB per octave. Every frame is long enough for the resonators to die
    away in it, so that frames can be filtered by themselves and added up.
    """
    radius = np.exp(-np.pi * BANDWIDTHS / SAMPLE_RATE)
    poles = 2 * radius * np.cos(2 * np.pi * tracks / SAMPLE_RATE)
    denominator = np.ones((len(tracks), 1))
    for pole, square in zip(poles.T, radius**2, strict=True):
        denominator = np.pad(denominator, ((0, 0), (2, 2)))
        denominator = denominator[:, 2:] - pole[:, None] * denominator[:, 1:-1] + square * denominator[:, :-2]
    denominator /= denominator.sum(axis=1, keepdims=True)

    padded = np.pad(source, (HOP, len(tracks) * HOP - len(source)))
    framed = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP] * np.hanning(WINDOW + 1)[:-1]
    octaves = np.log2(np.maximum(np.fft.rfftfreq(FFT, 1 / SAMPLE_RATE), 500.0) / 500.0)
    spectrum = np.fft.rfft(framed, FFT) / np.fft.rfft(denominator, FFT) * 10 ** (-tilt * octaves / 20)
    blocks = np.fft.irfft(spectrum, FFT).reshape(len(tracks), FFT // HOP, HOP)
    added = np.zeros((len(tracks) + FFT // HOP - 1, HOP))
    for late in range(FFT // HOP):
        added[late : late + len(tracks)] += blocks[:, late]
    return added.ravel()[HOP : HOP + len(source)]

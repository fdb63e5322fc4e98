"""Clips → batches of network input, on the device that trains."""

import warnings
from collections.abc import Collection, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from ser.augment import Augment, SpecAugment
from ser.augment.spectrogram import ends
from ser.data.audio import BREAKS_OFF, CANCELS, AudioError, Recording, kind_of
from ser.data.bank import WaveformBank, as_tensor, decode_clips, refuse_skipped
from ser.data.cache import cached, code, digest_of, read_array
from ser.data.corpora import SIDES, Clip
from ser.data.corpora.clip import person, spelling_key
from ser.data.labels import refuse_lost
from ser.data.samplers import EpochSampler, dealt, share_of
from ser.data.splits import Leakage, Split
from ser.errors import UserError, visible
from ser.features import FeatureConfig, Frontend, Moments, Scale, Voice, VoicePrior
from ser.features.config import converted
from ser.features.voices import grouped
from ser.models import Batch

BANKS = ("device", "memory", "mmap")

TARGETS = ("emotion", "votes")

VOICES = ("speaker", "session", "corpus")

ENROLMENTS = ("all", "none")

CHUNK = 256
"""Clips that are padded and extracted at once before training."""

MAX_SECONDS_UNASKED = 30
"""Padding everything to a longer clip is refused, since one long recording would make every batch as long."""


class DataError(UserError):
    """Clips that a run can't use; the message names them and gives the remedy."""


class EmotionDataModule(LightningDataModule):
    """Owns clips, waveforms, features and their normaliser.

    Waveforms are decoded once into a ``WaveformBank``. Loaders carry clip indices and nothing else;
    ``on_after_batch_transfer`` gathers, pads, extracts, normalises and augments on the batch's device.

    Args:
        split: The clips of each side.
        features: The feature set.
        augment: Augmentation of training waveforms, and of normalised training features.
        batch_size: Clips per step, of all devices together.
        max_seconds: Pad or crop every clip to this; a longer one is cropped at random in training, around its middle
            otherwise. None pads to the longest clip.
        bank: Where waveforms and kept features lie: ``device``, with the network; ``memory``, with the host; or
            ``mmap``, in files of the cache that are read as they are needed, for corpora larger than memory.
        device: Device that trains the network and computes features.
        voice: With ``features.normalize=speaker``, which clips are of one voice: those of a ``speaker``, of a recording
            ``session``, or of a ``corpus``. Clips of unknown speakers or sessions are one voice per corpus.
        enrolment: With ``features.normalize=speaker``, what is known of a voice in validation and test: ``all`` its
            clips on that side of the split, without their labels; or ``none``, as with a clip of an unknown person.
        voice_dropout: With ``features.normalize=speaker``, the probability that a training clip is normalised by the
            statistics of all training clips, so that the network can also read clips of unknown voices.
        target: What training clips are trained towards: their ``emotion``, or the shares of the raters' ``votes``.
            Scores are always about the emotion.
        recordings: Result of ``decode_clips`` at the features' rate, with the same cache; None to decode in ``setup``.
            Only the clips of the split are kept.
        cache: Folder that keeps decoded waveforms and features from run to run (``ser.data.cache``), or None.
        keep_features: Compute features that don't change from epoch to epoch once, and keep them.
        strict: Make a clip that can't be used an error, rather than leave it out and list it.
        seed: Orders the training clips.

    Attributes:
        labels: Emotions in alphabetical order; a class index points into them.
        clips: Usable clips, training first, then validation, then test.
        skipped: Clips left out, with the reason.
        remarks: What was odd about clips that are used, by clip name.
        fitted_on: The clips that the normaliser has seen.
        voices: With ``features.normalize=speaker``, side → voice → its statistics over its clips on that side.
        prior: With ``features.normalize=speaker``, how voices differ in the training clips; None otherwise.
        without_votes: With ``target="votes"``, training clips that no rater gave a class of the run; their emotion is
            the target.
    """

    def __init__(
        self,
        split: Split,
        features: FeatureConfig,
        augment: Augment | None = None,
        batch_size: int = 128,
        max_seconds: float | None = None,
        bank: str = "device",
        cache: str | None = None,
        keep_features: bool = True,
        strict: bool = False,
        seed: int = 0,
        device: torch.device | str = "cpu",
        enrolment: str = "all",
        voice_dropout: float = 0.0,
        voice: str = "speaker",
        target: str = "emotion",
        recordings: WaveformBank | None = None,
    ) -> None:
        super().__init__()
        if bank not in BANKS:
            raise DataError(f"datamodule.bank={bank!r} must be one of {', '.join(BANKS)}")
        if bank == "mmap" and cache is None:
            raise DataError("datamodule.bank=mmap reads from files of a cache: give datamodule.cache=FOLDER, too")
        if target not in TARGETS:
            raise DataError(f"dataset.target={target!r} must be one of {', '.join(TARGETS)}")
        check_voices(features, voice, enrolment, voice_dropout)
        if batch_size < 1:
            raise DataError(f"datamodule.batch_size={batch_size} must be at least 1")
        if max_seconds is not None and max_seconds <= 0:
            raise DataError(f"datamodule.max_seconds={max_seconds} must be above 0")
        self.augment = augment or Augment(features.sample_rate)
        check_augment(self.augment.spec, features)
        self.split = split
        self.config = features
        self.batch_size = batch_size
        self.max_seconds = max_seconds
        self.device = torch.device(device)
        self.home = self.device if bank == "device" else torch.device("cpu")
        self.mapped = bank == "mmap"
        self.cache = None if cache is None else Path(cache).expanduser()
        self.keep_features = keep_features
        self.strict = strict
        self.seed = seed
        self.enrolment = enrolment
        self.voice_dropout = voice_dropout
        self.voice = voice
        self.target = target
        self.voices: dict[str, dict[str, Voice]] = {}
        self.prior: VoicePrior | None = None
        self.labels: list[str] = []
        self.clips: list[Clip] = []
        self.skipped: list[tuple[Clip, str]] = []
        self.remarks: dict[str, tuple[str, ...]] = {}
        self.fitted_on: list[Clip] = []
        self.without_votes: list[Clip] = []
        self._seen_elsewhere: set[str] = set()
        self._recordings = recordings
        self._positions: dict[str, list[int]] = {}

    def setup(self, stage: str | None = None) -> None:  # noqa: ARG002
        """Decode every clip, fit the normaliser on the training clips, and keep features; once, whatever the stage.

        Raises:
            UserError: Clips can't be used, and ``strict`` is on; or a file of recorded noise or rooms can't be.
            DataError: A side of the split or an emotion has no usable clip, or a clip is over 30 s and ``max_seconds``
                is not set.
        """
        if self.clips:
            return
        try:
            self._set_up()
        except BaseException:
            self.clips = []  # another call starts again
            raise

    def _set_up(self) -> None:
        self.augment.wave.read()
        contents = self._decode()
        self.labels = sorted({clip.emotion for clip in self.clips})
        lost = set(self.labels) - {self.clips[i].emotion for i in self._positions["train"]}
        if lost:
            raise DataError(f"no training clip shows {', '.join(sorted(lost))}: record more, or drop these clips")
        self.targets = torch.tensor([self.labels.index(clip.emotion) for clip in self.clips], device=self.device)
        self._soft = self._votes() if self.target == "votes" else None
        self.frontend = Frontend(self.config, self._length()).to(self.device)
        self.config = self.frontend.config
        training = self._indices(self._positions["train"])
        self._random_crop = int(self.bank.lengths[training].max()) > self.frontend.length
        self._features: Tensor | None = None
        if self.keep_features and not self.config.fine_tune:
            self._features = self._keep(contents)
        if self.config.normalize in ("standard", "speaker"):
            self.frontend.normalizer.fit(self._extract(part) for part in training.split(CHUNK))
            self.fitted_on = self.side("train")
        if self.config.normalize == "speaker":
            self._find_voices()

    def _find_voices(self) -> None:
        """Measure each voice on its own clips of each side, and how voices differ in training."""
        everything = self._indices(range(len(self.clips)))
        moments = Moments.join([Moments.of(*self._extract(part)) for part in everything.split(CHUNK)])
        normalizer = self.frontend.normalizer
        training = self._positions["train"]
        names = [voice_of(clip, self.voice) for clip in self.clips]
        self.prior = VoicePrior.fit(
            normalizer.mean.flatten().cpu(), normalizer.std.flatten().cpu(), moments[training],
            [names[i] for i in training], [self.clips[i].emotion for i in training],
        )  # fmt: skip
        self.voices = {}
        found: list[Voice] = []
        place = torch.zeros(len(self.clips), dtype=torch.long)
        for side, positions in self._positions.items():
            self.voices[side] = {}
            for name, places in sorted(grouped(names[i] for i in positions).items()):
                clips = [positions[i] for i in places]
                place[clips] = len(found)
                self.voices[side][name] = Voice.of(moments[clips])
                found.append(self.voices[side][name])
        scale = self.prior.scale(found)
        self._voice_of = place.to(self.device)
        self._scale = Scale(scale.mean.to(self.device), scale.std.to(self.device))

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of the network's input per clip, after ``setup``."""
        return self.frontend.input_shape

    def side(self, name: str) -> list[Clip]:
        """Return the usable clips of ``train``, ``val`` or ``test``."""
        return [self.clips[i] for i in self._positions[name]]

    def train_dataloader(self) -> DataLoader[int]:
        """Return this process's share of the training clips, shuffled again each epoch."""
        return self.loader("train", *self._place())

    def val_dataloader(self) -> DataLoader[int]:
        """Return this process's share of the validation clips, in order of name."""
        return self.loader("val", *self._place())

    def test_dataloader(self) -> DataLoader[int]:
        """Return this process's share of the test clips, in order of name."""
        return self.loader("test", *self._place())

    def loader(self, side: str, rank: int = 0, ranks: int = 1) -> DataLoader[int]:
        """Return the share of a side that process ``rank`` of ``ranks`` gets.

        Raises:
            UserError: The clips can't be dealt out to so many.
        """
        positions, share = self._positions[side], share_of(self.batch_size, ranks)
        if side != "train":
            return DataLoader(dealt(positions, rank, ranks), share)  # type: ignore[arg-type]
        return DataLoader(
            positions,  # type: ignore[arg-type]
            share,
            sampler=EpochSampler(len(positions), self.seed, self.batch_size, rank, ranks),
            generator=torch.Generator(),  # so that beginning an epoch draws nothing from the global generator
        )

    def on_after_batch_transfer(self, batch: Tensor, dataloader_idx: int) -> Batch:  # noqa: ARG002
        """Make network input of clips' indices ``(batch,)``, on the device that the indices are on."""
        training = bool(self.trainer and self.trainer.training)
        return self.make_batch(batch, training)

    def make_batch(self, clips: Tensor, training: bool = False) -> Batch:
        """Make network input of clips' indices ``(batch,)``; cropped at random and augmented if ``training``."""
        features, real = self._extract(clips.to(self.home), training)
        normalizer = self.frontend.normalizer
        voices = self._voices(clips.to(self.device), training)
        features = normalizer(features, real, voices)
        soft = None
        if training:
            spec = self.augment.train().spec
            features = spec(features, real, 1 / (normalizer.std if voices is None else voices.std))
            soft = None if self._soft is None else self._soft[clips]
            if spec.mixup:
                one_hot = torch.nn.functional.one_hot(self.targets[clips], len(self.labels)).float()
                features, soft = spec.mix(features, one_hot if soft is None else soft)
            if spec.active:
                real = ends(features)
        return Batch(self.frontend.arrange(features), self.targets[clips], clips, soft, real)

    def _voices(self, clips: Tensor, training: bool) -> Scale | None:
        """Return what clips are normalised by; None for the training's statistics."""
        if self.prior is None or (not training and self.enrolment == "none"):
            return None
        places = self._voice_of[clips]
        mean, std = self._scale.mean[places], self._scale.std[places]
        if training and self.voice_dropout:
            known = torch.rand(len(clips), 1, 1, device=mean.device) >= self.voice_dropout
            normalizer = self.frontend.normalizer
            mean, std = torch.where(known, mean, normalizer.mean), torch.where(known, std, normalizer.std)
        return Scale(mean, std)

    def waveforms(self, clips: Tensor, training: bool = False) -> tuple[Tensor, Tensor]:
        """Return padded waveforms of clips ``(batch, sample)`` and their lengths ``(batch,)``, on the network's device.

        Cropped at random and augmented if ``training``; ``clips`` lie where the bank is.
        """
        waveforms, lengths = self.bank.gather(clips, self.frontend.length, training and self._random_crop)
        waveforms, lengths = waveforms.to(self.device), lengths.to(self.device)
        if training:
            waveforms, lengths = self.augment.train().wave(waveforms, lengths)
        return waveforms, lengths

    def changed(self, **attributes: object) -> "EmotionDataModule":
        """Return a copy with another ``augment`` or ``enrolment``, of the same clips and features, after ``setup``."""
        other = copy(self)
        vars(other).update(attributes)
        return other

    def add_seen(self, people: Collection[str]) -> list[str]:
        """Note whom the network has seen in another training, as ``person`` names them; ``""`` for unknown people.

        Returns:
            Speakers of test clips among them, sorted.
        """
        self._seen_elsewhere |= set(people)
        return sorted({str(person(clip)) for clip in self._seen_before()})

    def _seen_before(self) -> list[Clip]:
        """Return test clips whose speakers, in any spelling, were seen in another training."""
        keys = set(map(spelling_key, self._seen_elsewhere))
        return [clip for clip in self.side("test") if (who := person(clip)) and spelling_key(who) in keys]

    def leakage(self) -> Leakage:
        """Return what is on two sides of the split; its ``seen`` includes speakers of another training."""
        found = self.split.leakage()
        elsewhere = {str(clip.speaker) for clip in self._seen_before()}
        unknown = found.unknown or "" in self._seen_elsewhere
        return replace(found, seen=sorted({*found.seen, *elsewhere}), unknown=unknown)

    def state_dict(self) -> dict[str, Any]:
        """Return what prediction needs beside the network: plain data and tensors, kept in the checkpoint."""
        seen = {person(clip) or "" for side in ("train", "val") for clip in self.side(side)}
        return {
            "labels": self.labels,
            "features": dict(vars(self.config)),
            "length": self.frontend.length,
            "seen": sorted(self._seen_elsewhere | seen),
            "seen_elsewhere": sorted(self._seen_elsewhere),
            "normalizer": {name: value.cpu() for name, value in self.frontend.normalizer.state_dict().items()},
            **({} if self.prior is None else {"voices": self.prior.state_dict()}),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Check that a checkpoint was trained on the same emotions, features and padding.

        Raises:
            DataError: It was trained on others; the message says which.
        """
        here, state_dict = self.state_dict(), {**state_dict, "features": converted(state_dict["features"])}
        for key in ("labels", "features", "length"):
            if state_dict[key] != here[key]:
                raise DataError(f"the checkpoint has {key}={state_dict[key]}, and this run {here[key]}")
        for name, value in state_dict["normalizer"].items():
            if not torch.allclose(value, here["normalizer"][name], rtol=1e-4):
                raise DataError("the checkpoint's features were normalised on other training clips than this run's")

    def _decode(self) -> list[str | None]:
        """Fill the bank, and return the digest of each clip's file, where a cache is in use."""
        self.skipped.clear()
        ordered: Sequence[tuple[str, Clip]] = [(side, clip) for side in SIDES for clip in getattr(self.split, side)]
        decoded, self._recordings = self._recordings, None
        if decoded is None:
            decoded = decode_clips([clip for _, clip in ordered], self.config.sample_rate, self.cache, self.mapped)
        recordings: list[Recording] = []
        positions: dict[str, list[int]] = {side: [] for side in SIDES}
        for side, clip in ordered:
            outcome = decoded.found[clip.name]
            if isinstance(outcome, AudioError):
                self.skipped.append((clip, str(outcome)))
                continue
            positions[side].append(len(self.clips))
            self.clips.append(clip)
            recordings.append(outcome)
            if outcome.remarks:
                self.remarks[clip.name] = outcome.remarks
        refuse_skipped([reason for _, reason in self.skipped], self.strict)
        refuse_lost([clip for _, clip in ordered], {clip.name: reason for clip, reason in self.skipped})
        for side in SIDES:
            if getattr(self.split, side) and not positions[side]:
                reasons = "; ".join(reason for _, reason in self.skipped[:3])
                raise DataError(f"no usable clip is left for {side} ({reasons})")
        silent = [clip.name for clip, recording in zip(self.clips, recordings, strict=True) if recording.silent]
        if silent:
            warnings.warn(f"silent clips, which are kept: {len(silent)}, such as {visible(silent[0])}", stacklevel=2)
        for kind in (BREAKS_OFF, CANCELS):
            odd = [name for name, remarks in self.remarks.items() if any(kind_of(remark) == kind for remark in remarks)]
            if odd:
                warnings.warn(f"{kind}: {len(odd)} clips, which are kept, such as {visible(odd[0])}", stacklevel=2)
        self._positions = positions
        self.bank = decoded.take([clip.name for clip in self.clips]).to(self.home)
        return [recording.content for recording in recordings]

    def _place(self) -> tuple[int, int]:
        """Return the rank of this process, and the number of processes."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def _votes(self) -> Tensor:
        """Return each class's share of the votes, ``(clip, class)``; the emotion itself where no class got one.

        Raises:
            DataError: A training clip comes without its raters' votes.
        """
        training = self.side("train")
        if unknown := [clip.name for clip in training if clip.votes is None]:
            raise DataError(
                f"dataset.target=votes needs raters' votes for every training clip, and {len(unknown)} have none "
                f"(such as {unknown[0]!r}): point dataset.metadata= at the corpus's tables, or take "
                "dataset.target=emotion"
            )
        votes = torch.tensor([[(clip.votes or {}).get(label, 0) for label in self.labels] for clip in self.clips])
        given = votes.sum(1, keepdim=True)
        self.without_votes = [clip for clip in training if not any((clip.votes or {}).get(e) for e in self.labels)]
        emotion = torch.nn.functional.one_hot(self.targets.cpu(), len(self.labels))
        return torch.where(given > 0, votes / given.clamp_min(1), emotion.float()).to(self.device)

    def _length(self) -> int:
        rate = self.config.sample_rate
        if self.max_seconds is not None:
            return round(self.max_seconds * rate)
        longest = int(self.bank.lengths.argmax())
        length = int(self.bank.lengths[longest])
        if length > MAX_SECONDS_UNASKED * rate:
            path = self.clips[longest].path
            raise DataError(
                f"{path} lasts {length / rate:.1f} s, and every clip would be padded to that: "
                f"set datamodule.max_seconds= (clips over it are cropped), or cut the recording into utterances"
            )
        return length

    def _indices(self, positions: Sequence[int]) -> Tensor:
        return torch.tensor(positions, device=self.home)

    def _extract(self, clips: Tensor, training: bool = False) -> tuple[Tensor, Tensor]:
        """Return unscaled features of clips ``(batch, row, frame)``, and how many frames are real ``(batch,)``.

        They are on the network's device, and kept ones are used where possible.
        """
        fresh = training and (self._random_crop or self.augment.wave.active)
        if self._features is not None and not fresh:
            lengths = self.bank.lengths[clips].clamp_max(self.frontend.length)
            features = self._features[self._kept[clips]].to(self.device)
            return features, self.frontend.real_frames(lengths).to(self.device)
        waveforms, lengths = self.waveforms(clips, training)
        return self.frontend.extract(waveforms, lengths), self.frontend.real_frames(lengths)

    def _keep(self, contents: Sequence[str | None]) -> Tensor:
        """Return unscaled features of all clips, cropped around the middle, ``(clip, row, frame)``, where the bank is.

        They are in the order of the clips' names, so that all folds of a corpus share a cache's entry.
        """
        order = sorted(range(len(self.clips)), key=lambda i: self.clips[i].name)
        self._kept = self._indices(order).argsort()
        shape = (len(order), self.frontend.features.rows, self.frontend.features.frames(self.frontend.length))
        parts = (self._extract(part)[0] for part in self._indices(order).split(CHUNK))
        if self.cache is None:
            features = torch.empty(shape, device=self.home)
            for part, into in zip(parts, features.split(CHUNK), strict=True):
                into.copy_(part)
            return features
        if None in contents:
            raise DataError(
                "recordings= were decoded without the cache, which can't tell them from others: decode_clips"
            )
        about = {
            # The digest identifies the weights, wherever they lie.
            **{name: value for name, value in vars(self.config).items() if name not in ("normalize", "weights")},
            "length": self.frontend.length,
            "device": self.device.type,
            "clips": len(order),
            "contents": digest_of([contents[i] for i in order]),
            "code": code("data/audio.py", "data/bank.py", "features"),
        }

        def make(folder: Path) -> None:
            with (folder / "features").open("wb") as file:
                for part in parts:
                    file.write(part.cpu().contiguous().numpy().data)

        entry = cached(self.cache, "features", about, make, self.mapped)
        return as_tensor(read_array(entry / "features", shape, "float32", self.mapped)).to(self.home)


def voice_of(clip: Clip, voice: str) -> str:
    """Return the name of a clip's voice, as ``dataset.voice=`` counts them; one per corpus if the clip has none."""
    if voice == "speaker":
        return person(clip) or clip.corpus
    if voice == "session" and clip.session is not None:
        return f"{clip.corpus}/{clip.session}"
    return clip.corpus


def check_voices(features: FeatureConfig, voice: str, enrolment: str, voice_dropout: float) -> None:
    """Refuse options of voices that don't exist or have no effect.

    Raises:
        DataError: An option has no such value, or the features are not normalised by voice.
    """
    if voice not in VOICES:
        raise DataError(f"dataset.voice={voice!r} must be one of {', '.join(VOICES)}")
    if enrolment not in ENROLMENTS:
        raise DataError(f"datamodule.enrolment={enrolment!r} must be one of {', '.join(ENROLMENTS)}")
    if not 0 <= voice_dropout <= 1:
        raise DataError(f"datamodule.voice_dropout={voice_dropout} must lie between 0 and 1")
    if voice_dropout and features.normalize != "speaker":
        raise DataError(
            f"datamodule.voice_dropout={voice_dropout} needs features.normalize=speaker, and this run has "
            f"features.normalize={features.normalize}: set it to 0"
        )


def check_augment(spec: SpecAugment, features: FeatureConfig) -> None:
    """Refuse augmentation that these features don't allow.

    Raises:
        DataError: The features are not normalised, or not of the kind that an option is for.
    """
    if spec.active and features.fine_tune:
        raise DataError(
            "augment.spec changes features, and with features.fine_tune=true the network reads waveforms: set "
            "augment=none, or augment.wave"
        )
    if spec.active and features.normalize == "none":
        raise DataError(
            "augment.spec fills with 0, which is the mean only of normalised features: "
            "set augment=none, or features.normalize=standard or clip or speaker"
        )
    if spec.frequency_warp and features.names not in (["mel"], ["logmel"]):
        raise DataError(
            f"augment.spec.frequency_warp={spec.frequency_warp} stretches the mel scale, and features.names="
            f"{features.names}: set it to 0, or take features=mel or logmel"
        )
    if spec.level_db and not (features.names == ["logmel"] and features.normalize in ("standard", "speaker")):
        raise DataError(
            f"augment.spec.level_db={spec.level_db} needs features that know a clip's level: set it to 0, or take "
            "features=logmel and features.normalize=standard or speaker"
        )

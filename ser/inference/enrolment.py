"""What other clips of the test voices are worth: draws of them, without their labels, and scores by their number."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ser.checkpoint import find_checkpoint
from ser.data.corpora import Clip
from ser.data.corpora.clip import person
from ser.datamodule import voice_of
from ser.errors import UserError
from ser.evaluation import SCORES, Answers, answers_about, join, summary
from ser.features import Moments, Voice
from ser.features.voices import NEUTRAL, grouped
from ser.files import check_out, replacing, write_json, write_text
from ser.inference.adapt import Adaptation, adapt
from ser.inference.scoring import BATCH, Trial, describe_checkpoint, trial_of
from ser.recognizer import NO_VOICES, Recognizer
from ser.results import find_runs, made_by, read_choices
from ser.results.figures import enrolment_figure
from ser.results.page import markdown_table

COLUMNS = ("enrolment clips", "of which emotions", "UAR", "95 %", "accuracy", "macro F1", "clips scored")

LEFT = COLUMNS[:2]

CURVE = (1, 3, 5, 10, 20)
"""Numbers of enrolment clips of a curve, beside none and all."""


@dataclass(frozen=True)
class Enrolment:
    """Describes what is known of a voice beside the clip that is scored.

    Attributes:
        clips: How many other clips of it; None for all of them, the scored one among them.
        neutral: Whether these are all neutral, as most users have them of a voice.
        declared: Whether the network knows that they are ``neutral``; otherwise they count as any others.
    """

    clips: int | None = 0
    neutral: bool = False
    declared: bool = True

    @property
    def name(self) -> str:
        """How results name the enrolment: ``none``, ``all``, or a number of clips."""
        return "all" if self.clips is None else "none" if self.clips == 0 else str(self.clips)

    @property
    def kind(self) -> str:
        """The emotions that clips are drawn from, in words."""
        if self.clips == 0 or not self.neutral:
            return "any"
        return NEUTRAL if self.declared else f"{NEUTRAL}, not told"


class Extracted(NamedTuple):
    """Features of clips, as one network reads them.

    Attributes:
        features: Unscaled ``(clip, row, frame)``, on the host.
        real: Real frames ``(clip,)``.
        moments: Sums over them.
    """

    features: Tensor
    real: Tensor
    moments: Moments


@dataclass(frozen=True)
class ExtractedClips:
    """Holds clips as a recognizer reads them, before any voice is known.

    Attributes:
        recognizer: What reads them.
        trial: The clips, and the emotions that count.
        parts: Their features, for each of the recognizer's networks.
    """

    recognizer: Recognizer
    trial: Trial
    parts: list[Extracted]

    @classmethod
    def of(cls, recognizer: Recognizer, trial: Trial) -> "ExtractedClips":
        """Extract the features of a trial's clips for one of its recognizers."""
        recordings = trial.at(recognizer.sample_rate)
        starts, parts = range(0, len(recordings), BATCH), {}
        members = [(str((vars(one.frontend.config), one.length)), one) for one in recognizer.members]
        for key, member in members:
            if key in parts:  # as of another seed
                continue
            read = [member.extract(recordings[start : start + BATCH]) for start in starts]
            features, real = (torch.cat([part[i].cpu() for part in read]) for i in (0, 1))
            parts[key] = Extracted(features, real, Moments.join([Moments.of(*part) for part in read]))
        return cls(recognizer, trial, [parts[key] for key, _ in members])

    def draw(self, enrolment: Enrolment, seed: int) -> tuple[list[list[int]], NDArray[np.bool_]]:
        """Draw enrolment clips; return, per clip, the places of those of its voice, and whether it is scored.

        With a number of clips these are drawn from each voice, and its others are scored; a voice that has no more
        clips than that is neither enrolled nor scored. No label is read, except to draw neutral clips.

        Args:
            enrolment: What is known of each voice.
            seed: Seed of the draw.

        Raises:
            UserError: The network knows nothing of voices.
        """
        clips = self.trial.clips
        drawn: list[list[int]] = [[] for _ in clips]
        scored = np.ones(len(clips), bool)
        if enrolment.clips == 0:
            return drawn, scored
        if self.recognizer.prior is None:
            raise UserError(NO_VOICES)
        rng = np.random.default_rng(seed)
        for _, own in sorted(grouped(voice_of(clip, self.trial.voice) for clip in clips).items()):
            enrolled = [i for i in own if not enrolment.neutral or clips[i].emotion == NEUTRAL]
            if enrolment.clips is not None:
                if len(enrolled) < enrolment.clips or len(own) <= enrolment.clips:
                    scored[own] = False
                    continue
                enrolled = rng.choice(enrolled, enrolment.clips, replace=False).tolist()
                scored[enrolled] = False
            for i in own:
                drawn[i] = enrolled
        return drawn, scored

    def _known(self, member: Recognizer, part: Extracted, drawn: list[list[int]], enrolment: Enrolment) -> Any:
        """Return the voice of each clip for one of the networks; None where nothing is known to it."""
        if enrolment.clips == 0 or member.prior is None:
            return None
        emotions = {NEUTRAL: 1.0} if enrolment.neutral and enrolment.declared else None
        found: dict[tuple[int, ...], Voice | None] = {(): None}
        for enrolled in drawn:
            if (places := tuple(enrolled)) not in found:
                found[places] = Voice.of(part.moments[enrolled], emotions)
        return [found[tuple(enrolled)] for enrolled in drawn]

    def logits(self, enrolment: Enrolment, seed: int = 0) -> tuple[list[int], list[Tensor]]:
        """Return the places of the scored clips, and each network's calibrated logits of them ``(clip, class)``.

        Raises:
            UserError: The network knows nothing of voices, or no voice has clips enough to enrol some and score others.
        """
        drawn, scored = self.draw(enrolment, seed)
        if not scored.any():
            raise UserError(
                f"no voice has more than {enrolment.clips} {enrolment.kind} clips, so none can be enrolled and scored: "
                "enrol fewer"
            )
        places = np.flatnonzero(scored).tolist()
        # Clips of about one length go together, so that a network that reads any length is spared most of the padding.
        places.sort(key=self.parts[0].real.tolist().__getitem__)
        order = np.argsort(places)
        found = []
        for member, part in zip(self.recognizer.members, self.parts, strict=True):
            voices = self._known(member, part, drawn, enrolment)
            logits = []
            for start in range(0, len(places), BATCH):
                rows = places[start : start + BATCH]
                known = None if voices is None else [voices[i] for i in rows]
                features, real = (values[rows].to(member.network.device) for values in (part.features, part.real))
                features = features[:, :, : int(real.max())] if member.network.any_length else features
                logits.append(member.decide(features, real, known))
            found.append(torch.cat(logits)[order])
        return sorted(places), found

    def answers(self, enrolment: Enrolment, seed: int = 0) -> Answers:
        """Return the answers to the scored clips under an enrolment.

        Raises:
            UserError: The network knows nothing of voices, or no voice has clips enough to enrol some and score others.
        """
        places, logits = self.logits(enrolment, seed)
        chosen = [self.recognizer.labels.index(label) for label in self.trial.labels]
        probabilities = self.recognizer.combine(logits)[:, chosen].double().softmax(1).numpy()
        return answers_about([self.trial.clips[i] for i in places], self.trial.labels, probabilities)


def halves(clips: Sequence[Clip], seed: int = 0) -> NDArray[np.bool_]:
    """Draw half of the speakers at random, and return which clips are theirs, ``(clip,)``.

    Raises:
        UserError: A clip's speaker is not known, or there is only one.
    """
    people = [person(clip) for clip in clips]
    known = sorted({name for name in people if name is not None})
    if None in people or len(known) < 2:
        raise UserError(
            "adapting on other speakers than the scored ones needs two or more speakers, all of them known: give the "
            "corpus's speakers, or take --transductive"
        )
    first = set(np.random.default_rng(seed).permutation(known)[: len(known) // 2].tolist())
    return np.array([name in first for name in people])


@dataclass(frozen=True)
class Knowledge:
    """Describes what the network may know of the recordings beside the clip that is scored.

    Attributes:
        enrolment: What is known of each voice, after the adaptation if there is one.
        adapt: Whether the network is adapted first, without labels.
        transductive: Whether it is adapted on the scored clips themselves; otherwise each half of the speakers is
            scored after an adaptation on the other half.
        balanced: Whether the recordings are taken to hold the emotions about equally often, as in ``adapt``.
        anyway: Whether to adapt also to recordings that sound like those of the training.
    """

    enrolment: Enrolment = Enrolment()
    adapt: bool = False
    transductive: bool = False
    balanced: bool = False
    anyway: bool = False


def adapted_answers(recognizer: Recognizer, trial: Trial, knowledge: Knowledge) -> tuple[Answers, list[Adaptation]]:
    """Return the network's answers to a trial's clips after it was adapted without labels, and the adaptations.

    Args:
        recognizer: A recognizer as it was trained.
        trial: What is scored.
        knowledge: What is known of voices, and how to adapt.

    Raises:
        UserError: There are too few clips, they sound like those of the training, or speakers are not known.
    """
    clips, enrolment = trial.clips, knowledge.enrolment
    first = np.ones(len(clips), bool) if knowledge.transductive else halves(clips)
    parts, adaptations = [], []
    for scored in [first] if knowledge.transductive else [first, ~first]:
        source = trial.of(np.flatnonzero(scored if knowledge.transductive else ~scored))
        voices = None if enrolment.clips == 0 else [voice_of(clip, trial.voice) for clip in source.clips]
        recordings = source.at(recognizer.sample_rate)
        adapted, about = adapt(recognizer, recordings, knowledge.balanced, voices, trial.labels, knowledge.anyway)
        adaptations.append(about)
        parts.append(ExtractedClips.of(adapted, trial.of(np.flatnonzero(scored))).answers(enrolment))
    return join(parts), adaptations


def curve(extracted: Sequence[ExtractedClips], draws: int) -> list[dict[str, Any]]:
    """Score clips by what is known of their voices, for JSON.

    Args:
        extracted: The clips of one run, or of the folds of one recipe, which are pooled.
        draws: How often enrolment clips are drawn; scores and the ends of their intervals are means over these.

    Returns:
        For each number and kind of enrolment clips: ``enrolment``, ``kind``, ``draws``, ``clips`` that are scored,
        ``speakers``, the four scores, and ``intervals`` over speakers. What no voice has clips enough for is left out.
    """
    neutral = all(
        one.recognizer.prior is not None and NEUTRAL in one.recognizer.prior.labels and NEUTRAL in one.trial.labels
        for one in extracted
    )
    found = []
    enrolments = [Enrolment(0), *(Enrolment(count) for count in CURVE), Enrolment(None)]
    if neutral:  # declared as such and not
        enrolments += [Enrolment(n, True, declared) for declared in (True, False) for n in CURVE if n <= 10]
    for enrolment in enrolments:
        times = draws if enrolment.clips else 1
        if not all(one.draw(enrolment, seed=0)[1].any() for one in extracted):
            continue
        pooled = [join([one.answers(enrolment, seed=draw) for one in extracted]) for draw in range(times)]
        scores = [summary(answers) for answers in pooled]
        found.append(
            {
                "enrolment": enrolment.name,
                "kind": enrolment.kind,
                "draws": times,
                "clips": round(mean(len(answers.clips) for answers in pooled)),
                "speakers": len(set(pooled[0].speakers)),
                **{score: mean(one[score] for one in scores) for score in SCORES},
                "intervals": {
                    score: [mean(ends) for ends in zip(*(one["intervals"][score] for one in scores), strict=True)]
                    for score in SCORES
                },
            }
        )
    return found


def measure_enrolment(
    runs: Sequence[Path], folder: Path, command: list[str], side: str = "test", draws: int = 3, device: str = "cpu"
) -> dict[str, Any]:
    """Score the runs' clips under all enrolments and write the folder.

    Args:
        runs: Run folders, or folders that hold them.
        folder: What is left goes there.
        command: What was typed.
        side: Side of each run's split; ``val`` for choices.
        draws: How often enrolment clips are drawn.
        device: Where the networks answer.

    Raises:
        UserError: A run can't be used, knows nothing of voices, or two of them score the same clips.
    """
    if draws < 1:
        raise UserError(f"--draws is {draws}; it must be 1 or more")
    # Pooled folds and evaluations have no network.
    found = [run for run in find_runs(runs) if run.history or run.members]
    if not found:
        raise UserError(f"no training below {', '.join(map(str, runs))}: give run folders, or folders that hold them")
    check_out(folder)
    extracted, described = [], []
    for run in found:
        checkpoint = find_checkpoint(run.folder)
        recognizer = Recognizer.load(checkpoint, device)
        trial = trial_of(read_choices(run.folder), side, [recognizer])
        extracted.append(ExtractedClips.of(recognizer, trial))
        described.append({**describe_checkpoint(checkpoint, trial.clips), "split_hash": trial.split.hash})
    results = {
        "dataset": {"name": found[0].dataset["name"]},
        "side": side,
        "runs": described,
        "draws": draws,
        "curve": curve(extracted, draws),
        **made_by(command),
    }
    with replacing(folder / "enrolment.png") as file:
        enrolment_figure(results["curve"]).savefig(file, dpi=150)
    write_text(folder / "enrolment.md", markdown_table(COLUMNS, curve_rows(results), LEFT) + "\n")
    write_json(folder / "enrolment.json", results)
    return results


def curve_rows(results: dict[str, Any]) -> list[list[str]]:
    """Return the curve as lines of a table, one per number and kind of enrolment clips."""
    return [
        [
            point["enrolment"],
            "" if point["enrolment"] == "none" else point["kind"],
            f"{point['uar']:.3f}",
            "{:.3f} to {:.3f}".format(*point["intervals"]["uar"]),
            f"{point['accuracy']:.3f}",
            f"{point['macro_f1']:.3f}",
            f"{point['clips']:,}",
        ]
        for point in results["curve"]
    ]

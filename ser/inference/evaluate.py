"""A checkpoint's score on a corpus, with what the network may know of the recordings beside the clip that is scored."""

from pathlib import Path
from typing import Any

import numpy as np

from ser.checkpoint import find_checkpoint
from ser.evaluation import Answers, answers_about, scored
from ser.inference.enrolment import ExtractedClips, Knowledge, adapted_answers
from ser.inference.scoring import Trial, answer_all, answered, describe_checkpoint, describe_clips, trial_of
from ser.recognizer import Recognizer
from ser.results import Recipe, RunRecord, made_by, refuse_run_folders, write


def evaluate(
    checkpoint: Path,
    cfg: dict[str, Any],
    side: str,
    folder: Path,
    command: list[str],
    device: str = "cpu",
    knowledge: Knowledge | None = None,
) -> RunRecord:
    """Answer the clips, score the answers and write the folder.

    Args:
        checkpoint: A run's checkpoint, or the run's folder, for the one that it tested.
        cfg: The composed choices; only dataset, labels and split count.
        side: ``all``, or a side of the split.
        folder: What is left goes there.
        command: What was typed.
        device: Where the network answers.
        knowledge: What is known of voices and recordings; None for nothing.

    Raises:
        UserError: The checkpoint or the corpus can't be used, or they share fewer than two emotions.
    """
    checkpoint = find_checkpoint(checkpoint)
    places = (cfg["dataset"].get("root"), cfg["dataset"].get("metadata"))
    inputs = [Path(place) for place in places if isinstance(place, str)]
    refuse_run_folders(folder, [checkpoint.parent, checkpoint.parent.parent], inputs)
    recognizer = Recognizer.load(checkpoint, device)
    trial = trial_of(cfg, side, [recognizer])
    knowledge = knowledge or Knowledge()
    about: dict[str, Any] = {}
    if knowledge.adapt or knowledge.enrolment.clips != 0:
        trial, answers, about = _answers_with(recognizer, trial, knowledge)
    else:
        probabilities = answer_all(recognizer, trial)
        trial, finite = answered(trial, [probabilities])
        answers = answers_about(trial.clips, trial.labels, probabilities[finite])
    data, network = describe_clips(cfg, side, trial), describe_checkpoint(checkpoint, trial.clips)
    record = RunRecord(
        **{**data, **network, **about, "split": {**data["split"], **network["split"]}},
        recipe=Recipe.of(command),
        **made_by(command),
        **scored(answers),
    )
    folder.mkdir(parents=True, exist_ok=True)
    write(folder, cfg, record, answers, sounds={clip.name: clip.path for clip in trial.clips})
    return record


def _answers_with(recognizer: Recognizer, trial: Trial, knowledge: Knowledge) -> tuple[Trial, Answers, dict[str, Any]]:
    """Return the scored clips, the answers, and the description of the knowledge for the results."""
    enrolment = knowledge.enrolment
    about: dict[str, Any] = {"enrolment": {"scored": enrolment.name, "kind": enrolment.kind, "voice": trial.voice}}
    if knowledge.adapt:
        answers, adaptations = adapted_answers(recognizer, trial, knowledge)
        how = "the scored clips" if knowledge.transductive else "the other half of the speakers"
        about["adaptation"] = {"on": how, "balanced": knowledge.balanced, "parts": [*map(vars, adaptations)]}
    else:
        answers = ExtractedClips.of(recognizer, trial).answers(enrolment)
    places = {clip.name: place for place, clip in enumerate(trial.clips)}
    if enrolment.clips:
        about["enrolment"]["clips_not_scored"] = len(places) - len(answers.clips)
    trial, finite = answered(trial.of(places[name] for name in answers.clips), [answers.probabilities])
    return trial, answers.of(np.flatnonzero(finite)), about

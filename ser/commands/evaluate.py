"""Score a checkpoint on a corpus: ``python scripts/evaluate.py outputs/RUN dataset=ravdess``.

Takes the words of ``train.py`` for the corpus (dataset=, labels=). All its clips are answered, or with ``--side test``
those on a side of its split (split=). Only emotions that checkpoint and corpus share count: other clips are left out,
and the network chooses among the shared ones. Leaves metrics.json, predictions.csv and figures as a run does.

A network that was trained with features.normalize=speaker can know other clips of each voice (--enrol), and any network
can first be adapted to the corpus (--adapt). Both read sound alone, no label; results say what was known.
"""

import argparse
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ser.checkpoint import find_checkpoint
from ser.cli import command_parser, errors_in_words
from ser.config import compose_words
from ser.corpora import SIDES
from ser.enrolment import Enrolment, Heard, adapted_answers
from ser.errors import UserError
from ser.evaluation import Answers, answers_about
from ser.recognizer import Recognizer
from ser.results import GIT_REVISION, refuse_run_folders, scored, show, started_as, versions, write
from ser.scoring import Trial, answer_all, answered, describe_checkpoint, describe_clips, trial_of


@dataclass(frozen=True)
class Knowledge:
    """What the network may know of the recordings beside the clip that is scored.

    Attributes:
        enrolment: Of each voice.
        adapt: Whether the network is adapted first.
        transductive: On the scored clips themselves, and not on other speakers.
        balanced: Whether the recordings are taken to hold the emotions equally often.
    """

    enrolment: Enrolment = field(default_factory=Enrolment)
    adapt: bool = False
    transductive: bool = False
    balanced: bool = False
    anyway: bool = False


def evaluate(
    checkpoint: Path,
    cfg: dict[str, Any],
    side: str,
    folder: Path,
    command: list[str],
    device: str = "cpu",
    knowledge: Knowledge | None = None,
) -> dict[str, Any]:
    """Answer the clips, score the answers and write the folder.

    Args:
        checkpoint: Of a run, or the run's folder, for the one that it tested.
        cfg: The composed choices, of which dataset, labels and split count.
        side: ``all``, or a side of the split.
        folder: What is left goes there.
        command: What was typed.
        device: Where the network answers.
        knowledge: Of voices and recordings; None for nothing.

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
        trial, answers, about = _answers_with(recognizer, trial, cfg, knowledge)
    else:
        probabilities = answer_all(recognizer, trial)
        trial, finite = answered(trial, [probabilities])
        answers = answers_about(trial.clips, trial.labels, probabilities[finite])
    usable = trial.clips
    told, network = describe_clips(cfg, side, trial), describe_checkpoint(checkpoint, usable)
    results = {
        "row": None,
        **told,
        **network,
        "split": {**told["split"], **network["split"]},
        "seed": None,
        **about,
        "versions": versions(),
        "git": GIT_REVISION,
        "command": command,
        **scored(answers),
    }
    folder.mkdir(parents=True, exist_ok=True)
    write(folder, cfg, results, answers, sounds={clip.name: clip.path for clip in usable})
    return results


def _answers_with(
    recognizer: Recognizer, trial: Trial, cfg: dict[str, Any], knowledge: Knowledge
) -> tuple[Trial, Answers, dict[str, Any]]:
    """The scored clips, the answers, and what results say of what was known."""
    recordings = trial.at(recognizer.sample_rate)
    enrolment, voice = knowledge.enrolment, cfg["dataset"].get("voice", "speaker")
    about: dict[str, Any] = {"enrolment": {"scored": enrolment.name, "kind": enrolment.kind, "voice": voice}}
    if knowledge.adapt:
        answers, told = adapted_answers(
            recognizer, trial.clips, recordings, trial.labels, enrolment, voice, knowledge.balanced,
            knowledge.transductive, anyway=knowledge.anyway,
        )  # fmt: skip
        how = "the scored clips" if knowledge.transductive else "the other half of the speakers"
        about["adaptation"] = {"on": how, "balanced": knowledge.balanced, "parts": [vars(part) for part in told]}
    else:
        answers = Heard.of(recognizer, trial.clips, recordings, trial.labels, voice).answers(enrolment)
    clips = {clip.name: clip for clip in trial.clips}
    trial = replace(trial, clips=[clips[name] for name in answers.clips])
    if enrolment.clips:
        about["enrolment"]["clips_not_scored"] = len(clips) - len(trial.clips)
    trial, finite = answered(trial, [answers.probabilities])
    return trial, answers.of(np.flatnonzero(finite)), about


def knowledge_of(options: argparse.Namespace) -> Knowledge:
    """What the options allow the network to know.

    Raises:
        UserError: They don't go together.
    """
    words = {"none": 0, "all": None}
    if options.enrol not in words and not (options.enrol.isdecimal() and int(options.enrol) > 0):
        raise UserError(f"--enrol is {options.enrol!r}; it must be none, all, or a number of clips")
    count = words[options.enrol] if options.enrol in words else int(options.enrol)
    if options.enrol_neutral and not count:
        raise UserError("--enrol-neutral needs a number of clips: --enrol 5")
    for name in ("transductive", "balanced", "anyway"):
        if getattr(options, name) and not options.adapt:
            raise UserError(f"--{name} says how to adapt: give --adapt")
    return Knowledge(
        Enrolment(count, options.enrol_neutral), options.adapt, options.transductive, options.balanced, options.anyway
    )


def main() -> None:
    """Read the options, score and print."""
    parser = command_parser(__doc__, "outputs/RUN dataset=ravdess")
    parser.add_argument("checkpoint", type=Path, help="a run's folder, for the checkpoint it tested, or a checkpoint")
    parser.add_argument("words", nargs="+", help="as train.py takes them: dataset=NAME, dataset.root=…, labels=…")
    parser.add_argument("--side", choices=("all", *SIDES), default="all", help="all clips, or a side of split=")
    parser.add_argument("--out", type=Path, default=Path("outputs/evaluate"), help="folder for the results")
    parser.add_argument("--device", default="cpu", help="where the network answers, as torch names it")
    known = parser.add_argument_group("what may be known of the recordings, without their labels")
    known.add_argument(
        "--enrol", default="none", metavar="none|all|K",
        help="other clips of each voice: none, all, or K of them, and the others are scored",
    )  # fmt: skip
    known.add_argument("--enrol-neutral", action="store_true", help="draw the K clips from neutral ones, and say so")
    known.add_argument("--adapt", action="store_true", help="adapt the network, on other speakers than the scored ones")
    known.add_argument("--transductive", action="store_true", help="adapt on the scored clips themselves")
    known.add_argument("--balanced", action="store_true", help="take the emotions to be equally frequent")
    known.add_argument(
        "--anyway", action="store_true", help="adapt also to clips that sound like those of the training"
    )
    options = parser.parse_args()
    command = [*started_as("scripts/evaluate.py"), *sys.argv[1:]]
    with errors_in_words():
        knowledge = knowledge_of(options)
        cfg = compose_words(options.words)
        results = evaluate(options.checkpoint, cfg, options.side, options.out, command, options.device, knowledge)
    show(results, options.out)

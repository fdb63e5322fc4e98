"""Several runs → one model.

Probabilities of seeds of one recipe are averaged. Those of recipes that know different things are multiplied, with
weights that validation chooses.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from ser.checkpoint import Checkpoint, find_checkpoint
from ser.errors import UserError
from ser.evaluation import Answers, beside, enrolment_of, scored
from ser.evaluation.calibration import calibrate, calibration_report
from ser.inference.enrolment import Enrolment, ExtractedClips
from ser.inference.scoring import trial_of
from ser.models.ensemble import join_checkpoints
from ser.recognizer import JointRecognizer, Recognizer
from ser.results import RunRecord, made_by, read_choices, refuse_run_folders, write


def seed_sets(runs: Sequence[RunRecord]) -> tuple[list[list[RunRecord]], list[RunRecord]]:
    """Group trainings that differ only in their seed; return the groups, and the trainings that have no other.

    Raises:
        UserError: There is no such group, or a seed is there twice.
    """
    same: dict[tuple[str, str], list[RunRecord]] = defaultdict(list)
    for run in runs:
        if run.history:  # pooled folds and evaluations have no network
            same[run.recipe.without(), run.split["hash"]].append(run)
    sets = [sorted(found, key=_seed) for found in same.values() if len(found) > 1]
    if not sets:
        raise UserError("no two runs here differ in nothing but their seed: make them by a sweep, -m … seed=1,2,3")
    for found in sets:
        if len({run.seed for run in found}) < len(found):
            raise UserError(f"a seed is there twice: {', '.join(str(run.file) for run in found)}; give one of them")
    return sets, [found[0] for found in same.values() if len(found) == 1]


def _seed(run: RunRecord) -> int:
    if run.seed is None:
        raise UserError(f"{run.file} does not tell its seed: join trainings of several seeds")
    return run.seed


def joint_sets(runs: Sequence[RunRecord]) -> list[list[RunRecord]]:
    """Group trainings and ensembles by their split, whatever their features, networks and seeds.

    Raises:
        UserError: A split has only one of them.
    """
    same: dict[str, list[RunRecord]] = defaultdict(list)
    # What was joined before is left out, and so are the members of an ensemble of seeds that is there itself.
    single = [run for run in runs if not any("weight" in member for member in run.members or ())]
    within = [member["command"] for run in single for member in run.members or ()]
    for run in single:
        if (run.history or run.members) and run.command not in within:
            same[run.split["hash"]].append(run)
    for found in same.values():
        if len(found) < 2:
            raise UserError(f"{found[0].file} is the only run of its split: give another one of it to join it with")
    if not same:
        raise UserError("there is no training here: give run folders, or folders that hold them")
    return list(same.values())


def ensemble(runs: Sequence[RunRecord], folder: Path, command: list[str], device: str = "cpu") -> RunRecord:
    """Join the networks of runs that differ in their seed, score the result on ``device``, leave it in ``folder``.

    Raises:
        UserError: A checkpoint can't be used, or the corpus is not what it was.
    """
    homes = [run.folder for run in runs]
    refuse_run_folders(folder, homes)
    joined = join_checkpoints([find_checkpoint(home) for home in homes])
    return _scored(runs, joined, folder, command, device)


def joint(runs: Sequence[RunRecord], folder: Path, command: list[str], device: str = "cpu") -> RunRecord:
    """Join runs of different recipes on one split, score the result on ``device`` and leave it in ``folder``.

    The weight of each network maximises the likelihood of the validation clips: each counted once with the voice's
    other clips enrolled and once without, where a network knows voices.

    Raises:
        UserError: A checkpoint can't be used, they differ in labels or rates, or the corpus is not what it was.
    """
    homes = [run.folder for run in runs]
    refuse_run_folders(folder, homes)
    parts = [Checkpoint.read(find_checkpoint(home)) for home in homes]
    for home, part in zip(homes, parts, strict=True):
        if part.parts or part.adapted:
            raise UserError(f"{home} was {'joined' if part.parts else 'adapted'} already: give the runs it was made of")
    joined = Checkpoint(
        network=JointRecognizer.__name__,
        parameters={"weights": [1.0] * len(parts)},
        weights={},
        labels=parts[0].labels,
        features=parts[0].features,
        length=max(part.length for part in parts),
        normalizer={},
        epoch=max(part.epoch for part in parts),
        seen=sorted(set().union(*(part.seen for part in parts))),
        seen_elsewhere=sorted(set().union(*(part.seen_elsewhere for part in parts))),
        parts=[replace(part, training={}, history=None) for part in parts],
    )
    return _scored(runs, joined, folder, command, device)


def _scored(runs: Sequence[RunRecord], joined: Checkpoint, folder: Path, command: list[str], device: str) -> RunRecord:
    """Calibrate what was joined on validation clips, test it and write its folder."""
    with TemporaryDirectory() as place:
        joined.write(unfinished := Path(place) / "ensemble.ckpt")
        recognizer = Recognizer.load(unfinished, device)
    first, cfg = runs[0], read_choices(runs[0].folder)
    cfg["seed"] = [run.seed for run in runs]
    enrolled = any(enrolment_of(run.enrolment) == "all" for run in runs)
    shown = [Enrolment(None), Enrolment(0)] if enrolled else [Enrolment(0)]

    val = _extracted(cfg, "val", recognizer, first)
    if isinstance(recognizer, JointRecognizer):
        read = [val.logits(enrolment) for enrolment in shown]
        spoken = [val.trial.clips[i].emotion for places, _ in read for i in places]
        targets = torch.tensor([recognizer.labels.index(emotion) for emotion in spoken])
        members = [torch.cat(found) for found in zip(*(logits for _, logits in read), strict=True)]
        recognizer.weights = weights_of([one.log_softmax(1) for one in members], targets)
        if not any(recognizer.weights):
            raise UserError("none of these models says anything of the validation clips: train better ones")
        joined = replace(joined, parameters={"weights": recognizer.weights})
    before = _finite(val.answers(shown[0]))
    calibration = calibrate(torch.from_numpy(before.probabilities).log(), torch.from_numpy(before.true))
    checkpoint = folder / "checkpoints" / "ensemble.ckpt"
    joined.with_calibration(calibration).write(checkpoint)
    test = _extracted(cfg, "test", recognizer, first)
    found = [_finite(test.answers(enrolment)) for enrolment in shown]
    logits, targets = torch.from_numpy(found[0].probabilities).log(), torch.from_numpy(found[0].true)
    tables = [
        replace(one, probabilities=np.asarray(calibration.apply(torch.from_numpy(one.probabilities).log()).softmax(1)))
        for one in found
    ]
    features = dict.fromkeys(run.features for run in runs)

    record = replace(
        first,
        features=" + ".join(features),
        model=f"{first.model} × {len(runs)}" if not joined.parts else " + ".join(run.model for run in runs),
        members=[
            {
                "seed": run.seed,
                "command": run.command,
                "git": run.git,
                **({"features": run.features, "model": run.model, "weight": weight} if joined.parts else {}),
            }
            for run, weight in zip(runs, joined.parameters.get("weights", [None] * len(runs)), strict=True)
        ],
        parameters={name: sum(run.parameters[name] for run in runs) for name in ("trainable", "total")},
        seed=None,
        checkpoint={"tested": checkpoint.stem, "epoch": ", ".join(str(run.checkpoint["epoch"]) for run in runs)},
        calibration=calibration_report(calibration, len(before.clips), logits, targets),
        seconds=round(sum(run.seconds or 0 for run in runs), 1),
        **made_by(command),
        last_epoch={},  # as there are many trainings
        history=[],
        **scored(tables[0]),
    )
    if enrolled:
        enrolment = next(run.enrolment for run in runs if enrolment_of(run.enrolment) == "all")
        record = replace(record, enrolment={**enrolment, "beside": {"none": beside(tables[1])}})
    sounds = {clip.name: clip.path for clip in test.trial.clips}
    write(folder, cfg, record, tables[0], sounds=sounds)
    return record


def _extracted(cfg: dict[str, Any], side: str, recognizer: Recognizer, first: RunRecord) -> ExtractedClips:
    """Read and extract the clips of a side.

    Raises:
        UserError: The corpus is not what it was.
    """
    trial = trial_of(cfg, side, [recognizer])
    if trial.split.hash != first.split["hash"]:
        raise UserError(
            f"dataset={cfg['dataset']['name']} is not what it was when {first.folder} was trained: its split has the "
            f"hash {trial.split.hash}, and not {first.split['hash']}"
        )
    return ExtractedClips.of(recognizer, trial)


def _finite(answers: Answers) -> Answers:
    """Leave out answers that are not finite, as ``answered`` does."""
    return answers.of(np.flatnonzero(np.isfinite(answers.probabilities).all(1)))


def weights_of(members: Sequence[Tensor], targets: Tensor) -> list[float]:
    """Return the weights of log-probabilities at which their softmaxed sum makes the targets likeliest.

    The loss is convex in the weights, which are 0 or more (a logarithmic opinion pool; their sum is a temperature).

    Args:
        members: Log-probabilities of each network, ``(clip, class)``.
        targets: Class indices ``(clip,)``.
    """
    stacked = torch.stack([one.double() for one in members])
    finite = stacked.isfinite().all(2).all(0)
    stacked, targets = stacked[:, finite], targets[finite]

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        values = torch.tensor(weights, requires_grad=True)
        found = torch.nn.functional.cross_entropy((values.view(-1, 1, 1) * stacked).sum(0), targets)
        found.backward()
        assert values.grad is not None
        return found.item(), values.grad.numpy()

    start = np.full(len(members), 1 / len(members))
    best = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * len(members))
    return [round(float(weight), 4) for weight in best.x]

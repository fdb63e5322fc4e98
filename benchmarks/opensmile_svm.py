"""openSMILE functionals with an SVM: ``python benchmarks/opensmile_svm.py dataset=crema_d split.fold=0``.

What many would use in place of a network, on the same clips of the same split, with the results in the same files, so
that scripts/pool.py, compare.py and leaderboard.py take them. Takes the words of train.py for the corpus (dataset=,
labels=, split=); datamodule.cache= keeps the functionals. C is chosen, and the temperature fitted, on the validation
clips. Needs ``pip install -e ".[bench]"``; openSMILE's licence is for research and personal use.
"""

import sys
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from joblib import Parallel, cpu_count, delayed
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer
from sklearn.metrics import recall_score
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from ser.commands.cli import command_parser, errors_in_words
from ser.config import compose_words
from ser.data.audio import Recording, read_audio
from ser.data.bank import INT16_SCALE, decode_clips, fingerprints, reasons, refuse_skipped
from ser.data.cache import cached, code, digest_of
from ser.data.corpora import SIDES, read_corpora
from ser.data.corpora.clip import telling
from ser.data.labels import Labels, refuse_lost
from ser.data.splits import split_clips
from ser.errors import UserError
from ser.evaluation import answers_about
from ser.evaluation.calibration import calibrate, calibration_report
from ser.results import (
    Recipe,
    RunRecord,
    describe_dataset,
    git_revision,
    leakage_line,
    scored,
    show,
    started_as,
    tell_corpus,
    versions,
    write,
)

FUNCTIONALS = ("ComParE_2016", "eGeMAPSv02")
"""6,373 of them (Schuller et al., 2016), and 88 (Eyben et al., 2016)."""

SAMPLE_RATE = 16_000

STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0)
"""Values of C that are tried."""

CHUNK = 64
"""Clips that a process reads at once."""

TIMED = 20
"""Clips that are answered one by one, for the time that it takes."""


def functionals(name: str, recordings: Sequence[Recording]) -> NDArray[np.float32]:
    """Compute functionals at ``SAMPLE_RATE``, ``(clip, functional)``; NaN where there are none, as in silence."""
    parts = [recordings[start : start + CHUNK] for start in range(0, len(recordings), CHUNK)]
    jobs = Parallel(n_jobs=cpu_count())(
        delayed(_functionals)(name, [recording.samples for recording in part]) for part in parts
    )
    return np.concatenate(jobs)


def _functionals(name: str, clips: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    import opensmile  # noqa: PLC0415

    smile = opensmile.Smile(opensmile.FeatureSet[name], opensmile.FeatureLevel.Functionals)
    found = []
    for samples in clips:
        scale = INT16_SCALE if samples.dtype == np.int16 else 1
        found.append(smile.process_signal(samples.astype(np.float32) * np.float32(scale), SAMPLE_RATE))
    return np.concatenate([table.to_numpy(np.float32) for table in found])


def machine(strength: float) -> Pipeline:
    """Make an SVM with a radial basis function, C = ``strength``, on functionals standardised on the training clips.

    Gamma is 1 by the number of functionals. The kernel is scikit-learn's function, which multiplies matrices, and not
    ``"rbf"``, for which libsvm goes from pair to pair: on 2,000 clips of ComParE_2016 it takes 20 times as long.
    """
    return make_pipeline(
        SimpleImputer(keep_empty_features=True), StandardScaler(), SVC(C=strength, kernel=rbf_kernel, break_ties=True)
    )


def fit(
    inputs: NDArray[np.float32], targets: NDArray[np.int64], sides: dict[str, NDArray[np.int64]]
) -> tuple[Pipeline, float, float]:
    """Return the machine with the best UAR on validation, its C, and that UAR."""
    tried = []
    for strength in STRENGTHS:
        fitted = machine(strength).fit(inputs[sides["train"]], targets[sides["train"]])
        said = fitted.predict(inputs[sides["val"]])
        tried.append((float(recall_score(targets[sides["val"]], said, average="macro")), strength, fitted))
    score, strength, fitted = max(tried, key=lambda one: one[0])
    return fitted, strength, score


def run(name: str, cfg: dict[str, Any], folder: Path, command: list[str]) -> RunRecord:
    """Read, split, fit, test and write the folder.

    Args:
        name: One of ``FUNCTIONALS``.
        cfg: The composed choices; only dataset, labels, split and the cache count.
        folder: Folder of the results.
        command: The words that were typed.

    Raises:
        UserError: The corpus can't be used.
    """
    began = time.perf_counter()
    opensmile_version = version("opensmile")
    with telling(tell_corpus):
        read = read_corpora(cfg["dataset"])
    clips, left_out = Labels(**cfg["labels"]).apply(read)
    cache = cfg["datamodule"]["cache"]
    keep = None if cache is None else Path(cache).expanduser()
    outcomes = decode_clips(clips, SAMPLE_RATE, keep).found
    skipped = reasons(outcomes)
    refuse_skipped(list(skipped.values()), cfg["dataset"]["strict"])
    refuse_lost(clips, skipped)
    split = split_clips(clips, fingerprints=fingerprints(outcomes), **cfg["split"])
    recordings = {clip: found for clip, found in sorted(outcomes.items()) if isinstance(found, Recording)}
    place = {clip: row for row, clip in enumerate(recordings)}
    usable = {side: [clip for clip in getattr(split, side) if clip.name in place] for side in SIDES}
    if empty := [side for side, own in usable.items() if not own]:
        why = "; ".join(list(skipped.values())[:3])
        raise UserError(f"no usable clip is left for {' and '.join(empty)} ({why})")
    inputs = _kept(name, list(recordings.values()), keep)

    labels = sorted({clip.emotion for own in usable.values() for clip in own})
    sides = {side: np.array([place[clip.name] for clip in own]) for side, own in usable.items()}
    targets = np.zeros(len(place), np.int64)
    for own in usable.values():
        for clip in own:
            targets[place[clip.name]] = labels.index(clip.emotion)
    if missing := set(range(len(labels))) - set(targets[sides["train"]].tolist()):
        raise UserError(f"no training clip shows {', '.join(labels[i] for i in sorted(missing))}")
    fitted, strength, best = fit(inputs, targets, sides)
    margins = {side: torch.from_numpy(_margins(fitted, inputs[sides[side]])) for side in ("val", "test")}
    calibration = calibrate(margins["val"], torch.from_numpy(targets[sides["val"]]))
    probabilities = calibration.apply(margins["test"]).softmax(1)
    answers = answers_about(usable["test"], labels, probabilities.double().numpy())
    leakage = split.leakage()
    machine_of = fitted[-1]
    choices = {
        **{key: cfg[key] for key in ("dataset", "labels", "split")},
        "features": {"names": [name]},
        "model": "svm",
    }
    record = RunRecord(
        dataset=describe_dataset(cfg["dataset"]["name"], [clip for own in usable.values() for clip in own], skipped),
        split={
            **cfg["split"],
            "hash": split.hash,
            "clips": {side: len(own) for side, own in usable.items()},
            "test_speakers": leakage.test_speakers,
            "test_speakers_heard_before": leakage.seen_before,
            "leakage": leakage_line(leakage),
        },
        labels={"classes": labels, "left_out": left_out},
        recipe=Recipe.of(command, choices),
        features=name,
        model="svm",
        # What a prediction reads: the vectors, and a coefficient of each for each pair of classes but one.
        parameters={"trainable": len(machine_of.support_) * inputs.shape[1] + machine_of.dual_coef_.size},
        precision="64-true",
        checkpoint={"tested": f"SVM with C = {strength:g}", "epoch": None, "best_val_uar": best},
        calibration=calibration_report(
            calibration, len(usable["val"]), margins["test"], torch.from_numpy(answers.true)
        ),
        answer_seconds=_answer_seconds(name, fitted, [clip.path for clip in usable["test"][:TIMED]]),
        seconds=round(time.perf_counter() - began, 1),
        versions={**versions(), "opensmile": opensmile_version, "scikit-learn": version("scikit-learn")},
        git=git_revision(),
        command=command,
        **scored(answers),
    )
    folder.mkdir(parents=True, exist_ok=True)
    write(folder, choices, record, answers, sounds={clip.name: clip.path for clip in usable["test"]})
    return record


def _margins(fitted: Pipeline, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the SVM's decision value of each class, ``(clip, class)``."""
    values = np.asarray(fitted.decision_function(inputs), dtype=np.float64)
    return np.stack([-values, values], 1) if values.ndim == 1 else values


def _answer_seconds(name: str, fitted: Pipeline, paths: Sequence[Path]) -> float:
    """Measure the median time from a sound file to its answer."""
    taken = []
    for path in paths:
        began = time.perf_counter()
        recording = read_audio(path, SAMPLE_RATE)
        fitted.predict(_functionals(name, [recording.samples]))
        taken.append(time.perf_counter() - began)
    return median(taken)


def _kept(name: str, recordings: Sequence[Recording], keep: Path | None) -> NDArray[np.float32]:
    if keep is None:
        return functionals(name, recordings)
    about = {
        "names": [name],
        "clips": len(recordings),
        "opensmile": version("opensmile"),
        "sample_rate": SAMPLE_RATE,
        "code": code("data/audio.py", "data/bank.py"),
        "contents": digest_of([recording.content for recording in recordings]),
    }

    def make(folder: Path) -> None:
        np.save(folder / "functionals.npy", functionals(name, recordings))

    return np.load(cached(keep, "features", about, make) / "functionals.npy")


def main() -> None:
    """Read the options, run and print."""
    parser = command_parser(__doc__, "--functionals eGeMAPSv02 dataset=crema_d split=kfold split.fold=0")
    parser.add_argument("words", nargs="+", help="as train.py takes them: dataset=NAME, split=…, datamodule.cache=…")
    parser.add_argument("--functionals", choices=FUNCTIONALS, default=FUNCTIONALS[0], help="set of functionals")
    parser.add_argument("--out", type=Path, default=Path("outputs/opensmile_svm"), help="folder for the results")
    options = parser.parse_args()
    with errors_in_words():
        cfg = compose_words(options.words)
        command = [*started_as("benchmarks/opensmile_svm.py"), *sys.argv[1:]]
        try:
            record = run(options.functionals, cfg, options.out, command)
        except PackageNotFoundError as error:
            raise UserError(f'{error}: openSMILE comes with pip install -e ".[bench]"') from error
    show(record, options.out)


if __name__ == "__main__":
    main()

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
from ser.config import check_choices, compose_words
from ser.data.audio import Recording, read_audio
from ser.data.bank import INT16_SCALE
from ser.data.cache import cached, code, contents, digest_of
from ser.data.corpora import SIDES
from ser.datamodule import EmotionDataModule
from ser.errors import UserError
from ser.evaluation import answers_about
from ser.evaluation.calibration import calibrate, calibration_report
from ser.results import Recipe, RunRecord, describe_dataset, git_revision, scored, show, started_as, versions, write
from ser.results.describe import describe_split
from ser.train import load_data

FUNCTIONALS = ("ComParE_2016", "eGeMAPSv02")
"""6,373 of them (Schuller et al., 2016), and 88 (Eyben et al., 2016)."""

SAMPLE_RATE = 16_000

STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0)
"""Values of C that are tried."""

CHUNK = 64
"""Clips that a process reads at once."""

WITHOUT_FEATURES = [
    "features=mel",
    "features.normalize=none",
    f"features.sample_rate={SAMPLE_RATE}",
    "datamodule.keep_features=false",
    "datamodule.max_seconds=30",
    "model=cnn2d",
    "augment=none",
]
"""Words with which a data module decodes and splits clips, and computes no features of its own."""

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


def run(name: str, words: Sequence[str], folder: Path, command: list[str]) -> RunRecord:
    """Read, split, fit, test and write the folder.

    Args:
        name: One of ``FUNCTIONALS``.
        words: Words of train.py; only those of dataset, labels, split and the cache count.
        folder: Folder of the results.
        command: The words that were typed.

    Raises:
        UserError: The corpus can't be used.
    """
    began = time.perf_counter()
    opensmile_version = version("opensmile")
    cfg = compose_words([*words, *WITHOUT_FEATURES])
    data, left_out = load_data(check_choices(cfg), torch.device("cpu"))
    inputs, targets = _kept(name, data), data.targets.numpy()
    places = np.split(np.arange(len(targets)), np.cumsum([len(data.side(side)) for side in SIDES])[:-1])
    sides = dict(zip(SIDES, places, strict=True))
    fitted, strength, best = fit(inputs, targets, sides)
    margins = {side: torch.from_numpy(_margins(fitted, inputs[sides[side]])) for side in ("val", "test")}
    calibration = calibrate(margins["val"], torch.from_numpy(targets[sides["val"]]))
    probabilities = calibration.apply(margins["test"]).softmax(1)
    test = data.side("test")
    answers = answers_about(test, data.labels, probabilities.double().numpy())
    machine_of = fitted[-1]
    choices = {
        **{key: cfg[key] for key in ("dataset", "labels", "split")},
        "features": {"names": [name]},
        "model": "svm",
    }
    record = RunRecord(
        dataset=describe_dataset(cfg["dataset"]["name"], data.clips, {clip.name: why for clip, why in data.skipped}),
        split=describe_split(cfg, data),
        labels={"classes": data.labels, "left_out": left_out},
        recipe=Recipe.of(command, choices),
        features=name,
        model="svm",
        # What a prediction reads: the vectors, and a coefficient of each for each pair of classes but one.
        parameters={"trainable": len(machine_of.support_) * inputs.shape[1] + machine_of.dual_coef_.size},
        precision="64-true",
        checkpoint={"tested": f"SVM with C = {strength:g}", "epoch": None, "best_val_uar": best},
        calibration=calibration_report(calibration, len(sides["val"]), margins["test"], torch.from_numpy(answers.true)),
        answer_seconds=_answer_seconds(name, fitted, [clip.path for clip in test[:TIMED]]),
        seconds=round(time.perf_counter() - began, 1),
        versions={**versions(), "opensmile": opensmile_version, "scikit-learn": version("scikit-learn")},
        git=git_revision(),
        command=command,
        **scored(answers),
    )
    folder.mkdir(parents=True, exist_ok=True)
    write(folder, choices, record, answers, sounds={clip.name: clip.path for clip in test})
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


def _kept(name: str, data: EmotionDataModule) -> NDArray[np.float32]:
    """Return the functionals of the data module's clips, in their order; the cache keeps them in the order of names."""
    order = np.argsort([clip.name for clip in data.clips])
    bank = data.bank
    spans = zip(bank.starts[order].tolist(), bank.lengths[order].tolist(), strict=True)
    recordings = [Recording(bank.samples[start : start + length].numpy()) for start, length in spans]
    if data.cache is None:
        return functionals(name, recordings)[order.argsort()]
    about = {
        "names": [name],
        "clips": len(recordings),
        "opensmile": version("opensmile"),
        "sample_rate": SAMPLE_RATE,
        "code": code("data/audio.py", "data/bank.py"),
        "contents": digest_of(contents([data.clips[i].path for i in order])),
    }

    def make(folder: Path) -> None:
        np.save(folder / "functionals.npy", functionals(name, recordings))

    found: NDArray[np.float32] = np.load(cached(data.cache, "features", about, make) / "functionals.npy")
    return found[order.argsort()]


def main() -> None:
    """Read the options, run and print."""
    parser = command_parser(__doc__, "--functionals eGeMAPSv02 dataset=crema_d split=kfold split.fold=0")
    parser.add_argument("words", nargs="+", help="as train.py takes them: dataset=NAME, split=…, datamodule.cache=…")
    parser.add_argument("--functionals", choices=FUNCTIONALS, default=FUNCTIONALS[0], help="set of functionals")
    parser.add_argument("--out", type=Path, default=Path("outputs/opensmile_svm"), help="folder for the results")
    options = parser.parse_args()
    with errors_in_words():
        command = [*started_as("benchmarks/opensmile_svm.py"), *sys.argv[1:]]
        try:
            record = run(options.functionals, options.words, options.out, command)
        except PackageNotFoundError as error:
            raise UserError(f'{error}: openSMILE comes with pip install -e ".[bench]"') from error
    show(record, options.out)


if __name__ == "__main__":
    main()

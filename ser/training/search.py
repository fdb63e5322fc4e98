"""Search for options of a training with Optuna, a run per trial."""

import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from omegaconf import OmegaConf

from ser.config import CONF, compose_words, refuse_unreadable
from ser.data.corpora import read_corpora
from ser.data.corpora.clip import telling
from ser.errors import Screen, UserError, escape
from ser.results import started_as, tell_corpus
from ser.results.jobs import ERROR
from ser.training.sweeps import EXTRA, OUTPUT, note_error, progress

try:
    import optuna
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend
    from optuna.trial import FrozenTrial, TrialState
except ImportError as error:
    raise UserError(f"a search needs Optuna ({error}): {EXTRA}") from error

FIXED = ("dataset", "split", "labels", "seed", "ckpt_path", "hydra")
"""Options that are not searched for: scores of other clips can't be compared, and the best of several seeds is luck."""

Run = Callable[[dict[str, Any], Path, Sequence[str]], dict[str, Any]]
"""A function that trains with choices, in a folder, by a command, and returns the results."""

console = Screen()


def search(words: Sequence[str], run: Run, trials: int, storage: Path | None = None, space: Path | None = None) -> None:
    """Run trials until there are ``trials`` of them, and print the best one.

    Args:
        words: As ``train.py`` takes them; sweeps among them are searched for.
        run: Trains, ``ser.train.run``.
        trials: Ended ones wanted, failed ones and those of earlier calls among them.
        storage: Optuna's journal file; the trials' folders get its name without the suffix.
        space: The file that names what is searched for.

    Raises:
        UserError: The words can't work, the storage is of another search or in use, or all trials failed.
    """
    refuse_unreadable(words, sweep=True)
    given = OverridesParser.create().parse_overrides(list(words))
    fixed = [str(word.input_line) for word in given if not word.is_sweep_override()]
    cfg = compose_words(["trainer.enable_progress_bar=false", *fixed])
    file = space or CONF / "search" / f"{cfg['model']['name']}.yaml"
    searched = read_space(file, given)
    with telling(tell_corpus):
        read_corpora(cfg["dataset"])  # a corpus that is not there fails every trial
    storage = storage or Path("outputs/search") / f"{cfg['model']['name']}-{'_'.join(cfg['features']['names'])}.log"
    folder = storage.with_suffix("")
    if folder == storage:
        raise UserError(
            f"--storage {storage}: give the file a suffix, such as {storage}.log; {folder}/ gets the trials"
        )
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(
            f"{storage}: another process is searching here; wait for it, or give another --storage"
        ) from None
    with lock:
        study = open_study(storage, fixed, searched)
        began, before = time.perf_counter(), len(_ended(study))
        if before:
            console.print(f"trials done before: {before}", highlight=False)
        while len(_ended(study)) < trials:
            trial = next_trial(study, searched)
            value = try_out(trial, run, folder, fixed)
            study.tell(trial.number, value, TrialState.FAIL if value is None else TrialState.COMPLETE)
            ended = _ended(study)
            failed = [trial for trial in ended if trial.state == TrialState.FAIL]
            seconds = time.perf_counter() - began
            line = progress(len(ended), trials, len(failed), len(ended) - before, seconds).replace("jobs", "trials")
            console.print(line, style="bold", highlight=False)
        report_best(study, folder, fixed)


def read_space(file: Path, given: Sequence[Override]) -> dict[str, BaseDistribution]:
    """Read what is searched for, by name, from ``file`` and from the words ``given``, which stand above it.

    Raises:
        UserError: The file is not there or broken, or something in it can't be searched for.
    """
    try:
        lines = OmegaConf.to_container(OmegaConf.load(file))
    except (OSError, ValueError) as error:
        raise UserError(f"{file} can't be read as what to search for: {error}; see conf/search") from error
    if not isinstance(lines, dict):
        raise UserError(f"{file} can't be read as what to search for: it has no lines NAME: interval(…)")
    values_of = {str(name): values for name, values in lines.items()}
    parser = OverridesParser.create()
    named = {override.get_key_element(): override for override in given}
    space = {}
    for name, override in {
        **{name: parser.parse_override(f"{name}={values}") for name, values in values_of.items()},
        **named,
    }.items():
        if override.is_sweep_override():
            if name.lstrip("+").partition(".")[0] in FIXED or name in ("model", "report"):
                raise UserError(
                    f"{name} is not searched for, since trials are compared on one network and the same clips, and the "
                    "best of several seeds is luck; a sweep (train.py -m) runs them all"
                )
            space[name] = distribution(override)
        elif name not in named:
            raise UserError(f"{file}: {name}: {values_of[name]} must be interval(…), choice(…) or range(…)")
    if not space:
        raise UserError(f"nothing is left to search for: the words set all that {file} names")
    return space


def distribution(override: Override) -> BaseDistribution:
    """Convert Hydra's sweeps to Optuna's distributions: ``tag(log, interval(1e-4, 1e-2))`` → log-uniform.

    Raises:
        UserError: It is none of interval, choice and range.
    """
    value = override.value()
    try:
        if isinstance(value, IntervalSweep):
            low, high, log = value.start, value.end, "log" in value.tags
            if isinstance(low, int) and isinstance(high, int):
                return IntDistribution(low, high, log)
            return FloatDistribution(float(str(low)), float(str(high)), log)
        if isinstance(value, ChoiceSweep):
            return CategoricalDistribution(list(override.sweep_string_iterator()))
        if isinstance(value, RangeSweep):
            first, *_, last = [float(text) for text in override.sweep_string_iterator()]
            if all(isinstance(number, int) for number in (value.start, value.step)):
                return IntDistribution(int(first), int(last), step=int(value.step))
            return FloatDistribution(first, last, step=value.step)
    except ValueError as error:
        raise UserError(f"{override.input_line}: Optuna refuses it: {error}") from error
    raise UserError(f"{override.input_line}: a search takes interval(…), choice(…) and range(…)")


def open_study(storage: Path, fixed: Sequence[str], space: Mapping[str, BaseDistribution]) -> optuna.Study:
    """Open the study of the journal file ``storage``, a new one where there is none.

    Raises:
        UserError: The file is none of Optuna's, or of a search with other words.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        journal = JournalStorage(JournalFileBackend(str(storage)))  # lines that are added, and no database
        study = optuna.create_study(storage=journal, study_name="search", direction="maximize", load_if_exists=True)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{storage} can't be read as a journal of Optuna's: {error}; give another --storage") from error
    about = {"words": sorted(fixed), "space": {name: repr(kind) for name, kind in space.items()}}
    if study.user_attrs.get("about", about) != about:
        raise UserError(f"{storage} is of a search with other words or another space: give another --storage")
    study.set_user_attr("about", about)
    return study


def next_trial(study: optuna.Study, space: Mapping[str, BaseDistribution]) -> FrozenTrial:
    """Return the trial that was cut off, or a new one.

    The sampler is seeded by the trial's number, so that a search that was stopped proposes what it would have proposed.
    """
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        if set(trial.params) == set(space):
            return trial
        study.tell(trial.number, state=TrialState.FAIL)  # cut off while it was proposed
    study.sampler = optuna.samplers.TPESampler(seed=len(study.trials))
    number = study.ask(dict(space)).number
    return study.trials[number]


def try_out(trial: FrozenTrial, run: Run, folder: Path, fixed: Sequence[str]) -> float | None:
    """Run a trial and return its macro F1 on validation; None where it failed, and its ``error.txt`` says why."""
    own = folder / str(trial.number)
    own.mkdir(exist_ok=True)
    words = [*fixed, *options_of(trial)]
    console.print(f"trial {trial.number}: {escape(' '.join(options_of(trial)))}", soft_wrap=True, highlight=False)
    try:
        cfg = compose_words(["trainer.enable_progress_bar=false", *words])
        with (own / OUTPUT).open("a", encoding="utf-8") as file, redirect_stdout(file):
            results: dict[str, Any] = run(cfg, own, [*started_as("train.py"), *words])
    except Exception as error:
        note_error(own, error)
        console.print(f"trial {trial.number} failed: {escape(str(error))}", style="red", soft_wrap=True)
        return None
    (own / ERROR).unlink(missing_ok=True)
    value = float(results["checkpoint"]["best_val_macro_f1"])
    console.print(f"trial {trial.number}: macro F1 on validation {value:.4f}", highlight=False)
    return value


def options_of(trial: FrozenTrial) -> list[str]:
    """Write a trial's options as words for ``train.py``."""
    return [f"{name}={value}" for name, value in trial.params.items()]


def report_best(study: optuna.Study, folder: Path, fixed: Sequence[str]) -> None:
    """Print failed trials, the best one, and the command that trains with its options.

    Raises:
        UserError: All trials failed.
    """
    for trial in study.get_trials(states=(TrialState.FAIL,)):
        console.print(
            f"failed: {escape(folder / str(trial.number))} ({escape(' '.join(options_of(trial)))})", soft_wrap=True
        )
    if not study.get_trials(states=(TrialState.COMPLETE,)):
        raise UserError(f"all {len(study.trials)} trials failed: see error.txt in the folders of {folder}")
    best = study.best_trial
    console.print(
        f"best: trial {best.number}, macro F1 on validation {best.value:.4f}, in {escape(folder / str(best.number))}",
        highlight=False,
        soft_wrap=True,
    )
    command = shlex.join([*started_as("train.py"), *fixed, *options_of(best)])
    console.print(escape(command), highlight=False, soft_wrap=True)


def _ended(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(states=(TrialState.COMPLETE, TrialState.FAIL))

"""A run that was stopped resumes in its own folder: where that is, and which choices it resumes with."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from omegaconf import DictConfig, OmegaConf, read_write
from torch import Tensor

from ser.checkpoint import Checkpoint
from ser.config import ConfigError, RunConfig, hydra_word
from ser.errors import UserError, escape
from ser.files import file_error, remove_unfinished
from ser.results import console, flat, read_choices, results_of, started_as, write_choices
from ser.training.ranks import LostRankError

CHANGEABLE = (
    "ckpt_path.", "early_stopping_patience.", "figure_every_n_epochs.", "test_checkpoint.", "trainer.", "logger.",
    "dataset.root.", "dataset.roots.", "dataset.metadata.", "dataset.strict.",
    "datamodule.bank.", "datamodule.cache.", "datamodule.keep_features.",
)  # fmt: skip
"""What a run may resume with otherwise than it began: where and how it is computed, and for how long."""

LAYING_OUT = (
    "trainer.max_epochs", "trainer.max_steps", "trainer.accumulate_grad_batches", "trainer.limit_train_batches",
    "trainer.overfit_batches",
)  # fmt: skip
"""What says over how many steps a one-cycle learning rate is laid out."""

_MISSING = object()


def progress_of(config: RunConfig, folder: Path) -> tuple[dict[str, Any] | None, Path | None]:
    """Find out, and say on screen, how far the run in ``folder`` has come.

    Returns:
        The results of a run that has ended, and the checkpoint that one that was stopped resumes from; None and None
        for a new run.

    Raises:
        UserError: The run can't resume with these choices, or not from its checkpoint.
    """
    checkpoint, last = config.ckpt_path, folder / "checkpoints" / "last.ckpt"
    differing = [] if checkpoint is None else check_resumption(config.choices, checkpoint, folder)
    if (done := results_of(folder, config.choices)) is not None:
        console.print(f"{escape(str(folder))} holds this run already: skipped", soft_wrap=True)
        return done.as_dict(), None
    if checkpoint is None and last.is_file() and (folder / "config.yaml").is_file():
        checkpoint = str(last)
        differing = check_resumption(config.choices, checkpoint, folder)
    if checkpoint is None:
        return None, None
    console.print(f"Resumes from {escape(checkpoint)}", soft_wrap=True)
    if differing:
        console.print(f"With other choices than it began with: {escape(', '.join(differing))}", soft_wrap=True)
    return None, Path(checkpoint)


@rank_zero_only
def begin(folder: Path, choices: dict[str, Any]) -> None:
    """Leave the choices in the run folder, with which the run can resume once a checkpoint also lies there."""
    remove_unfinished(folder)
    write_choices(folder, choices)


@contextmanager
def resumable(folder: Path) -> Iterator[None]:
    """Say how a run resumes where it stops while it is at work in ``folder``.

    Raises:
        UserError: A file of the folder can't be written.
    """
    last = folder / "checkpoints" / "last.ckpt"
    try:
        yield
    except BaseException as error:
        word = hydra_word("ckpt_path", last)
        if (problem := file_error(error, folder)) is not None:
            resume = f"{shlex.quote(word)} resumes from the last complete epoch"
            then = resume if last.is_file() else "start the run again"
            raise UserError(f"{problem}; once that is mended, {then}") from error
        if last.is_file() and (isinstance(error, LostRankError) or not isinstance(error, UserError)):
            command = shlex.join([*started_as("train.py"), word])
            console.print(f"Stopped. {escape(command)} resumes.", soft_wrap=True)
        raise


def run_folder(ckpt_path: str) -> Path:
    """Find the folder of the run that has written a checkpoint.

    Raises:
        ConfigError: There is no such file, or it does not lie in the folder of a run.
    """
    checkpoint = Path(ckpt_path)
    if not checkpoint.is_file():
        raise ConfigError(
            f"ckpt_path={ckpt_path} is not a file: give a run's checkpoints/last.ckpt to resume from it; "
            "a run that was stopped before the end of its first epoch has none, and has to be started again"
        )
    folder = checkpoint.resolve().parents[1]
    if not (folder / "config.yaml").is_file():
        raise ConfigError(
            f"ckpt_path={ckpt_path} does not lie in the folder of a run, because there is no {folder / 'config.yaml'}: "
            "give the last.ckpt of a complete run folder, RUN/checkpoints/last.ckpt"
        )
    return folder


class ResumeInFolder(Callback):
    """Lets a run with ``ckpt_path=RUN/checkpoints/last.ckpt`` resume in ``RUN``.

    Hydra's own record, ``RUN/.hydra``, is left as the run's first command made it.
    """

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ARG002
        """Name the run's folder, before Hydra makes one; a folder that was typed stays, and is looked at by the run."""
        if config.ckpt_path is None:
            return
        try:
            folder = run_folder(str(config.ckpt_path))
        except UserError as error:
            sys.exit(f"error: {error}")
        with read_write(config.hydra):
            if not any(word.startswith("hydra.run.dir=") for word in config.hydra.overrides.hydra):
                config.hydra.run.dir = str(folder)
            config.hydra.output_subdir = None


def resumed(cfg: dict[str, Any], words: list[str]) -> dict[str, Any]:
    """Return the choices to resume with: the run's own, and what was typed beside ``ckpt_path=``.

    Args:
        cfg: What was typed, composed; returned as it is where its ``ckpt_path`` is None.
        words: What was typed.

    Raises:
        ConfigError: ``ckpt_path`` is not of a run, or the run's ``config.yaml`` holds other things than choices.
        UserError: The run's ``config.yaml`` is broken.
    """
    if cfg["ckpt_path"] is None:
        return cfg
    composed = OmegaConf.create(cfg)
    choices = read_choices(folder := run_folder(cfg["ckpt_path"]))
    if other := [key for key, value in cfg.items() if isinstance(value, dict) != isinstance(choices.get(key), dict)]:
        raise ConfigError(f"{folder / 'config.yaml'} does not hold a run's choices: see {', '.join(other)}")
    own = OmegaConf.create(choices)
    for word in words:
        key = word.partition("=")[0].lstrip("+~")
        value = OmegaConf.select(composed, key, default=_MISSING)
        if value is _MISSING:  # of all groups at once, as report= is, or taken out: the complete command counts
            return cfg
        OmegaConf.update(own, key, value, merge=False, force_add=True)
    return OmegaConf.to_container(own)  # type: ignore[return-value]


def changed(cfg: dict[str, Any], own: dict[str, Any]) -> dict[str, str]:
    """List what differs between the choices ``cfg`` and the run's ``own``, by option, in words; not ``ckpt_path``.

    Raises:
        ConfigError: Options differ that training depends on, so that the results would be of neither command.
    """
    new, old = flat(cfg), flat(own)
    differing = {
        key: f"{key}={new.get(key, 'none')} (it began with {old.get(key, 'none')})"
        for key in sorted({*new, *old} - {"ckpt_path"})
        if new.get(key, _MISSING) != old.get(key, _MISSING)
    }
    if fixed := [words for key, words in differing.items() if not f"{key}.".startswith(CHANGEABLE)]:
        raise ConfigError(
            f"a run resumes with the choices that it began with, and not with {', '.join(fixed)}: "
            "leave out all words but ckpt_path= to take the run's own, or start a new run"
        )
    return differing


def is_history(value: object) -> bool:
    """Return whether this is what ``ser.training.callbacks.History`` keeps in a checkpoint."""
    if not isinstance(value, dict):
        return False
    command, epochs, confusion = (value.get(name) for name in ("command", "epochs", "confusion"))
    return (
        isinstance(command, list)
        and all(isinstance(word, str) for word in command)
        and isinstance(epochs, dict)
        and all(type(epoch) is int and isinstance(values, dict) for epoch, values in epochs.items())
        and isinstance(confusion, dict)
        and all(isinstance(counts, Tensor) for counts in confusion.values())
        and type(value.get("seconds")) in (int, float)
    )


def check_resumption(cfg: dict[str, Any], ckpt_path: str, folder: Path) -> list[str]:
    """Refuse to resume where that can't end with what the unbroken run would have found, before any data is read.

    Args:
        cfg: The choices.
        ckpt_path: The checkpoint.
        folder: The folder that the run would resume in.

    Returns:
        What differs from the choices that the run began with, in words.

    Raises:
        ConfigError: The checkpoint is not there, is not of the run in ``folder``, or does not go with the choices.
        UserError: It is broken.
    """
    if (home := run_folder(ckpt_path)) != folder.resolve():
        raise ConfigError(
            f"ckpt_path={ckpt_path} resumes in its own run's folder, {home}, and not in {folder}: leave out "
            "hydra.run.dir= and -m; a sweep resumes with the same command and hydra.sweep.dir="
        )
    differing = changed(cfg, read_choices(home))
    if differing and (home / "metrics.json").is_file():
        raise ConfigError(
            f"{home} has ended, and its results are not of {', '.join(differing.values())}: copy the folder, "
            "remove metrics.json from the copy, and resume there"
        )
    path = Path(ckpt_path)
    checkpoint = Checkpoint.read(path)
    if checkpoint.history is None:
        raise ConfigError(f"{path} was written by an older version, without what resuming needs: start the run again")
    if not is_history(checkpoint.history):
        raise ConfigError(f"{path} is not a checkpoint of a run, because its history is none: start the run again")
    if "val" in checkpoint.history["confusion"] and not (best := path.with_name("best.ckpt")).is_file():
        raise ConfigError(f"{best} is gone, and may have been the run's best epoch: put it back, or start a new run")
    seen, wanted = checkpoint.epoch + 1, cfg["trainer"]["max_epochs"]
    laid_out = [differing[key] for key in LAYING_OUT if key in differing]
    if laid_out and cfg["model"]["schedule"] == "onecycle":
        raise ConfigError(
            f"the run's one-cycle learning rate is laid out over its number of steps, and that changes with "
            f"{', '.join(laid_out)}: resume without, or start a new run"
        )
    if wanted is not None and 0 <= wanted < seen:
        raise ConfigError(
            f"ckpt_path={ckpt_path} has seen {seen} epochs, and trainer.max_epochs={wanted}: "
            "resume with as many or more"
        )
    return list(differing.values())

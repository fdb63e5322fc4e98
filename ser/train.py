"""One run, from choices to a run folder: build → fit → test → report."""

import logging
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning import Trainer, seed_everything
from lightning.pytorch.callbacks import Callback, RichProgressBar
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException, SIGTERMException
from omegaconf import DictConfig

from ser.checkpoint import Checkpoint, CheckpointFiles
from ser.config import (
    CONF,
    ConfigError,
    RunConfig,
    check_choices,
    plain,
    refuse_lists,
    refuse_unreadable,
    register_schemas,
    typed_words,
)
from ser.data.bank import decode_clips, fingerprints, reasons
from ser.data.corpora import SIDES, Clip
from ser.data.corpora.clip import telling
from ser.data.labels import refuse_lost
from ser.data.splits import split_clips
from ser.datamodule import ENROLMENTS, EmotionDataModule
from ser.errors import UserError, escape, outlast_readers, suit_terminal
from ser.evaluation import Answers, answers_about, beside
from ser.evaluation.calibration import Calibration, calibrate, calibration_report
from ser.models import EmotionNetwork
from ser.results import announce, collect, console, describe_enrolment, read_clips, show, started_as, tell_corpus, write
from ser.training.callbacks import (
    AverageWeights,
    EpochCheckpoint,
    EpochSeed,
    History,
    Patience,
    TestAnswers,
)
from ser.training.ranks import alone_in, check_ranks, together
from ser.training.resuming import begin, progress_of, resumable, resumed
from ser.training.starting import Start, read_start, start_from
from ser.training.sweeps import register_launchers, run_in_process
from ser.training.tensorboard import TensorBoard


def main() -> None:
    """Run what was typed."""
    try:
        sweep = not {"-m", "--multirun", "hydra.mode=MULTIRUN"}.isdisjoint(sys.argv)
        refuse_unreadable(typed_words(sys.argv[1:]), sweep)
    except UserError as error:
        sys.exit(f"error: {error}")
    register_schemas()
    register_launchers()
    outlast_readers()
    _main()


@hydra.main(config_path=str(CONF), config_name="config", version_base="1.3")
def _main(cfg: DictConfig) -> float:
    """Run what was composed.

    Returns:
        The best macro F1 on validation, 0 to 1, for Hydra's sweepers; ``ser.training.sweeps`` says what becomes of an
        error.
    """
    job = HydraConfig.get()
    folder, command = Path(job.runtime.output_dir), [*started_as("train.py"), *job.overrides.task]
    try:
        refuse_lists(job.overrides.task, cfg)
        choices = resumed(plain(cfg), job.overrides.task)
        if job.mode == RunMode.MULTIRUN and job.runtime.choices["hydra/launcher"] == "joblib":
            results = run_in_process(folder, run, choices, folder, command)
        else:
            results = run(choices, folder, command)
    except SIGTERMException:  # Lightning's, which would end with status 0, as if all were done
        sys.exit(128 + signal.SIGTERM)
    except (UserError, OSError) as error:
        if job.mode == RunMode.MULTIRUN:
            raise
        sys.exit(f"error: {error}")
    return float(results["checkpoint"]["best_val_macro_f1"])


def run(cfg: dict[str, Any], folder: Path, command: Sequence[str] = ()) -> dict[str, Any]:
    """Build, fit, test, and write the run folder.

    A folder that holds the results of the same choices is left as it is, so that a sweep that was cut off resumes. A
    run whose folder holds a checkpoint and no results resumes from the last complete epoch, as one that is named by
    ``ckpt_path`` does.

    Args:
        cfg: The composed choices, ``conf/config.yaml`` and what it draws in, as plain data.
        folder: The run folder; checkpoints, scores, predictions, figures and logs go into it.
        command: What was typed, for the results.

    Returns:
        What ``metrics.json`` holds; in the other processes of a run on several devices only a part of ``checkpoint``.

    Raises:
        UserError: A choice can't work, data can't be used, or a file can't be written; the message gives the remedy.
    """
    try:
        config = check_choices(cfg)
    except (LookupError, TypeError, AttributeError) as error:  # of a run folder that was written by something else
        raise ConfigError(f"{folder / 'config.yaml'} does not hold a run's choices: {error!r}") from error
    done, checkpoint = progress_of(config, folder)
    if done is not None:
        return done
    # A training that resumes has its weights in its own checkpoint.
    start = read_start(config) if checkpoint is None and config.init_from is not None else None
    with quiet(), resumable(folder), alone_in(folder):
        begin(folder, config.choices)
        training = build(config, folder, command, checkpoint, start)
        with together(training.trainer):
            fit(training, checkpoint)
            test(training)
        return report(training)


@dataclass(frozen=True)
class Training:
    """Holds what a run consists of, once it is built.

    Attributes:
        config: The run's choices.
        folder: The run folder.
        trainer: Lightning's.
        data: The data module, after ``setup``.
        network: The network, as it starts.
        left_out: How many clips of each class ``labels`` left out.
        history: Scores by epoch.
        answers: What the network says of the test clips.
        checkpoints: ``best`` and ``last``.
        board: What TensorBoard shows.
    """

    config: RunConfig
    folder: Path
    trainer: Trainer
    data: EmotionDataModule
    network: EmotionNetwork
    left_out: dict[str, int]
    history: History
    answers: TestAnswers
    checkpoints: dict[str, EpochCheckpoint]
    board: TensorBoard

    @property
    def tested(self) -> Path:
        """The checkpoint that the run tests."""
        return Path(self.checkpoints[self.config.test_checkpoint].best_model_path)

    @property
    def best_score(self) -> float:
        """Macro F1 of the best epoch on validation, 0 to 1."""
        return float(self.checkpoints["best"].best_model_score or 0)


def build(
    config: RunConfig, folder: Path, command: Sequence[str], checkpoint: Path | None, start: Start | None
) -> Training:
    """Build trainer, data and network, and say on screen what is about to be learnt.

    Args:
        config: The choices.
        folder: The run folder.
        command: What was typed.
        checkpoint: What the run resumes from; None for a new one.
        start: What a new run starts from in place of random weights, if anything.
    """
    seed_everything(config.seed, workers=True, verbose=False)
    checkpoints = {name: EpochCheckpoint(folder / "checkpoints", name) for name in ("best", "last")}
    history, answers = History(command), TestAnswers()
    trainer = make_trainer(config, folder, [history, *checkpoints.values(), answers])
    data, left_out = load_data(config, trainer.strategy.root_device)
    for side in SIDES:  # refuses clips that can't be dealt out to so many processes, before they are started
        data.loader(side, 0, trainer.world_size)
    if checkpoint is not None:
        data.add_seen(Checkpoint.read(checkpoint).seen_elsewhere)
    network = config.network(data.input_shape, len(data.labels), **config.network_options)
    if start is not None:
        start_from(start, network, data)
    announce(config.choices, data, network, trainer, left_out)
    if start is not None:
        new = ", ".join(sorted({*data.labels} - {*start.recognizer.labels}))
        line = f"Starts from {start.path}" + (f", to which is new: {new}" if new else "")
        console.print(escape(line), soft_wrap=True)
    trainer.callbacks.append(board := TensorBoard(config.choices, data))  # type: ignore[attr-defined]
    return Training(config, folder, trainer, data, network, left_out, history, answers, checkpoints, board)


def fit(training: Training, checkpoint: Path | None) -> None:
    """Train, from ``checkpoint`` where the run resumes.

    Raises:
        UserError: No epoch came to its end.
    """
    training.trainer.fit(training.network, datamodule=training.data, ckpt_path=checkpoint, weights_only=True)
    if not training.checkpoints["best"].best_model_path:
        raise UserError(
            "no epoch was trained and validated to its end, so there is nothing to test: "
            "see trainer.max_epochs, max_steps, max_time, limit_val_batches and fast_dev_run"
        )


def test(training: Training) -> None:
    """Answer the test clips with the weights of the tested checkpoint, which the network then has."""
    training.trainer.test(
        training.network, datamodule=training.data, ckpt_path=training.tested, weights_only=True, verbose=False
    )


def report(training: Training) -> dict[str, Any]:
    """Calibrate the tested checkpoint, score the answers, write the run folder and show the scores.

    Returns:
        What ``metrics.json`` holds; of the other processes of a run on several devices only a part of ``checkpoint``.
    """
    if not training.trainer.is_global_zero:
        return {"checkpoint": {"best_val_macro_f1": training.best_score}}
    config, data, network = training.config, training.data, training.network
    calibration = calibrate(*logits_of(network, data, "val"))
    _mark_as_tested(training, calibration)
    logits, clips = training.answers.logits, [data.clips[i] for i in training.answers.clips.tolist()]
    table = _answers(data, clips, logits, calibration)
    errors = calibration_report(calibration, len(data.side("val")), logits, torch.from_numpy(table.true))
    training.board.show_answers(network, table)
    record = collect(
        config.choices, data, network, training.history.record(), training.tested, training.best_score,
        training.trainer.precision, table, training.left_out, errors,
    )  # fmt: skip
    if data.prior is not None:
        others = {}
        for other in set(ENROLMENTS) - {data.enrolment}:
            logits, _ = logits_of(network, data.changed(enrolment=other), "test")
            others[other] = beside(_answers(data, data.side("test"), logits, calibration))
        record = replace(record, enrolment={**describe_enrolment(data), "beside": others})
    sounds = {clip.name: clip.path for clip in data.side("test")}
    write(training.folder, config.choices, record, table, training.trainer.loggers, sounds)
    show(record, training.folder)
    return record.as_dict()


def make_trainer(config: RunConfig, folder: Path, callbacks: Sequence[Callback]) -> Trainer:
    """Make Lightning's trainer with a run's callbacks and what else the choices ask for.

    Raises:
        UserError: Lightning refuses an option of ``trainer.``, or the processes of the run are not those it needs.
    """
    callbacks = [EpochSeed(config.seed), *callbacks]
    if config.ema_decay is not None:
        callbacks.insert(0, AverageWeights(config.ema_decay))
    if config.early_stopping_patience is not None:
        callbacks.append(Patience(config.early_stopping_patience))
    if config.trainer["enable_progress_bar"] is not False:
        callbacks.append(RichProgressBar())
    # Known by name, so that the choices of a run folder from elsewhere name nothing that is called.
    loggers: dict[str, Callable[..., Logger]] = {
        "tensorboard": partial(TensorBoardLogger, default_hp_metric=False),
        "csv": CSVLogger,
    }
    name = config.logger["name"]
    settings = {
        **config.trainer,
        "logger": loggers[name](folder, name, "") if name in loggers else False,
        "plugins": [CheckpointFiles()],
        "callbacks": callbacks,
        "default_root_dir": folder,
        "use_distributed_sampler": False,  # Lightning's repeats clips; ser.data.samplers deals out each one once
        "precision": resolve_precision(config.trainer["precision"], config.trainer["accelerator"]),
    }
    try:
        trainer = Trainer(**settings)
    except (MisconfigurationException, ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"trainer.: Lightning refuses these options: {error}") from error
    check_ranks(trainer, config.datamodule["batch_size"])
    return trainer


def make_logger(name: str, folder: Path) -> Logger | None:
    """Make the logger of ``logger=NAME``, whose files go to the run folder's subfolder NAME; None for ``none``.

    Loggers are known by name, so that the choices of a run folder from elsewhere name nothing that is called.
    """
    match name:
        case "tensorboard":
            return TensorBoardLogger(folder, name, "", default_hp_metric=False)
        case "csv":
            return CSVLogger(folder, name, "")
        case _:
            return None


def load_data(
    config: RunConfig, device: torch.device, everything: bool = False
) -> tuple[EmotionDataModule, dict[str, int]]:
    """Read, label, decode and split the clips of a run, and set the data module up on ``device``.

    With ``everything`` all clips of the split are training clips, and none is left for validation and test.

    Returns:
        The data module, and how many clips of each class ``labels`` left out.
    """
    clips, left_out = read_clips(config.choices)
    cache, mapped = config.datamodule["cache"], config.datamodule["bank"] == "mmap"
    folder = None if cache is None else Path(cache).expanduser()
    recordings = decode_clips(clips, config.features.sample_rate, folder, mapped)
    refuse_lost(clips, reasons(recordings.found))
    split = split_clips(clips, fingerprints=fingerprints(recordings.found), **config.split)
    if everything:
        split = replace(split, train=[*split.train, *split.val, *split.test], val=[], test=[])
    data = EmotionDataModule(
        split,
        config.features,
        config.augment,
        strict=config.dataset["strict"],
        seed=config.seed,
        device=device,
        voice=config.dataset.get("voice", "speaker"),
        target=config.dataset.get("target", "emotion"),
        recordings=recordings,
        **config.datamodule,
    )
    with telling(tell_corpus):  # of folders of noise and rooms
        data.setup()
    return data, left_out


def logits_of(network: EmotionNetwork, data: EmotionDataModule, side: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits ``(clip, class)`` and class indices ``(clip,)`` of a side's clips, in single precision."""
    network = network.to(data.device).eval()
    with torch.inference_mode():
        batches = [data.make_batch(torch.as_tensor(clips)) for clips in data.loader(side)]
        logits = torch.cat([network(batch.inputs, batch.lengths) for batch in batches])
    return logits.cpu(), torch.cat([batch.targets for batch in batches]).cpu()


def _mark_as_tested(training: Training, calibration: Calibration) -> None:
    """Write the calibration into the tested checkpoint and into no other, so that the run's folder stands for that."""
    tested = training.tested
    Checkpoint.read(tested).with_calibration(calibration).write(tested)
    for other in {Path(one.best_model_path) for one in training.checkpoints.values()} - {tested}:
        if (untested := Checkpoint.read(other)).calibration is not None:  # this folder's run tested it before
            untested.with_calibration(None).write(other)


def _answers(data: EmotionDataModule, clips: Sequence[Clip], logits: torch.Tensor, calibration: Calibration) -> Answers:
    """Return answers about ``clips`` by logits ``(clip, class)``, at the calibration's temperature."""
    return answers_about(clips, data.labels, calibration.apply(logits.double()).softmax(1).numpy())


def resolve_precision(asked: str | int | None, accelerator: str = "auto") -> Any:
    """Resolve ``trainer.precision=auto``: ``bf16-mixed`` where the processor computes in it, else ``32-true``.

    A 2D network trains about twice as fast in bfloat16. Every other value is Lightning's own and passes as it is.
    """
    if asked != "auto":
        return asked
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    elif accelerator in ("auto", "gpu", "mps") and torch.backends.mps.is_available():
        native = False
    else:
        native = torch.cpu._is_avx512_bf16_supported()
    return "bf16-mixed" if native else "32-true"


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what says nothing about the run, until the context ends.

    Loaders carry nothing but indices, so they need no workers, and they deal out each clip once; what is logged is by
    epoch, of all processes together; Lightning uses what torch calls deprecated; its notices of devices and checkpoints
    are given in this project's own words; and a run that resumes finds files in its folders. What TensorBoard's writer
    can't write is also raised in the main thread.
    """
    loggers = [logging.getLogger(f"lightning.{name}") for name in ("pytorch", "fabric.utilities.distributed")]
    before = threading.excepthook, [logger.level for logger in loggers]
    with warnings.catch_warnings():
        threading.excepthook = _tell_of_thread
        for hint in (".*does not have many workers.*", ".*smaller than the logging interval.*",
                     ".*LeafSpec.*deprecated.*", ".*directory .* exists and is not empty.*", ".*sync_dist=True.*",
                     ".*Using `DistributedSampler` with the dataloaders.*"):  # fmt: skip
            warnings.filterwarnings("ignore", hint)
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        try:
            yield
        finally:
            threading.excepthook, levels = before
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _tell_of_thread(args: threading.ExceptHookArgs) -> None:
    if not (issubclass(args.exc_type, OSError) and type(args.thread).__name__ == "_AsyncWriterThread"):
        threading.__excepthook__(args)


if __name__ == "__main__":
    suit_terminal()
    main()

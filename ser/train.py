"""One run, from choices to a run folder."""

import logging
import shlex
import signal
import sys
import threading
import warnings
from collections.abc import Sequence
from dataclasses import replace
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
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from omegaconf import DictConfig

from ser.augment import Augment
from ser.bank import decode_clips, fingerprints, reasons
from ser.calibration import Calibration, calibrate, calibration_report
from ser.callbacks import (
    AverageWeights,
    Checkpoint,
    CheckpointFiles,
    EpochSeed,
    History,
    Patience,
    TestAnswers,
    read_checkpoint,
)
from ser.cli import suit_terminal
from ser.config import (
    CONF,
    ConfigError,
    check_choices,
    hydra_word,
    network_settings,
    plain,
    refuse_lists,
    refuse_unreadable,
    register_schemas,
    typed_words,
)
from ser.corpora import read_corpora
from ser.corpora.clip import telling
from ser.datamodule import ENROLMENTS, EmotionDataModule
from ser.errors import UserError
from ser.evaluation import Answers, answers_about, beside
from ser.features import FeatureConfig
from ser.files import file_error, remove_unfinished
from ser.labels import Labels, refuse_lost
from ser.models import NETWORKS, EmotionNetwork
from ser.ranks import LostRankError, alone_in, check_ranks, together
from ser.recognizer import add_calibration, remove_calibration
from ser.results import (
    announce,
    collect,
    console,
    describe_enrolment,
    results_of,
    show,
    started_as,
    tell_corpus,
    write,
    write_choices,
)
from ser.resuming import check_resumption, resumed
from ser.screen import escape, outlast_readers
from ser.splits import split_clips
from ser.starting import Start, read_start, start_from
from ser.sweeps import register_launchers, run_apart
from ser.tensorboard import TensorBoard

register_schemas()
register_launchers()


def main() -> None:
    """Run what was typed."""
    try:
        sweep = not {"-m", "--multirun", "hydra.mode=MULTIRUN"}.isdisjoint(sys.argv)
        refuse_unreadable(typed_words(sys.argv[1:]), sweep)
    except UserError as error:
        sys.exit(f"error: {error}")
    outlast_readers()
    _main()


@hydra.main(config_path=str(CONF), config_name="config", version_base="1.3")
def _main(cfg: DictConfig) -> float:
    """Run what was composed.

    Returns:
        The best macro F1 on validation, 0 to 1, for Hydra's sweepers; ``ser.sweeps`` says what becomes of an error.
    """
    job = HydraConfig.get()
    folder, command = Path(job.runtime.output_dir), [*started_as("train.py"), *job.overrides.task]
    try:
        refuse_lists(job.overrides.task, cfg)
        choices = resumed(plain(cfg), job.overrides.task)
        if job.mode == RunMode.MULTIRUN and job.runtime.choices["hydra/launcher"] == "joblib":
            results = run_apart(folder, run, choices, folder, command)
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

    A folder that holds the results of the same choices is left as it is, so that a sweep that was cut off goes on. A
    folder that holds a checkpoint and no results goes on from the last whole epoch, as one that is named by
    ``ckpt_path`` does.

    Args:
        cfg: The composed choices, ``conf/config.yaml`` and what it draws in, as plain data.
        folder: The run folder; checkpoints, scores, predictions, figures and logs go into it.
        command: What was typed, to be told in the results.

    Returns:
        What ``metrics.json`` holds; in the other processes of a run on several devices only a part of ``checkpoint``.

    Raises:
        UserError: A choice can't work, data can't be used, or a file can't be written; the message gives the remedy.
    """
    try:
        check_choices(cfg)
    except (LookupError, TypeError, AttributeError) as error:  # of a run folder that was written by something else
        raise ConfigError(f"{folder / 'config.yaml'} does not hold a run's choices: {error!r}") from error
    ckpt_path, cfg = cfg["ckpt_path"], {**cfg, "ckpt_path": None}
    last = folder / "checkpoints" / "last.ckpt"
    if ckpt_path is not None:
        told = check_resumption(cfg, ckpt_path, folder)
    if (done := results_of(folder, cfg)) is not None:
        console.print(f"{escape(str(folder))} holds this run already: skipped", soft_wrap=True)
        return done.as_dict()
    if ckpt_path is None and last.is_file() and (folder / "config.yaml").is_file():
        ckpt_path = str(last)
        told = check_resumption(cfg, ckpt_path, folder)
    if ckpt_path is not None:
        console.print(f"Goes on from {escape(ckpt_path)}", soft_wrap=True)
        if told:
            console.print(f"With other choices than it began with: {escape(', '.join(told))}", soft_wrap=True)
    # A training that goes on has its weights in its own checkpoint.
    start = read_start(cfg) if ckpt_path is None and cfg["init_from"] is not None else None
    _hush()
    try:
        with alone_in(folder):
            _begin(folder, cfg)
            return _fit_and_test(cfg, folder, command, ckpt_path, start)
    except BaseException as error:
        if (told_of := file_error(error, folder)) is not None:
            word = shlex.quote(hydra_word("ckpt_path", last))
            then = f"{word} goes on from the last whole epoch" if last.is_file() else "start the run again"
            raise UserError(f"{told_of}; once that is mended, {then}") from error
        if last.is_file() and (isinstance(error, LostRankError) or not isinstance(error, UserError)):
            console.print(f"Stopped. {escape(_resuming(last))} goes on.", soft_wrap=True)
        raise


def _resuming(last: Path) -> str:
    """The command that goes on from the checkpoint ``last``, to be pasted into a shell."""
    return shlex.join([*started_as("train.py"), hydra_word("ckpt_path", last)])


@rank_zero_only
def _begin(folder: Path, cfg: dict[str, Any]) -> None:
    """Leave the choices in the run folder, with which it can go on once a checkpoint lies there, too."""
    remove_unfinished(folder)
    write_choices(folder, cfg)


def _fit_and_test(
    cfg: dict[str, Any], folder: Path, command: Sequence[str], ckpt_path: str | None, start: Start | None
) -> dict[str, Any]:
    seed_everything(cfg["seed"], workers=True, verbose=False)
    kept = {name: Checkpoint(folder / "checkpoints", name) for name in ("best", "last")}
    history = History(command)
    callbacks: list[Callback] = [EpochSeed(cfg["seed"]), history, *kept.values(), answers := TestAnswers()]
    if cfg["ema_decay"] is not None:
        callbacks.insert(0, AverageWeights(cfg["ema_decay"]))
    if cfg["early_stopping_patience"] is not None:
        callbacks.append(Patience(cfg["early_stopping_patience"]))
    if cfg["trainer"]["enable_progress_bar"] is not False:
        callbacks.append(RichProgressBar())
    settings = {
        **cfg["trainer"],
        "logger": make_logger(cfg["logger"]["name"], folder) or False,
        "plugins": [CheckpointFiles()],
        "callbacks": callbacks,
        "default_root_dir": folder,
        "use_distributed_sampler": False,  # Lightning's repeats clips; ser.samplers deals out each one once
        "precision": resolve_precision(cfg["trainer"]["precision"], cfg["trainer"]["accelerator"]),
    }
    try:
        trainer = Trainer(**settings)
    except (MisconfigurationException, ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"trainer.: Lightning refuses these options: {error}") from error
    check_ranks(trainer, cfg["datamodule"]["batch_size"])

    data, left_out = load_data(cfg, trainer.strategy.root_device)
    data.check_deal(trainer.world_size)
    if ckpt_path is not None:
        data.add_heard(read_checkpoint(Path(ckpt_path))["EmotionDataModule"].get("heard_elsewhere", ()))
    network = NETWORKS[cfg["model"]["name"]](data.input_shape, len(data.labels), **network_settings(cfg))
    if start is not None:
        start_from(start, network, data)
    announce(cfg, data, network, trainer, left_out)
    if start is not None:
        new = ", ".join(sorted({*data.labels} - {*start.recognizer.labels}))
        console.print(
            escape(f"Starts from {start.path}" + (f", to which is new: {new}" if new else "")), soft_wrap=True
        )
    trainer.callbacks.append(board := TensorBoard(cfg, data))  # type: ignore[attr-defined]

    with together(trainer):
        trainer.fit(network, datamodule=data, ckpt_path=ckpt_path, weights_only=True)
        if not kept["best"].best_model_path:
            raise UserError(
                "no epoch was trained and validated to its end, so there is nothing to test: "
                "see trainer.max_epochs, max_steps, max_time, limit_val_batches and fast_dev_run"
            )
        tested = Path(kept[cfg["test_checkpoint"]].best_model_path)
        best_score = float(kept["best"].best_model_score or 0)
        trainer.test(network, datamodule=data, ckpt_path=tested, weights_only=True, verbose=False)
    if not trainer.is_global_zero:
        return {"checkpoint": {"best_val_macro_f1": best_score}}

    calibration = calibrate(*answers_of(network, data, "val"))
    add_calibration(tested, calibration)
    for other in {Path(one.best_model_path) for one in kept.values()} - {tested}:
        remove_calibration(other)
    table, errors = _calibrated(data, answers, calibration)
    board.show_answers(network, table)
    record = collect(cfg, data, network, history, tested, best_score, trainer.precision, table, left_out, errors)
    if data.prior is not None:
        others = {other: _beside(network, data.enrolled(other), calibration) for other in _others(data)}
        record = replace(record, enrolment={**describe_enrolment(data), "beside": others})
    write(folder, cfg, record, table, trainer.loggers, {clip.name: clip.path for clip in data.side("test")})
    show(record, folder)
    return record.as_dict()


def make_logger(name: str, folder: Path) -> Logger | None:
    """The logger of ``logger=NAME``, with its files in the run folder's subfolder of that name; None for ``none``.

    Loggers are known by name, so that the choices of a run folder from elsewhere name nothing that is called.
    """
    match name:
        case "tensorboard":
            return TensorBoardLogger(folder, name, "", default_hp_metric=False)
        case "csv":
            return CSVLogger(folder, name, "")
        case _:
            return None


def load_data(cfg: dict[str, Any], device: torch.device) -> tuple[EmotionDataModule, dict[str, int]]:
    """Read, label, decode and split what ``cfg`` names, and set the data module up on ``device``.

    Returns:
        The data module, and how many clips of each class ``labels`` left out.
    """
    dataset = cfg["dataset"]
    with telling(tell_corpus):
        read = read_corpora(dataset)
    clips, left_out = Labels(**cfg["labels"]).apply(read)
    cache, mapped = cfg["datamodule"]["cache"], cfg["datamodule"]["bank"] == "mmap"
    folder = None if cache is None else Path(cache).expanduser()
    recordings = decode_clips(clips, cfg["features"]["sample_rate"], folder, mapped)
    refuse_lost(clips, reasons(recordings))
    data = EmotionDataModule(
        split_clips(clips, fingerprints=fingerprints(recordings), **cfg["split"]),
        FeatureConfig(**cfg["features"]),
        Augment(cfg["features"]["sample_rate"], **cfg["augment"]),
        strict=dataset["strict"],
        seed=cfg["seed"],
        device=device,
        voice=dataset.get("voice", "speaker"),
        target=dataset.get("target", "emotion"),
        recordings=recordings,
        **cfg["datamodule"],
    )
    del recordings  # the data module lets go of them once they are in its bank
    with telling(tell_corpus):  # of folders of noise and rooms
        data.setup()
    return data, left_out


def answers_of(network: EmotionNetwork, data: EmotionDataModule, side: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits ``(clip, class)`` and class indices ``(clip,)`` of a side's clips, in single precision."""
    network = network.to(data.device).eval()
    with torch.inference_mode():
        batches = [data.make_batch(torch.as_tensor(clips)) for clips in data.loader(side)]
        logits = torch.cat([network(batch.inputs) for batch in batches])
    return logits.cpu(), torch.cat([batch.targets for batch in batches]).cpu()


def _others(data: EmotionDataModule) -> list[str]:
    return [enrolment for enrolment in ENROLMENTS if enrolment != data.enrolment]


def _beside(network: EmotionNetwork, data: EmotionDataModule, calibration: Calibration) -> dict[str, Any]:
    """Scores of the test clips with their intervals, for ``metrics.json``, under the data module's enrolment."""
    logits, _ = answers_of(network, data, "test")
    probabilities = calibration.apply(logits.double()).softmax(1)
    return beside(answers_about(data.side("test"), data.labels, probabilities.numpy()))


def _calibrated(data: EmotionDataModule, answers: TestAnswers, calibration: Calibration) -> tuple[Answers, Any]:
    """Test answers at the calibration's temperature, and the calibration errors for ``metrics.json``."""
    probabilities = calibration.apply(answers.logits.double()).softmax(1)
    table = answers_about([data.clips[i] for i in answers.clips.tolist()], data.labels, probabilities.numpy())
    right = torch.from_numpy(table.true)
    return table, calibration_report(calibration, len(data.side("val")), answers.logits, right)


def resolve_precision(asked: str | int | None, accelerator: str = "auto") -> Any:
    """What ``trainer.precision=auto`` means here: ``bf16-mixed`` where the processor computes in it, else ``32-true``.

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


def _hush() -> None:
    """Silence what says nothing about the run.

    Loaders carry nothing but indices, so they need no workers, and they deal out each clip once; what is logged is by
    epoch, of all processes together; Lightning uses what torch calls deprecated; its notices of devices and checkpoints
    are told in this project's own words; and a run that goes on finds files in its folders. What TensorBoard's writer
    can't write is raised in the main thread, too.
    """
    threading.excepthook = _tell_of_thread
    for hint in (".*does not have many workers.*", ".*smaller than the logging interval.*", ".*LeafSpec.*deprecated.*",
                 ".*directory .* exists and is not empty.*", ".*sync_dist=True.*",
                 ".*Using `DistributedSampler` with the dataloaders.*"):  # fmt: skip
        warnings.filterwarnings("ignore", hint)
    for name in ("pytorch", "fabric.utilities.distributed"):
        logging.getLogger(f"lightning.{name}").setLevel(logging.WARNING)


def _tell_of_thread(args: threading.ExceptHookArgs) -> None:
    if not (issubclass(args.exc_type, OSError) and type(args.thread).__name__ == "_AsyncWriterThread"):
        threading.__excepthook__(args)


if __name__ == "__main__":
    suit_terminal()
    main()

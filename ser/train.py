"""One run, from choices to a run folder."""

import logging
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from hydra.types import RunMode
from hydra.utils import instantiate
from lightning import Trainer, seed_everything
from lightning.pytorch.callbacks import Callback, EarlyStopping, RichProgressBar
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig
from rich.markup import escape

from ser.augment import Augment
from ser.bank import decode_clips, fingerprints
from ser.calibration import Calibration, calibrate, calibration_error
from ser.callbacks import Checkpoint, EpochSeed, History, TestAnswers
from ser.config import CONF, check_choices, network_settings, plain, refuse_lists, register_schemas
from ser.corpora import read_corpora
from ser.datamodule import EmotionDataModule
from ser.errors import UserError
from ser.evaluation import Answers, answers_about, cross_entropy, evaluate
from ser.features import FeatureConfig
from ser.labels import Labels
from ser.models import NETWORKS, EmotionNetwork
from ser.recognizer import add_calibration
from ser.results import announce, collect, console, results_of, show, started_as, write
from ser.splits import split_clips
from ser.tensorboard import TensorBoard

register_schemas()


@hydra.main(config_path=str(CONF), config_name="config", version_base="1.3")
def main(cfg: DictConfig) -> None:
    """Run what was typed."""
    job = HydraConfig.get()
    try:
        refuse_lists(job.overrides.task, cfg)
        run(plain(cfg), Path(job.runtime.output_dir), command=[*started_as("train.py"), *job.overrides.task])
    except (UserError, OSError) as error:
        if job.mode == RunMode.MULTIRUN:
            raise CompactHydraException(f"error: {error}") from error  # Hydra runs the other jobs, then prints it
        sys.exit(f"error: {error}")


def run(cfg: dict[str, Any], folder: Path, command: Sequence[str] = ()) -> dict[str, Any]:
    """Build, fit, test, and write the run folder.

    A folder that holds the results of the same choices is left as it is, so that a sweep that was cut off goes on.

    Args:
        cfg: The composed choices, ``conf/config.yaml`` and what it draws in, as plain data.
        folder: The run folder; checkpoints, scores, predictions, figures and logs go into it.
        command: What was typed, to be told in the results.

    Returns:
        What ``metrics.json`` holds.

    Raises:
        UserError: A choice can't work or data can't be used; the message gives the remedy.
    """
    started = time.perf_counter()
    if (done := results_of(folder, cfg)) is not None:
        console.print(f"{escape(str(folder))} holds this run already: skipped", soft_wrap=True)
        return done
    check_choices(cfg)
    _hush()
    seed_everything(cfg["seed"], workers=True, verbose=False)
    resumed_from = Path(cfg["ckpt_path"]).parent if cfg["ckpt_path"] is not None else None
    kept = {name: Checkpoint(folder / "checkpoints", name, resumed_from) for name in ("best", "last")}
    callbacks: list[Callback] = [EpochSeed(cfg["seed"]), *kept.values(), answers := TestAnswers()]
    if cfg["early_stopping_patience"] is not None:
        callbacks.append(EarlyStopping("val/macro_f1", mode="max", patience=cfg["early_stopping_patience"]))
    if cfg["trainer"]["enable_progress_bar"] is not False:
        callbacks.append(RichProgressBar())
    logger: Logger = instantiate(cfg["logger"], save_dir=folder)
    settings = {
        **cfg["trainer"],
        "logger": [logger, history := History()],
        "callbacks": callbacks,
        "default_root_dir": folder,
        "precision": resolve_precision(cfg["trainer"]["precision"], cfg["trainer"]["accelerator"]),
    }
    try:
        trainer = Trainer(**settings)
    except (MisconfigurationException, ValueError, TypeError) as error:
        raise UserError(f"trainer.: Lightning refuses these options: {error}") from error

    data, left_out = load_data(cfg, trainer.strategy.root_device)
    network = NETWORKS[cfg["model"]["name"]](data.input_shape, len(data.labels), **network_settings(cfg))
    announce(cfg, data, network, trainer, left_out)
    trainer.callbacks.append(board := TensorBoard(cfg, data))  # type: ignore[attr-defined]

    try:
        trainer.fit(network, datamodule=data, ckpt_path=cfg["ckpt_path"], weights_only=True)
    except BaseException:
        if last := kept["last"].best_model_path:
            console.print(f"Stopped. The same command with ckpt_path={escape(last)} goes on.", soft_wrap=True)
        raise
    logged = _values(trainer)
    if not kept["best"].best_model_path:
        raise UserError(
            "no epoch was trained and validated to its end, so there is nothing to test: "
            "see trainer.max_epochs, max_steps, max_time, limit_val_batches and fast_dev_run"
        )
    tested = Path(kept[cfg["test_checkpoint"]].best_model_path)
    best_score = float(kept["best"].best_model_score or 0)
    trainer.test(network, datamodule=data, ckpt_path=tested, weights_only=True, verbose=False)
    logged |= _values(trainer)

    calibration = calibrate(*validation_answers(network, data))
    add_calibration(tested, calibration)
    table, errors = _calibrated(data, answers, calibration)
    board.show_answers(network, table)
    seconds = time.perf_counter() - started
    results = collect(cfg, data, network, logged, tested, best_score, trainer.precision, command, seconds)
    results["test"]["loss"] = cross_entropy(table)
    results |= {
        "labels": {"classes": data.labels, "left_out": left_out},
        "calibration": errors,
        "history": [{"epoch": epoch, **values} for epoch, values in sorted(history.epochs.items())],
        **evaluate(table),
    }
    write(folder, cfg, results, table, trainer.loggers, {clip.name: clip.path for clip in data.side("test")})
    show(results, folder)
    return results


def load_data(cfg: dict[str, Any], device: torch.device) -> tuple[EmotionDataModule, dict[str, int]]:
    """Read, label, decode and split what ``cfg`` names, and set the data module up on ``device``.

    Returns:
        The data module, and how many clips of each class ``labels`` left out.
    """
    dataset = cfg["dataset"]
    clips, left_out = Labels(**cfg["labels"]).apply(read_corpora(dataset))
    recordings = decode_clips(clips, cfg["features"]["sample_rate"])
    data = EmotionDataModule(
        split_clips(clips, fingerprints=fingerprints(recordings), **cfg["split"]),
        FeatureConfig(**cfg["features"]),
        Augment(**cfg["augment"]),
        strict=dataset["strict"],
        seed=cfg["seed"],
        device=device,
        target=dataset.get("target", "emotion"),
        recordings=recordings,
        **cfg["datamodule"],
    )
    del recordings  # the data module lets go of them once they are in its bank
    data.setup()
    return data, left_out


def validation_answers(network: EmotionNetwork, data: EmotionDataModule) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits ``(clip, class)`` and class indices ``(clip,)`` of the validation clips, in single precision."""
    network = network.to(data.device).eval()
    with torch.inference_mode():
        batches = [data.make_batch(torch.as_tensor(clips)) for clips in data.val_dataloader()]
        logits = torch.cat([network(batch.inputs) for batch in batches])
    return logits.cpu(), torch.cat([batch.targets for batch in batches]).cpu()


def _calibrated(data: EmotionDataModule, answers: TestAnswers, calibration: Calibration) -> tuple[Answers, Any]:
    """Test answers at the calibration's temperature, and the calibration errors for ``metrics.json``."""
    probabilities = (answers.logits / calibration.temperature).softmax(1)
    table = answers_about([data.clips[i] for i in answers.clips.tolist()], data.labels, probabilities.double().numpy())
    right = torch.from_numpy(table.true)
    return table, {
        "temperature": calibration.temperature,
        "validation_clips": len(data.side("val")),
        "test_error_before": calibration_error(answers.logits.softmax(1), right),
        "test_error": calibration_error(probabilities, right),
        "test_loss_before": torch.nn.functional.cross_entropy(answers.logits, right).item(),
    }


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


def _values(trainer: Trainer) -> dict[str, float]:
    return {tag: float(value) for tag, value in trainer.callback_metrics.items()}


def _hush() -> None:
    """Silence what says nothing about the run.

    Loaders carry nothing but indices, so they need no workers; everything is logged by epoch; Lightning uses what torch
    calls deprecated; and its notices of devices and checkpoints are told in this project's own words.
    """
    for hint in (".*does not have many workers.*", ".*smaller than the logging interval.*", ".*LeafSpec.*deprecated.*"):
        warnings.filterwarnings("ignore", hint)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)

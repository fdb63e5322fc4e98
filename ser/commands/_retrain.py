"""What ``ser retrain`` does: the recipe of a tested run, trained once more on all of its clips."""

from dataclasses import replace
from pathlib import Path

from lightning import seed_everything
from torch import Tensor

from ser.checkpoint import Checkpoint, find_checkpoint
from ser.config import check_choices
from ser.errors import UserError, escape
from ser.results import console, read_choices, tell_unusable, write_choices
from ser.train import load_data, make_trainer, quiet
from ser.training.callbacks import EpochCheckpoint, History
from ser.training.ranks import alone_in


def retrain(run: Path, folder: Path, half: bool = False) -> Path:
    """Train the recipe of ``run`` on its training, validation and test clips together.

    Nothing is left to be scored, so the run's own scores speak for the model, and its probabilities are calibrated as
    the run's are, whose validation speakers the run had not trained on. A training that was stopped resumes.

    Args:
        run: Folder of a run that ended, with ``test_checkpoint=last``.
        folder: Where the checkpoint goes, with ``config.yaml``.
        half: Keep the weights in half precision, which halves the file.

    Returns:
        The checkpoint.

    Raises:
        UserError: The run has no tested checkpoint, chose its epoch on validation, was adapted, or its clips can't be
            used.
    """
    tested = Checkpoint.read(find_checkpoint(run))
    try:
        config = check_choices(read_choices(run))
    except (LookupError, TypeError, AttributeError) as error:  # of a run folder that was written by something else
        raise UserError(f"{run / 'config.yaml'} does not hold a run's choices: {error!r}") from error
    if tested.calibration is None:
        raise UserError(f"{run} was not tested, so nothing says how sure its answers are: let its run end")
    if config.test_checkpoint != "last":
        raise UserError(
            f"{run} chose its epoch on validation clips, and there are none when all clips are trained on: train it "
            "with test_checkpoint=last"
        )
    if config.init_from is not None:
        raise UserError(f"{run} started from another run, init_from={config.init_from}, which can't be done again here")
    if config.early_stopping_patience is not None:
        raise UserError(
            f"{run} may have ended early by validation clips, and there are none when all clips are trained on: train "
            "it with early_stopping_patience=null"
        )
    if tested.adapted:
        raise UserError(f"{run} was adapted to other recordings: give the run that it was adapted from")
    last, made = folder / "checkpoints" / "last.ckpt", folder / "checkpoints" / "final.ckpt"
    others = sorted(path.name for path in (folder / "checkpoints").glob("*.ckpt") if path not in (last, made))
    if others or (folder / "metrics.json").exists() or folder.resolve() == run.resolve():
        raise UserError(f"{folder} holds a run of its own: give a new folder")
    if (folder / "config.yaml").is_file() and read_choices(folder) != config.choices:
        raise UserError(f"{folder} holds a model with other choices than {run}: give a new folder")
    if made.is_file():
        console.print(f"{escape(str(folder))} holds this model already: skipped", soft_wrap=True)
        return made
    with quiet(), alone_in(folder):
        seed_everything(config.seed, workers=True, verbose=False)
        write_choices(folder, config.choices)
        unvalidated = {"limit_val_batches": 0, "num_sanity_val_steps": 0}
        config = replace(config, trainer={**config.trainer, **unvalidated})
        callbacks = [History(), EpochCheckpoint(last.parent, "last")]
        trainer = make_trainer(config, folder, callbacks)
        data, left_out = load_data(config, trainer.strategy.root_device, everything=True)
        network = config.network(data.input_shape, len(data.labels), **config.network_options)
        tell_unusable(data.skipped)
        console.print(
            f"{len(data.clips):,} clips of {escape(', '.join(data.labels))}, all of them for training"
            + (f"; left out by labels: {sum(left_out.values()):,}" if left_out else "")
            + f". {trainer.max_epochs} epochs, precision {trainer.precision}, seed {config.seed}",
            soft_wrap=True,
        )
        if tested.labels != data.labels:
            raise UserError(f"{run} knows {', '.join(tested.labels)}, and its clips show {', '.join(data.labels)} now")
        trainer.fit(network, datamodule=data, ckpt_path=last if last.is_file() else None, weights_only=True)
        found = replace(Checkpoint.read(last), training={}, history=None, calibration=tested.calibration)
        if half:
            weights = {name: _halved(value) for name, value in found.weights.items()}
            if lost := [name for name, value in weights.items() if not value.isfinite().all()]:
                raise UserError(f"{lost[0]} has numbers that half precision can't hold: leave out --half")
            found = replace(found, weights=weights)
        found.write(made)
        last.unlink()
    return made


def _halved(value: Tensor) -> Tensor:
    return value.half() if value.is_floating_point() else value

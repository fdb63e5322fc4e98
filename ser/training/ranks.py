"""Several processes that train one network: where they write, and what becomes of all when one fails.

Each device has a process, its *rank*. Lightning starts those of one machine itself; ``torchrun`` and SLURM's ``srun``
start those of one or more. Rank 0 writes and prints, the others only compute.
"""

import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch.distributed
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from lightning import Trainer
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies import ParallelStrategy
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from ser.config import hydra_word
from ser.data.samplers import share_of
from ser.errors import UserError
from ser.files import InUseError, check_writable, claim, new_folder
from ser.results import console
from ser.training.sweeps import end_with

FOLDER = "ser/run_folder"
"""The key under which rank 0 gives the run folder to the others, in the store that torchrun keeps for them."""

ONE_DEVICE = (
    "a job of a sweep takes one device, and Hydra's launchers run several jobs at once: leave out trainer.devices=, "
    "torchrun and srun, or start one run after another without -m"
)


class LostRankError(UserError):
    """Reports that another process of the run has ended, without which this one can't continue."""


def processes_started() -> int:
    """Return how many processes torchrun or srun has started for this run; 1 where neither did."""
    if torch.distributed.is_torchelastic_launched():
        return int(os.environ["WORLD_SIZE"])
    return int(os.environ.get("SLURM_STEP_NUM_TASKS", "1"))


def _rank() -> int:
    """Return the rank of this process, as far as its environment says before Lightning has begun."""
    return int(getattr(rank_zero_only, "rank", 0))


class OneFolder(Callback):
    """Gives all processes of a run one folder, and no other run the same one at the same time.

    Hydra would make one per process, named by the second in which it began. Where another run began in the same second,
    the name gets a number behind it.

    Lightning gives the processes that it starts the folder of the first. Under torchrun rank 0 gives it to the others,
    and under srun the folder is ``outputs/slurm/JOB.STEP``. Only rank 0 writes Hydra's own files.
    """

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ARG002
        """Agree on ``hydra.run.dir`` unless it, or a run to resume, was given."""
        words = config.hydra.overrides.hydra
        given = config.ckpt_path is not None or any(word.startswith("hydra.run.dir=") for word in words)
        with read_write(config), open_dict(config):
            if not given:
                named_by_time = _is_named_by_time(config.hydra.run)
                config.hydra.run.dir = _agreed(config.hydra.run.dir, named_by_time)
            if _rank() > 0:
                console.quiet = True
                end_with(os.getppid())
                config.hydra.output_subdir = None
                config.hydra.job_logging.handlers.pop("file", None)
                config.hydra.job_logging.root.handlers = ["console"]

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ARG002
        """Refuse a sweep in several processes, because each would run all jobs; name its folder."""
        if processes_started() > 1:
            sys.exit(f"error: {ONE_DEVICE}" if _rank() == 0 else 1)
        if _is_named_by_time(config.hydra.sweep):
            folder = _new("hydra.sweep.dir", config.hydra.sweep.dir)
            with read_write(config), open_dict(config):
                config.hydra.sweep.dir = folder
                config.hydra.overrides.hydra.append(hydra_word("hydra.sweep.dir", folder))  # for its jobs


class AloneInFolder(Callback):
    """Makes the folder of results, and refuses a run in one that another run is at work in, before Hydra writes there.

    It ends in words where that fails; Hydra would end with a traceback.
    """

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ARG002
        """Make the run's folder, and keep other runs out until this process ends."""
        with _made("hydra.run.dir", config.hydra.run.dir):
            check_writable(Path(config.hydra.run.dir))
        try:
            self.claimed = alone_in(Path(config.hydra.run.dir))
        except (InUseError, OSError) as error:
            sys.exit(f"error: hydra.run.dir={config.hydra.run.dir}: {error}")

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ARG002
        """Make the sweep's folder."""
        with _made("hydra.sweep.dir", config.hydra.sweep.dir):
            check_writable(Path(config.hydra.sweep.dir))


def alone_in(folder: Path) -> AbstractContextManager[object]:
    """Keep other runs out of ``folder`` until the context ends; rank 0 has the lock for all processes of this run.

    Raises:
        InUseError: Another run is at work there.
        OSError: The folder can't be written to.
    """
    return claim(folder) if _rank() == 0 else nullcontext()


def _is_named_by_time(place: DictConfig) -> bool:
    return "${now:" in str(OmegaConf.to_container(place, resolve=False)["dir"])  # type: ignore[call-overload, index]


@contextmanager
def _made(option: str, folder: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        sys.exit(f"error: {option}={folder} can't be made or written to: {error.strerror or error}")


def _new(option: str, folder: str) -> str:
    with _made(option, folder):
        return str(new_folder(Path(folder)))


def _agreed(folder: str, named_by_time: bool) -> str:
    if torch.distributed.is_torchelastic_launched() and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        store = torch.distributed.TCPStore(address, port, is_master=False)
        if _rank() == 0:
            store.set(FOLDER, _new("hydra.run.dir", folder) if named_by_time else folder)
        return store.get(FOLDER).decode()
    if processes_started() > 1 and "SLURM_JOB_ID" in os.environ:
        return f"outputs/slurm/{os.environ['SLURM_JOB_ID']}.{os.environ['SLURM_STEP_ID']}"
    if processes_started() > 1 or int(os.environ.get("WORLD_SIZE", "1")) > 1 or "NODE_RANK" in os.environ:
        sys.exit("error: these processes can't agree on a run folder: give hydra.run.dir=, the same to all of them")
    return _new("hydra.run.dir", folder) if named_by_time else folder


def check_ranks(trainer: Trainer, batch_size: int) -> None:
    """Check that the processes of a run are those that were started, and let only rank 0 print.

    Args:
        trainer: The run's trainer.
        batch_size: Clips per step, of all processes together.

    Raises:
        UserError: Another number was started, the batch can't be dealt out to them, it is a job of a sweep, or an
            option does not work on several devices.
    """
    console.quiet = not trainer.is_global_zero
    if console.quiet:
        warnings.simplefilter("ignore")  # rank 0 says the same
    asked = f"trainer.devices={trainer.num_devices} trainer.num_nodes={trainer.num_nodes}"
    if (count := processes_started()) not in (1, trainer.world_size):
        raise UserError(
            f"{count} processes were started (by torchrun or srun), and {asked} are {trainer.world_size}: "
            "start as many, or set these to what was started"
        )
    if trainer.world_size == 1:
        return
    share_of(batch_size, trainer.world_size)
    if HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN:
        raise UserError(f"{asked}: {ONE_DEVICE}")
    strategy = trainer.strategy
    if not isinstance(strategy, ParallelStrategy) or strategy.cluster_environment is None:
        raise UserError(f"trainer.strategy={type(strategy).__name__} was not tried on several devices: take ddp")
    environment = strategy.cluster_environment
    given = {"MASTER_ADDR", "MASTER_PORT", "NODE_RANK"} <= set(os.environ)
    if trainer.num_nodes > 1 and isinstance(environment, LightningEnvironment) and not given:
        raise UserError(f"trainer.num_nodes={trainer.num_nodes}: start the run with torchrun or srun on each machine")
    try:
        environment.validate_settings(trainer.num_devices, trainer.num_nodes)
    except ValueError as error:
        raise UserError(f"{asked}: {error}") from error
    if trainer.strategy.root_device.type == "cpu" and getattr(strategy, "_layer_sync", None) is not None:
        raise UserError("trainer.sync_batchnorm=true works on GPUs only: leave it out on CPUs")


@contextmanager
def together(trainer: Trainer) -> Iterator[None]:
    """Let the processes of a run work together: when one fails, no other continues or waits for it.

    Rank 0 ends those that it has started. Where another process was lost, the error says so. Afterwards each process
    is on its own, and rank 0 computes scores and the like from what it has.

    Raises:
        LostRankError: Another process has ended.
    """
    try:
        yield
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    except BaseException as error:
        if trainer.strategy.launcher is not None:
            # A process that waits for another does not react to SIGTERM.
            launcher: Any = trainer.strategy.launcher
            launcher.kill(getattr(signal, "SIGKILL", signal.SIGTERM))
            launcher.procs.clear()  # Lightning looks every 5 s whether one has failed, and would also kill this one
        gloo = isinstance(error, RuntimeError) and "gloo" in str(error)  # whose errors have no type of their own
        if trainer.world_size > 1 and (gloo or isinstance(error, torch.distributed.DistError)):
            raise LostRankError(
                f"rank {trainer.global_rank} has lost another of the {trainer.world_size} processes of this run, which "
                "was killed or failed; what it said itself stands above"
            ) from error
        raise

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from lightning import Trainer
from omegaconf import DictConfig

import ser.training.ranks
from ser.config import register_schemas
from ser.errors import UserError
from ser.results import console
from ser.training.callbacks import RANK_STEP, EpochSeed
from ser.training.ranks import AloneInFolder, LostRankError, OneFolder, check_ranks, processes_started, together
from tests.helpers import locked_elsewhere

CONF = Path(__file__).parents[2] / "conf"

SLURM = {
    "SLURM_JOB_ID": "4242", "SLURM_STEP_ID": "0", "SLURM_JOB_NAME": "ser", "SLURM_NTASKS": "4",
    "SLURM_STEP_NUM_TASKS": "4", "SLURM_NTASKS_PER_NODE": "2", "SLURM_NNODES": "2", "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1", "SLURM_NODEID": "1", "SLURM_NODELIST": "node[1-2]",
}  # fmt: skip
TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "none", "RANK": "1", "LOCAL_RANK": "1", "GROUP_RANK": "0", "WORLD_SIZE": "2",
    "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500",
}  # fmt: skip


@pytest.fixture
def rank(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    """``rank.setattr("ser.training.ranks.rank_zero_only.rank", 1)`` makes this another process; it is undone."""
    for name in ("WORLD_SIZE", "NODE_RANK", "LOCAL_RANK", "RANK", "MASTER_ADDR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(ser.training.ranks, "end_with", lambda parent: None)
    monkeypatch.chdir(tmp_path)
    yield monkeypatch
    console.quiet = False


def hydra(*words: str) -> DictConfig:
    register_schemas()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", list(words), return_hydra_config=True)
    cfg.hydra.overrides.hydra = [word for word in words if word.startswith("hydra.")]
    return cfg


def trainer(**options: Any) -> Trainer:
    return Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False, **options)


def test_alone_a_run_keeps_the_folder_that_hydra_names(rank: pytest.MonkeyPatch) -> None:
    cfg = hydra()
    before = cfg.hydra.run.dir, cfg.hydra.output_subdir
    OneFolder().on_run_start(cfg)
    assert (cfg.hydra.run.dir.split("/")[:1], cfg.hydra.output_subdir) == (before[0].split("/")[:1], before[1])
    assert "file" in cfg.hydra.job_logging.handlers


def test_runs_of_one_second_get_a_folder_each_and_so_do_sweeps(rank: pytest.MonkeyPatch) -> None:
    runs = [hydra() for _ in range(3)]
    for cfg in runs:
        cfg.hydra.run.dir, cfg.hydra.sweep.dir = "outputs/${now:%Y}", "outputs/multirun/${now:%Y}"
        OneFolder().on_run_start(cfg)
        OneFolder().on_multirun_start(cfg)
    first = runs[0].hydra.run.dir
    assert [cfg.hydra.run.dir for cfg in runs] == [first, f"{first}-2", f"{first}-3"]
    assert [Path(cfg.hydra.sweep.dir).name for cfg in runs] == [Path(f"{first}{n}").name for n in ("", "-2", "-3")]
    assert runs[2].hydra.overrides.hydra == [f"hydra.sweep.dir={runs[2].hydra.sweep.dir}"], "which jobs are made from"
    Path("file").touch()
    cfg.hydra.run.dir = "file/${now:%Y}"
    with pytest.raises(SystemExit, match=r"error: hydra\.run\.dir=file/\d+ can't be made or written to"):
        OneFolder().on_run_start(cfg)


def test_a_folder_that_another_run_is_at_work_in_is_refused_by_rank_0(rank: pytest.MonkeyPatch) -> None:
    run = hydra("hydra.run.dir=mine")
    with locked_elsewhere(Path("mine")):
        with pytest.raises(SystemExit, match=r"error: hydra\.run\.dir=mine: another run is at work in mine: wait for"):
            AloneInFolder().on_run_start(run)
        rank.setattr(ser.training.ranks.rank_zero_only, "rank", 1)
        AloneInFolder().on_run_start(run)
    rank.setattr(ser.training.ranks.rank_zero_only, "rank", 0)
    AloneInFolder().on_run_start(run)


def test_under_slurm_the_folder_is_named_by_job_and_step_and_rank_0_alone_writes(rank: pytest.MonkeyPatch) -> None:
    for name, value in SLURM.items():
        rank.setenv(name, value)
    rank.setattr(ser.training.ranks.rank_zero_only, "rank", 3)
    cfg = hydra()
    OneFolder().on_run_start(cfg)
    assert cfg.hydra.run.dir == "outputs/slurm/4242.0"
    assert cfg.hydra.output_subdir is None
    assert list(cfg.hydra.job_logging.handlers) == ["console"] == list(cfg.hydra.job_logging.root.handlers)
    assert console.quiet
    given = hydra("hydra.run.dir=mine")
    OneFolder().on_run_start(given)
    assert given.hydra.run.dir == "mine"


def test_under_torchrun_the_others_take_the_folder_of_rank_0(rank: pytest.MonkeyPatch) -> None:
    store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True)
    for name, value in {**TORCHRUN, "TORCHELASTIC_USE_AGENT_STORE": "True", "MASTER_PORT": str(store.port)}.items():
        rank.setenv(name, value)
    rank.setattr(ser.training.ranks.rank_zero_only, "rank", 0)
    first, second = hydra(), hydra()
    OneFolder().on_run_start(first)
    second.hydra.run.dir = "outputs/a/second/later"
    rank.setattr(ser.training.ranks.rank_zero_only, "rank", 1)
    OneFolder().on_run_start(second)
    assert second.hydra.run.dir == first.hydra.run.dir


@pytest.mark.parametrize(
    "known", [{"NODE_RANK": "1"}, {"WORLD_SIZE": "2"}, TORCHRUN], ids=["node", "world", "torchrun"]
)
def test_processes_that_cannot_agree_on_a_folder_must_be_given_one(
    known: dict[str, str], rank: pytest.MonkeyPatch
) -> None:
    rank.delenv("TORCHELASTIC_USE_AGENT_STORE", raising=False)
    for name, value in known.items():
        rank.setenv(name, value)
    with pytest.raises(SystemExit, match=r"give hydra\.run\.dir="):
        OneFolder().on_run_start(hydra())
    OneFolder().on_run_start(hydra("hydra.run.dir=mine"))


def test_a_sweep_in_several_processes_is_refused(rank: pytest.MonkeyPatch) -> None:
    OneFolder().on_multirun_start(hydra())
    for name, value in SLURM.items():
        rank.setenv(name, value)
    rank.setattr(ser.training.ranks.rank_zero_only, "rank", 0)
    with pytest.raises(SystemExit, match="a job of a sweep takes one device"):
        OneFolder().on_multirun_start(hydra())


def test_a_run_on_one_device_passes(rank: pytest.MonkeyPatch) -> None:
    check_ranks(trainer(devices=1), batch_size=7)
    assert processes_started() == 1
    assert not console.quiet


def test_what_was_started_must_be_what_was_asked_for(rank: pytest.MonkeyPatch) -> None:
    for name, value in TORCHRUN.items():
        rank.setenv(name, value)
    with pytest.raises(UserError, match=r"2 processes were started .* trainer\.devices=1 trainer\.num_nodes=1 are 1"):
        check_ranks(trainer(devices=1), batch_size=8)
    check_ranks(trainer(devices=2), batch_size=8)
    assert console.quiet, "this is rank 1"


def test_slurms_numbers_of_nodes_and_tasks_are_those_of_the_trainer(rank: pytest.MonkeyPatch) -> None:
    for name, value in SLURM.items():
        rank.setenv(name, value)
    check_ranks(trainer(devices=2, num_nodes=2), batch_size=8)
    with pytest.raises(UserError, match=r"trainer\.devices=4 trainer\.num_nodes=1: .*ntasks-per-node"):
        check_ranks(trainer(devices=4), batch_size=8)


@pytest.mark.parametrize(
    ("options", "batch_size", "words"),
    [
        ({"devices": 3}, 128, r"datamodule\.batch_size=128 .* 3 devices: take 126 or 129"),
        ({"devices": 2, "num_nodes": 2}, 128, "with torchrun or srun on each machine"),
        ({"devices": 2, "sync_batchnorm": True}, 128, r"trainer\.sync_batchnorm=true works on GPUs only"),
    ],
)
def test_what_does_not_work_on_several_devices_is_refused_in_words(
    options: dict[str, Any], batch_size: int, words: str, rank: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=words):
        check_ranks(trainer(**options), batch_size)


def test_a_lost_process_is_told_in_words_and_other_errors_pass(rank: pytest.MonkeyPatch) -> None:
    killed: list[int] = []

    class Launcher:
        def __init__(self) -> None:
            self.procs = ["another"]

        def kill(self, signum: int) -> None:
            killed.append(signum)

    two = trainer(devices=2)
    rank.setattr(two.strategy, "_launcher", launcher := Launcher())
    lost = RuntimeError("[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer")
    with pytest.raises(LostRankError, match="rank 0 has lost another of the 2 processes"), together(two):
        raise lost
    with pytest.raises(LostRankError), together(two):
        raise torch.distributed.DistBackendError("NCCL")
    with pytest.raises(RuntimeError, match="shapes"), together(two):
        raise RuntimeError("shapes do not fit")
    assert launcher.procs == [], "Lightning watches them no longer"
    assert len(killed) == 3, "whatever happened, no other process is left to wait"
    with pytest.raises(RuntimeError, match="gloo"), together(trainer(devices=1)):
        raise lost


def test_each_process_draws_its_own_and_rank_0_what_one_alone_draws() -> None:
    class At:
        current_epoch = 3

        def __init__(self, rank: int) -> None:
            self.global_rank = rank

    def draws(seed: int, rank: int) -> list[float]:
        at: Any = At(rank)
        EpochSeed(seed).on_train_epoch_start(at, at)
        return torch.rand(4).tolist()

    for seed in (1, 2**32 - 1):
        assert len({tuple(draws(seed, rank)) for rank in range(64)}) == 64
        assert draws(seed, 1) == draws(seed, 1)
        alone = torch.rand(4, generator=torch.Generator().manual_seed(seed * 1_000_003 + 3)).tolist()
        assert draws(seed, 0) == alone
    # However long a run is, no process draws in one epoch what another draws in another.
    starts = sorted(rank * RANK_STEP % 2**32 for rank in range(1024))
    assert min(after - before for before, after in pairwise([*starts, starts[0] + 2**32])) > 1_000_000

"""Train, test and leave a run folder: ``python train.py model=paper2d features=mel``."""

import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from ser.config import plain, refuse_lists, register_schemas
from ser.errors import UserError
from ser.train import run

register_schemas()


@hydra.main(config_path="conf", config_name="config", version_base="1.3")
def main(cfg: DictConfig) -> None:
    """Hand the composed choices to ``ser.train.run``."""
    job = HydraConfig.get()
    try:
        refuse_lists(job.overrides.task, cfg)
        run(plain(cfg), Path(job.runtime.output_dir), command=["train.py", *job.overrides.task])
    except UserError as error:
        if job.mode == RunMode.MULTIRUN:
            raise  # Hydra runs the other jobs first
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()

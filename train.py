"""Train, test and leave a run folder: ``python train.py model=paper2d features=mel``."""

from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from ser.config import plain, register_schemas
from ser.train import run

register_schemas()


@hydra.main(config_path="conf", config_name="config", version_base="1.3")
def main(cfg: DictConfig) -> None:
    """Hand the composed choices to ``ser.train.run``."""
    job = HydraConfig.get()
    run(plain(cfg), Path(job.runtime.output_dir), command=["train.py", *job.overrides.task])


if __name__ == "__main__":
    main()

"""Training on a Ray cluster: Ray places the processes, torch.distributed joins them, as torchrun does.

    python examples/cluster/ray_train.py my.yaml /shared/runs/mine --workers 8 --gpus 1

Each worker makes the call of `unilatent train`. All machines must see the configuration, its data and the run folder.
The same command continues a run, also with another number of workers.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch.distributed as dist
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer


def train(job: dict[str, Any]) -> None:
    """What one worker does: it has RANK, WORLD_SIZE and MASTER_ADDR in its environment."""
    from s2s.run import load_config, train_run

    dist.destroy_process_group()  # Ray's; a run joins its processes itself, with gloo beside NCCL
    train_run(load_config(Path(job["config"]), job["overrides"]), job["output"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--gpus", type=float, default=0, help="Of each worker.")
    args = parser.parse_args()
    job = {"config": str(args.config.absolute()), "output": str(args.output.absolute()), "overrides": args.overrides}
    resources = {"CPU": 1, "GPU": args.gpus} if args.gpus else {"CPU": 1}
    scaling = ScalingConfig(num_workers=args.workers, use_gpu=bool(args.gpus), resources_per_worker=resources)
    storage = RunConfig(storage_path=str(args.output.absolute().parent / "ray"), name=args.output.name)
    TorchTrainer(
        train,
        train_loop_config=job,
        scaling_config=scaling,
        run_config=storage,
        torch_config=TorchConfig(backend="gloo"),
    ).fit()


if __name__ == "__main__":
    main()

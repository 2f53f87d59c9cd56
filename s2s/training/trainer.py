"""The training loop: sums divided by global weights, phases, validation, checkpoints, exact resumption.

One update with W ranks and A micro-batches on each, for a criterion that returns the sum s of a batch with weight w:

    1. w is known from each batch in advance; its sum over all W * A batches is the global weight.
    2. Each rank runs backward on s / global weight, batch by batch; gradients are added up over batches and ranks.
    3. Clip the gradient of all ranks together, step, update the moving average of the weights.

So the result does not depend on the distribution of the batches. The randomness of a forward pass (dropout) is seeded
by (seed, epoch, position of the batch), so it depends neither on that, nor on where a run was interrupted.
A criterion with several phases (a GAN) gets one optimizer and one such update for each, on the same batches; the sums
that its phases return have different names.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import signal
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch
from torch import Tensor, nn

from s2s import checkpoint
from s2s.criteria.base import Criterion
from s2s.errors import ConfigError, InputError
from s2s.models.base import Model
from s2s.nn import products
from s2s.nn.adapters import relative_changes
from s2s.ranks import Ranks
from s2s.training.config import TrainConfig
from s2s.training.data_loader import DataLoader, MicroBatch
from s2s.training.distributed import TrainStep, evaluating, fill_, gathered, gathered_weights, gradient_sync, wrap
from s2s.training.ema import EMA
from s2s.training.logging import TrainingLog
from s2s.training.loss_scale import LossScale
from s2s.training.means import Means
from s2s.training.optim import OptimConfig, make_optimizer, make_schedule, set_lr
from s2s.training.state import (
    Progress,
    gather_tensors,
    optimizer_templates,
    optimizer_tensors,
    parameters_of,
    restore_optimizer,
)
from s2s.training.stopping import StopRequest
from s2s.training.validation import GenerationMetric, Sample


class Trainer:
    """Trains a model, with the weights to start from or those of the checkpoint to resume, into the folder `run`.

    `seed` seeds dropout and other randomness of the forward pass; `generation` measures what the best weights are
    chosen by, if that is not the validation loss.
    """

    def __init__(
        self,
        model: Model,
        criterion: Criterion,
        train_loader: DataLoader,
        valid_loader: DataLoader | None,
        config: TrainConfig,
        optim: OptimConfig,
        seed: int,
        run: Path,
        ranks: Ranks,
        generation: GenerationMetric | None = None,
    ) -> None:
        self._config, self._optim, self._seed, self._run, self._ranks = config, optim, seed, run, ranks
        self._train_loader, self._valid_loader, self._generation = train_loader, valid_loader, generation
        self.model = model
        self._step_module = TrainStep(model, criterion)
        partial = len(criterion.phases) > 1 or not criterion.reaches_all_parameters
        self._module = wrap(self._step_module, ranks, config.parallel, model.blocks(), partial)
        self._criterion = criterion
        self._weights = checkpoint.named_tensors(model)
        named = list(self._step_module.named_parameters())
        self._names = {id(parameter): name for name, parameter in named}
        self._optimizers = {}
        for phase in criterion.phases:
            chosen = {id(parameter) for parameter in criterion.parameters_of(phase, model)}
            self._optimizers[phase] = make_optimizer(optim, [(n, p) for n, p in named if id(p) in chosen])
        self._mean = None if config.ema_decay is None else EMA(self._weights, config.ema_decay)
        self.progress = Progress(loss_scale=LossScale() if config.precision == "float16" else None)
        self.progress.products = ranks.gather([products.library()])[0]  # the ranks of a run agree
        products.use(self.progress.products)
        self._first_step = 0

    @property
    def has_begun(self) -> bool:
        """Whether this process has done an update."""
        return self.progress.step > self._first_step

    def restore(self, folder: Path) -> None:
        """Resume from the checkpoint of the model's weights; InputError if a file is missing or damaged."""
        self.progress = Progress.read(folder)
        self.progress.products = self.progress.products or "onednn"
        products.use(self.progress.products)
        self._first_step = self.progress.step
        path = folder / checkpoint.TRAINING
        tensors = checkpoint.read_tensors(path)
        self._check_state(path, tensors)

        def part(prefix: str) -> dict[str, Tensor]:
            return {n.removeprefix(prefix): tensor for n, tensor in tensors.items() if n.startswith(prefix)}

        for name, values in part("criterion/").items():
            fill_(checkpoint.named_tensors(self._criterion)[name], values)
        for name, values in part("weights/").items():  # the model file holds their running mean
            fill_(self._weights[name], values)
        for phase, optimizer in self._optimizers.items():
            restore_optimizer(optimizer, self._names, part(f"optimizer/{phase}/"))

    def _check_state(self, path: Path, tensors: Mapping[str, Tensor]) -> None:
        """Refuse an incomplete training state, with which training would continue differently."""
        wanted = {f"criterion/{name}": tensor for name, tensor in checkpoint.named_tensors(self._criterion).items()}
        if self._mean:
            wanted |= {f"weights/{name}": tensor for name, tensor in self._weights.items()}
        state: dict[str, Tensor] = {}
        for phase, optimizer in self._optimizers.items():
            of_phase = optimizer_templates(optimizer, self._names)
            state |= {f"optimizer/{phase}/{name}": tensor for name, tensor in of_phase.items()}
        written = self.progress.tensors  # parameters that never had a gradient have no state
        may_lack = state if len(tensors) == written or (written is None and tensors.keys() & state.keys()) else ()
        checkpoint.check_fit(path, tensors, {**wanted, **state}, may_lack)

    @property
    def loaders(self) -> dict[str, DataLoader]:
        """The batches by split."""
        return {"train": self._train_loader} | ({"valid": self._valid_loader} if self._valid_loader else {})

    def time_updates(self, count: int) -> float:
        """Mean seconds of `count` updates, after one of the largest batch. This trainer must not train afterwards."""
        largest = [self._train_loader.largest()] * self._config.accumulate
        self._update(largest, self._global_weights(largest), 0.0, Means())
        means = Means()
        with contextlib.closing(self._updates()) as updates:
            for micro_batches, _ in itertools.islice(updates, count):
                weights = self._global_weights(micro_batches)
                self._update(micro_batches, weights, 0.0, means)
                means.count_update(weights)
        return means.seconds_per_update

    def check_length(self, former: TrainConfig) -> None:
        """Raise a ConfigError if the learning rates so far would have been others with the new length of the run."""
        done = self.progress.step
        if self._config.max_minutes is not None:
            return  # a run by the clock cannot be made longer
        before, now = (make_schedule(self._optim, self.total_steps(config)) for config in (former, self._config))
        if any(before(step) != now(step) for step in range(done)):
            raise ConfigError(
                f"{self._run}: cannot be made longer: with optim.schedule={self._optim.schedule} the learning rates of "
                f"the {done} updates done would have been others; start another run from its weights: "
                f"model.init={self._run}"
            )

    def fit(self) -> int:
        """Train until the end (returns 0), or until a signal asks to stop (returns its number).

        Raises:
            InputError: the loss is not finite, or a checkpoint cannot be written.
        """
        progress, total_steps = self.progress, self.total_steps(self._config)
        schedule = make_schedule(self._optim, total_steps)
        clocked = self._config.max_minutes is not None
        shown = None if clocked else total_steps
        log = TrainingLog(self._run, progress.step, shown, self._ranks.first, self._config.loggers)
        with contextlib.closing(log), StopRequest.listen() as request, contextlib.closing(self._updates()) as updates:
            means = Means()
            for micro_batches, place in updates:
                if clocked:
                    total_steps = self.total_steps(self._config)
                    schedule = make_schedule(self._optim, total_steps)
                epoch, lr = progress.epoch, self._optim.lr * schedule(progress.step)
                weights, stop = self._global_weights(micro_batches), self._stop_requested(request.signal)
                grad_norm = self._update(micro_batches, weights, lr, means)
                if not math.isfinite(grad_norm) and (scale := progress.loss_scale):
                    log.say(
                        f"update {progress.step + 1}: the gradients overflowed; skipped, loss scale {scale.value:g}"
                    )
                progress.step, (progress.epoch, progress.position) = progress.step + 1, place
                seconds = means.count_update(weights)
                progress.seconds += self._mean_over_ranks(seconds) if clocked else seconds
                progress.finished = progress.is_over(self._config)
                if self._mean is not None:
                    self._mean.update(progress.step)
                log.advance(progress.step)
                if progress.step % self._config.log_every == 0 or progress.finished or stop:
                    means = self._log(log, means, epoch, lr, grad_norm, total_steps)
                best = self._validate_if_due(log)
                self._save_if_due(best, stop)
                means.resume_clock()
                if stop or progress.finished:
                    return 0 if progress.finished else stop
        raise AssertionError("an epoch without updates")

    def _updates(self) -> Generator[tuple[list[MicroBatch], tuple[int, int]], None, None]:
        """The updates from here on, endlessly, with the (epoch, position) after each."""
        while True:
            yield from self._train_loader.updates(self.progress.epoch, self.progress.position, self._config.accumulate)

    def total_steps(self, config: TrainConfig) -> int:
        """Updates of a whole run of that length."""
        if config.max_steps is not None:
            return config.max_steps
        here = self.progress
        if config.max_minutes is not None:  # at the speed so far
            return max(here.step + 1, round(here.step * 60 * config.max_minutes / max(here.seconds, 1e-9)))
        assert config.epochs is not None
        first = {here.epoch: here.position}  # later epochs start at 0
        return here.step + sum(
            self._train_loader.num_updates(epoch, first.get(epoch, 0), self._config.accumulate)
            for epoch in range(here.epoch, config.epochs)
        )

    def _global_weights(self, micro_batches: Sequence[MicroBatch]) -> dict[str, float]:
        """The weights of an update, its tokens among them, added up over micro-batches and ranks."""
        weights = {"tokens": 0.0}
        for micro in micro_batches:
            own = {**self._criterion.weights(micro.batch), "tokens": float(micro.batch.num_tokens)}
            for name, value in own.items():
                weights[name] = weights.get(name, 0.0) + (value if micro.counts else 0.0)
        return dict(zip(weights, self._ranks.sum(list(weights.values())), strict=True))

    def _mean_over_ranks(self, value: float) -> float:
        """The same number on every rank, so that all end after the same update."""
        return self._ranks.sum([value])[0] / self._ranks.size

    def _stop_requested(self, received: int) -> int:
        """The signal that this rank, or else any other, received; 0 if there was none."""
        any_received = self._ranks.sum([float(received > 0)])[0] > 0
        return (received or int(signal.SIGTERM)) if any_received else 0

    def _update(self, micro_batches: Sequence[MicroBatch], weights: dict[str, float], lr: float, means: Means) -> float:
        """One optimizer step of each phase; returns the norm of the last phase's gradient before clipping."""
        batches = [replace(micro, batch=micro.batch.to(self._ranks.device)) for micro in micro_batches]
        norm, scale = 0.0, self.progress.loss_scale
        for index, (phase, optimizer) in enumerate(self._optimizers.items()):
            self._module.zero_grad(set_to_none=True)
            losses = []
            for micro in batches:
                with gradient_sync(self._module, micro is batches[-1]):
                    sums = self._forward(self._module, micro, phase, index)
                    loss = self._loss(sums, weights)
                    # DDP and FSDP divide the sum of the ranks' gradients by their number
                    factor = self._ranks.size * (1.0 if scale is None else scale.value) if micro.counts else 0
                    (loss * factor).backward()  # type: ignore[no-untyped-call]
                losses.append(loss.detach())
                if micro.counts:
                    means.add(sums)
            norm = self._clip(optimizer)
            if math.isfinite(norm):
                set_lr(optimizer, lr)
                optimizer.step()
            elif not self._may_skip(losses):
                self._refuse(micro_batches, losses)
            if scale is not None:
                scale.adapt(math.isfinite(norm))
        return norm

    def _may_skip(self, losses: Sequence[Tensor]) -> bool:
        """Whether gradients that are not finite may come from the scale of the loss; all ranks get the same answer."""
        bad = self._ranks.sum([float(any(not math.isfinite(float(loss)) for loss in losses))])[0] > 0
        return self.progress.loss_scale is not None and not self.progress.loss_scale.is_exhausted and not bad

    def _forward(self, module: nn.Module, micro: MicroBatch, phase: str, index: int) -> dict[str, Tensor]:
        place = [self._seed, self.progress.epoch, micro.position, index]
        torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0]))
        device = self._ranks.device.type
        half = torch.float16 if self._config.precision == "float16" else torch.bfloat16
        # without the cache of casts, which would keep the gathered weights of FSDP alive
        with torch.autocast(device, half, self._config.precision != "float32", cache_enabled=False):
            sums: dict[str, Tensor] = module(micro.batch, phase)
        return sums

    def _loss(self, sums: dict[str, Tensor], weights: dict[str, float]) -> Tensor:
        """This batch's part of the global mean."""
        parts = [sums[name].float() / (weights[name] or 1.0) for name in self._criterion.losses if name in sums]
        return torch.stack(parts).sum()

    def _clip(self, optimizer: torch.optim.Optimizer) -> float:
        """Limit the norm of the gradients, and return what it was."""
        if self.progress.loss_scale is not None:
            self.progress.loss_scale.unscale(parameters_of(optimizer))
        limit = self._optim.clip_norm or math.inf
        norm = nn.utils.clip_grad_norm_(parameters_of(optimizer), limit)
        return float(gathered(norm))

    def _refuse(self, micro_batches: Sequence[MicroBatch], losses: Sequence[Tensor]) -> NoReturn:
        """Stop before a loss or gradient that is not finite reaches the weights."""
        values = [float(loss) for loss in losses]
        bad = [not math.isfinite(value) for value in values]
        any_bad = self._ranks.sum([float(any(bad))])[0] > 0
        ids = [
            id
            for micro, is_bad in zip(micro_batches, bad, strict=True)
            if micro.counts and (is_bad or not any_bad)
            for id in micro.batch.ids
        ]
        ids = self._ranks.gather(ids)
        shown = ", ".join(ids[:20]) + (f" and {len(ids) - 20} more" if len(ids) > 20 else "")
        raise InputError(
            f"update {self.progress.step + 1}: the {'loss' if any_bad else 'gradient'} is not finite, in the batch of "
            f"the records {shown}; the weights were not changed, and no checkpoint was touched; "
            "look at these records, or lower optim.lr"
        )

    def _log(self, log: TrainingLog, means: Means, epoch: int, lr: float, grad_norm: float, total_steps: int) -> Means:
        progress = self.progress
        record = {"step": progress.step, "epoch": epoch + 1, **means.read(self._ranks)}
        record |= {"lr": lr, "grad_norm": grad_norm, "tokens_per_s": means.tokens_per_s, "seconds": progress.seconds}
        record["wait"] = self._train_loader.take_wait() / means.seconds
        left = means.seconds_per_update * (total_steps - progress.step)
        if self._config.max_minutes is not None:
            left = 60 * self._config.max_minutes - progress.seconds
        log.train(record, seconds_left=max(0.0, left))
        return Means()

    def _validate_if_due(self, log: TrainingLog) -> bool | None:
        """Whether the validation is the best so far; None if it is not time to validate."""
        progress, every = self.progress, self._config.validate_every
        due = progress.position == 0 if every is None else progress.step % every == 0
        if self._valid_loader is None or not (due or progress.finished):
            return None
        return self._validate(log, self._valid_loader, due)

    def _save_if_due(self, best: bool | None, stop: int) -> None:
        """Save after a validation, from time to time, and at the end; `best` is from `_validate_if_due`."""
        progress, every = self.progress, self._config.save_every
        on_time = every is not None and progress.step % every == 0
        if best is not None or on_time or stop or progress.finished:
            self._save(publish=best or self._valid_loader is None)

    def _validate(self, log: TrainingLog, loader: DataLoader, due: bool) -> bool:
        """Log the means over the validation split, and the metric of outputs; returns whether it is the best so far.

        Only validations that are due count for the patience, so that a run can be made longer later.
        """
        progress, samples = self.progress, list[Sample]()
        with self._mean.in_place() if self._mean else contextlib.nullcontext(), evaluating(self._module) as module:
            values = self._validation_means(module, loader)
            losses = {name: values[name] for name in self._criterion.losses if name in values}
            if not math.isfinite(total := sum(losses.values())):
                raise InputError(f"update {progress.step}: the validation loss is {total}; no checkpoint was touched")
            loss = sum(losses[name] for name in losses if name not in self._criterion.adversarial_losses)
            if self._generation is not None:
                with gathered_weights(self._module):
                    values[self._generation.name], samples = self._generation.measure(self.model)
        value = loss if self._generation is None else values[self._generation.name]
        best = progress.note_validation(value, self._config, due)
        epoch = progress.epoch + (progress.position > 0)
        log.validation({"step": progress.step, "epoch": epoch, **values}, best, samples)
        log.changes(progress.step, relative_changes(self.model))
        if due and progress.is_stopped(self._config):
            progress.finished = True
            log.say(f"stopping: {progress.validations_since_best} validations in a row were no better than the best")
        return best

    def _validation_means(self, module: nn.Module, loader: DataLoader) -> dict[str, float]:
        means = Means()
        for micro_batches, _ in loader.updates(epoch=0, position=0, accumulate=1):
            weights = self._global_weights(micro_batches)
            for micro in micro_batches:
                batch = replace(micro, batch=micro.batch.to(self._ranks.device))
                for index, phase in enumerate(self._criterion.phases):
                    sums = self._forward(module, batch, phase, index)
                    if micro.counts:
                        means.add(sums)
            means.count_update(weights)
        return means.read(self._ranks)

    def _save(self, publish: bool) -> None:
        """Write a checkpoint, and the weights to decode with if `publish`; then delete old checkpoints."""
        first, progress = self._ranks.first, self.progress
        decode_weights = gather_tensors(self._mean.mean if self._mean else self._weights, first)
        training = {f"criterion/{n}": t for n, t in checkpoint.named_tensors(self._criterion).items()}
        if self._mean:
            training |= {f"weights/{name}": tensor for name, tensor in self._weights.items()}
        for phase, optimizer in self._optimizers.items():
            state = optimizer_tensors(optimizer, self._names)
            training |= {f"optimizer/{phase}/{name}": tensor for name, tensor in state.items()}
        training = gather_tensors(training, first)
        progress.tensors = len(training)
        with self._ranks.together():  # nobody continues, or ends, before the files are there
            if first:
                if publish:  # first, so that a run that is killed in between is not left behind its own checkpoint
                    checkpoint.write_weights(decode_weights, self._run / checkpoint.WEIGHTS)
                checkpoint.write_checkpoint(self._run, progress.step, decode_weights, training, progress.as_record())
                last = [checkpoint.step_of(path) for path in checkpoint.checkpoints(self._run)]
                best = [step for _, step in progress.best[: self._config.keep_best]]
                checkpoint.remove_checkpoints(self._run, keep=[*last[-self._config.keep_last :], *best])

"""What changes the weights, and by how much from epoch to epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.optim import Optimizer, lr_scheduler

from anipipe.errors import ConfigError
from anipipe.suggest import nearest

OPTIMIZERS = ("AdamW", "Adam", "SGD", "RMSprop")
SCHEDULERS = (
    *("LRListScheduler", "SequentialLR", "StepLR", "MultiStepLR", "ExponentialLR", "LinearLR", "ConstantLR"),
    *("CosineAnnealingLR", "CosineAnnealingWarmRestarts", "PolynomialLR"),
)


class LRListScheduler(lr_scheduler.LRScheduler):
    """Learning rates by list: from each milestone on, the next ones.

    Parameters
    ----------
    optimizer
        Whose learning rates are set.
    milestones
        After how many epochs.
    lr_list
        The rates from then on, one per group of weights.
    """

    def __init__(self, optimizer: Optimizer, milestones: list[int], lr_list: list[list[float]]) -> None:
        self.rates: dict[int, list[float | torch.Tensor]] = {
            after: [*rates] for after, rates in zip(milestones, lr_list, strict=True)
        }
        super().__init__(optimizer)

    def get_lr(self) -> list[float | torch.Tensor]:
        """Return the rates that hold now."""
        return self.rates.get(self.last_epoch) or [group["lr"] for group in self.optimizer.param_groups]


def make_optimizer(network: torch.nn.Module, config: Mapping[str, Any], source: str) -> Optimizer:
    """Make the optimizer that a pytorch_config.yaml names in ``runner.optimizer``.

    Raises
    ------
    ConfigError
        Unknown, or with parameters that it does not take.
    """
    kind = config.get("type") or "AdamW"
    _check(kind, OPTIMIZERS, f"{source}: runner.optimizer.type")
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    try:
        optimizer: Optimizer = getattr(torch.optim, kind)(weights, **_numbers(config.get("params") or {}))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{source}: runner.optimizer.params: {error}") from error
    return optimizer


def make_scheduler(
    optimizer: Optimizer, config: Mapping[str, Any] | None, source: str
) -> lr_scheduler.LRScheduler:
    """Make the scheduler that a pytorch_config.yaml names in ``runner.scheduler``; without, rates stay.

    Raises
    ------
    ConfigError
        Unknown, or with parameters that it does not take.
    """
    if not config:
        return LRListScheduler(optimizer, [], [])
    kind = config.get("type") or ""
    _check(kind, SCHEDULERS, f"{source}: runner.scheduler.type")
    params = dict(config.get("params") or {})
    params.pop("verbose", None)
    made: Any = LRListScheduler if kind == "LRListScheduler" else getattr(lr_scheduler, kind)
    try:
        if kind == "SequentialLR":
            params["schedulers"] = [make_scheduler(optimizer, one, source) for one in params["schedulers"]]
        scheduler: lr_scheduler.LRScheduler = made(optimizer, **_numbers(params))
    except (TypeError, ValueError, KeyError) as error:
        raise ConfigError(f"{source}: runner.scheduler.params of {kind}: {error}") from error
    return scheduler


def _check(kind: str, known: tuple[str, ...], where: str) -> None:
    if kind not in known:
        near = nearest(kind, known)
        hint = f"; did you mean {near!r}?" if near else ""
        raise ConfigError(f"{where} {kind!r} is not known{hint} ({', '.join(known)})")


def _numbers(value: Any) -> Any:
    """Return settings with numbers for texts such as "4e-05", which YAML 1.1 takes for words."""
    if isinstance(value, Mapping):
        return {key: _numbers(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_numbers(one) for one in value]
    if isinstance(value, str):
        return float(value)
    return value

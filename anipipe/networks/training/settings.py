"""What a pytorch_config.yaml says about training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from anipipe.errors import ConfigError
from anipipe.networks.models import Preparation
from anipipe.networks.training.augmentation import Augmentation, read_augmentation


@dataclass(frozen=True)
class Settings:
    """How to train.

    Attributes
    ----------
    epochs, batch_size, seed : int
    augmentation : Augmentation
    preparation : Preparation
        How pictures become the network's input.
    optimizer, scheduler : dict
        As in the file.
    freeze_statistics, freeze_normalisation : bool
        Batch normalisation in the backbone keeps the statistics, and the weights, that it starts with.
    eval_interval, save_epochs : int
        After how many epochs the test frames are predicted, and a snapshot is kept.
    max_snapshots : int
        Of those that are not the best one, so many are kept.
    save_optimizer : bool
        Snapshots hold the optimizer's state.
    """

    epochs: int = 200
    batch_size: int = 8
    seed: int = 42
    augmentation: Augmentation = field(default_factory=Augmentation)
    preparation: Preparation = field(default_factory=Preparation)
    optimizer: Mapping[str, Any] = field(default_factory=dict)
    scheduler: Mapping[str, Any] | None = None
    freeze_statistics: bool = False
    freeze_normalisation: bool = False
    eval_interval: int = 10
    save_epochs: int = 25
    max_snapshots: int = 5
    save_optimizer: bool = False


def read_settings(config: Mapping[str, Any], extra: Mapping[str, Any], source: str) -> Settings:
    """Read the settings; keys that are absent or null keep DeepLabCut's defaults.

    Parameters
    ----------
    config
        The content of a pytorch_config.yaml.
    extra
        What anipipe knows beyond it (``brightness``, ``contrast``).
    source
        The file, for messages.

    Raises
    ------
    ConfigError
        A value that makes no sense, or a way of training that anipipe has not.
    """
    data, runner, train = (dict(config.get(key) or {}) for key in ("data", "runner", "train_settings"))
    pictures = data.get("train") or {}
    snapshots = runner.get("snapshots") or {}
    backbone = (config.get("model") or {}).get("backbone") or {}
    if pictures.get("scale_to_unit_range"):
        raise ConfigError(
            f"{source}: data.train.scale_to_unit_range: anipipe trains with normalize_images, or with grey "
            "levels as they are. Set it to false."
        )
    return Settings(
        epochs=_count(train, "epochs", Settings.epochs, source),
        batch_size=_count(train, "batch_size", Settings.batch_size, source),
        seed=_count(train, "seed", Settings.seed, source, least=0),
        augmentation=read_augmentation(pictures, extra, source),
        preparation=Preparation(
            divisor=_divisor(pictures.get("auto_padding") or {}),
            normalise=pictures.get("normalize_images") is not False,
            rgb=str(data.get("colormode") or "RGB").upper() == "RGB",
        ),
        optimizer=dict(runner.get("optimizer") or {}),
        scheduler=runner.get("scheduler"),
        freeze_statistics=bool(backbone.get("freeze_bn_stats")),
        freeze_normalisation=bool(backbone.get("freeze_bn_weights")),
        eval_interval=_count(runner, "eval_interval", Settings.eval_interval, source),
        save_epochs=_count(snapshots, "save_epochs", Settings.save_epochs, source),
        max_snapshots=_count(snapshots, "max_snapshots", Settings.max_snapshots, source),
        save_optimizer=bool(snapshots.get("save_optimizer_state")),
    )


def _count(section: Mapping[str, Any], key: str, default: int, source: str, least: int = 1) -> int:
    value = section.get(key)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(f"{source}: {key} = {value!r}: give a whole number, at least {least}")
    return value


def _divisor(padding: Mapping[str, Any]) -> int:
    return max(int(padding.get(f"pad_{side}_divisor") or 1) for side in ("width", "height"))

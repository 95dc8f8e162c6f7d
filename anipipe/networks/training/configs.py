"""Settings of new trainings: a pytorch_config.yaml that DeepLabCut 3 understands."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anipipe.errors import UsageError
from anipipe.networks.deeplabcut_sources import CONFIG
from anipipe.networks.settings_files import read_settings
from anipipe.suggest import nearest

#: Beside it: what DeepLabCut's file has no place for.
EXTRA = "anipipe.yaml"
EXTRA_DEFAULTS = {"brightness": 0.1, "contrast": 0.2}
_TEMPLATE = Path(__file__).with_name(CONFIG)
_FROZEN = {"freeze_bn_stats": False, "freeze_bn_weights": False}


@dataclass(frozen=True)
class Net:
    """A network that can be trained.

    Attributes
    ----------
    backbone : dict
        ``model.backbone``.
    channels : int
        Of its features.
    net_type : str
        The name nearest to it among those that DeepLabCut knows; it has no further meaning.
    divisor : int
        Pictures are padded to a multiple of this.
    """

    backbone: Mapping[str, Any]
    channels: int
    net_type: str
    divisor: int = 1


def _resnet(model: str, channels: int, net_type: str) -> Net:
    return Net({"type": "ResNet", "model_name": model, "output_stride": 16, **_FROZEN}, channels, net_type)


def _cspnext(deepen: float, widen: float, net_type: str) -> Net:
    factors = {"deepen_factor": deepen, "widen_factor": widen}
    backbone = {"type": "CSPNeXt", "model_name": net_type, **_FROZEN, **factors}
    return Net(backbone, int(1024 * widen), net_type)


def _hrnet(width: int) -> Net:
    name = f"hrnet_w{width}"
    more = {"interpolate_branches": False, "increased_channel_count": False}
    return Net({"type": "HRNet", "model_name": name, **_FROZEN, **more}, width, name, divisor=32)


NETS = {
    "resnet_18": _resnet("resnet18", 512, "resnet_50"),
    "resnet_34": _resnet("resnet34", 512, "resnet_50"),
    "resnet_50": _resnet("resnet50_gn", 2048, "resnet_50"),
    "resnet_101": _resnet("resnet101", 2048, "resnet_101"),
    "cspnext_nano": _cspnext(0.167, 0.25, "cspnext_s"),
    "cspnext_tiny": _cspnext(0.167, 0.375, "cspnext_s"),
    "cspnext_s": _cspnext(0.33, 0.5, "cspnext_s"),
    "cspnext_m": _cspnext(0.67, 0.75, "cspnext_m"),
    "cspnext_x": _cspnext(1.33, 1.25, "cspnext_x"),
    **{f"hrnet_w{width}": _hrnet(width) for width in (18, 32, 48)},
}


def make_config(net: str, joints: Sequence[str], project: Path, place: Path, seed: int) -> dict[str, Any]:
    """Make the settings of a new training.

    Parameters
    ----------
    net
        One of NETS.
    joints
        What is to be found.
    project, place
        The project's folder, and where the settings will lie.
    seed
        Decides the initial weights, the order of frames and their augmentation.

    Raises
    ------
    UsageError
        No such network.
    """
    if net not in NETS:
        near = nearest(net, NETS)
        hint = f"; did you mean {near}?" if near else ""
        raise UsageError(f"there is no network {net!r} to train{hint} ({', '.join(NETS)})")
    chosen = NETS[net]
    config = read_settings(_TEMPLATE)
    config["model"]["backbone"] = dict(chosen.backbone)
    config["model"]["backbone_output_channels"] = chosen.channels
    head = config["model"]["heads"]["bodypart"]
    head["target_generator"]["num_heatmaps"] = len(joints)
    for part, maps in (("heatmap_config", 1), ("locref_config", 2)):
        head[part]["channels"] = [chosen.channels, maps * len(joints)]
    config["net_type"] = chosen.net_type
    config["metadata"] |= {
        "project_path": str(project),
        "pose_config_path": str(place),
        "bodyparts": list(joints),
    }
    if chosen.divisor > 1:
        padding = {f"pad_{side}_divisor": chosen.divisor for side in ("width", "height")}
        config["data"]["inference"]["auto_padding"] = dict(padding)
        config["data"]["train"]["auto_padding"] = dict(padding)
    config["train_settings"]["seed"] = seed
    return config


def with_changes(
    config: Mapping[str, Any], *, epochs: int | None, batch_size: int | None, seed: int | None
) -> dict[str, Any]:
    """Return settings with some of them changed; None leaves one as it is.

    With the number of epochs the milestones of a list of learning rates move in proportion.
    """
    changed = copy.deepcopy(dict(config))
    train = changed.setdefault("train_settings", {})
    before = train.get("epochs")
    wanted = {"epochs": epochs, "batch_size": batch_size, "seed": seed}
    train |= {key: value for key, value in wanted.items() if value is not None}
    scheduler = changed.get("runner", {}).get("scheduler") or {}
    if epochs and before and scheduler.get("type") == "LRListScheduler":
        params = scheduler["params"]
        params["milestones"] = [round(one * epochs / before) for one in params["milestones"]]
    return changed


def write_yaml(content: Mapping[str, Any], path: Path, *, head: str = "") -> None:
    """Write settings, whole or not at all; replaces the file."""
    import yaml  # here, since the command line asks this module for its networks at every start

    part = path.with_name(f".{path.name}.part")
    text = yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True, default_flow_style=False)
    part.write_text(head + text, encoding="utf-8")
    part.replace(path)

"""Make a network from a model's configuration, and fill it with weights."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from math import prod
from typing import Any, Literal

import torch
from torch import Tensor, nn

from anipipe.errors import DataError
from anipipe.networks.architectures.cspnext import CSPNeXt
from anipipe.networks.architectures.heads import DeconvModule, HeatmapHead, LightningHead
from anipipe.networks.architectures.hrnet import HRNet
from anipipe.networks.architectures.refusals import UNKNOWN, look_up, refuse, refuse_deeplabcut
from anipipe.networks.architectures.resnet import DEPTHS, BasicBlock, Bottleneck, ResNet

RESNET = f"resnet({'|'.join(map(str, DEPTHS))})"

#: By the backbone's name: how many blocks, and how many channels, relative to the full CSPNeXt.
CSPNEXT_FACTORS = {
    "cspnext_s": (0.33, 0.5),
    "cspnext_m": (0.67, 0.75),
    "cspnext_p5": (0.67, 0.75),  # DeepLabCut's name for all of them, with its default factors
    "cspnext_x": (1.33, 1.25),
}

HEAD_DEVIATION = 0.001  # of the weights of a new head, as DeepLabCut's ``weight_init: normal``


class DeepLabCutNetwork(nn.Module):
    """A backbone and the heatmap head of the joints, under DeepLabCut's names.

    Parameters
    ----------
    backbone
        With attribute ``stride``.
    head
    wrapped
        Whether the backbone's tensors are called ``backbone.model.*`` instead of ``backbone.*``.

    Attributes
    ----------
    stride : float
        Pixels of the image per cell of the heatmaps.
    """

    def __init__(self, backbone: ResNet | HRNet | CSPNeXt, head: HeatmapHead, *, wrapped: bool) -> None:
        super().__init__()
        self.backbone = nn.Sequential(OrderedDict(model=backbone)) if wrapped else backbone
        self.heads = nn.ModuleDict({"bodypart": head})
        self.stride = backbone.stride / head.stride

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Compute (heatmaps,) or (heatmaps, offsets) of images (batch, 3, height, width)."""
        maps: tuple[Tensor, ...] = self.heads["bodypart"](self.backbone(images))
        return maps


class LightningNetwork(nn.Module):
    """A residual network and a heatmap head, under Lightning Pose's names.

    Parameters
    ----------
    backbone
    head

    Attributes
    ----------
    stride : float
        Pixels of the image per cell of the heatmaps.
    """

    def __init__(self, backbone: ResNet, head: LightningHead) -> None:
        super().__init__()
        self.backbone = nn.Sequential(*backbone.parts())
        self.head = head
        self.stride = backbone.stride / head.stride

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """Compute (heatmaps,) of images (batch, 3, height, width)."""
        maps: tuple[Tensor] = self.head(self.backbone(images))
        return maps


def build_deeplabcut(config: Mapping[str, Any], *, where: str = "pytorch_config.yaml") -> DeepLabCutNetwork:
    """Make the network that a configuration of DeepLabCut 3 describes, with weights not yet set.

    The backbone's ``model_name`` decides which it is; ``net_type`` counts for nothing. Keys without a value
    are the same as absent ones.

    Parameters
    ----------
    config
        The content of a ``pytorch_config.yaml``.
    where
        The file, for messages.

    Returns
    -------
    DeepLabCutNetwork

    Raises
    ------
    DataError
        If it describes nothing that can be run here; the message names the network.
    """
    present = _without_nulls(config)
    refuse_deeplabcut(present, where)
    table = _table(present, "model.backbone", where)
    backbone = _backbone(table, where)
    head = _table(present, "model.heads.bodypart", where)
    heatmaps = _deconvolutions(head, "heatmap_config", backbone.channels, where)
    offsets = None
    if "locref_config" in head:
        offsets = _deconvolutions(head, "locref_config", backbone.channels, where)
        if offsets.stride != heatmaps.stride:
            raise DataError(
                f"{where}: model.heads.bodypart: the strides of heatmap_config make {heatmaps.stride}, "
                f"those of locref_config {offsets.stride}; they must be the same"
            )
    return DeepLabCutNetwork(
        backbone, HeatmapHead(heatmaps, offsets), wrapped=not isinstance(backbone, CSPNeXt)
    )


def build_lightning(
    backbone: str,
    joints: int,
    downsample_factor: int,
    *,
    model_type: str = "heatmap",
    where: str = "config.yaml",
) -> LightningNetwork:
    """Make a heatmap tracker of Lightning Pose on a residual network, with weights not yet set.

    Parameters
    ----------
    backbone
        ``model.backbone``: resnet18, resnet34, resnet50, resnet101, resnet152; resnet50_animal_ap10k and
        its like differ from resnet50 by where their weights came from only.
    joints
        ``data.num_keypoints``.
    downsample_factor
        ``data.downsample_factor``, 1 to 3: the heatmap is 2 to this power smaller than the image.
    model_type
        ``model.model_type``.
    where
        The file, for messages.

    Returns
    -------
    LightningNetwork

    Raises
    ------
    DataError
        If it is anything else, named.
    """
    if model_type != "heatmap":
        refuse(f"{where}: model.model_type = {model_type!r}", "not a plain heatmap tracker", "Lightning Pose")
    found = re.fullmatch(RESNET, re.sub(r"^resnet50_\w+$", "resnet50", backbone))
    if not found:
        refuse(f"{where}: model.backbone = {backbone!r}", "not a residual network", "Lightning Pose")
    if downsample_factor not in (1, 2, 3):
        raise DataError(f"{where}: data.downsample_factor = {downsample_factor!r} must be 1, 2 or 3")
    resnet = ResNet(int(found[1]))
    return LightningNetwork(resnet, LightningHead(resnet.channels, joints, 5 - downsample_factor))


def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Set all weights of a network at random, to train it from nothing.

    Convolutions as He et al. (2015), by the outputs that each input has part in, those of CSPNeXt by the
    inputs of each output; normalisations 1 and 0, but the last one of each residual block 0, so that the
    block starts as its shortcut (Goyal et al. 2017, as in timm); heads normal with a deviation of 0.001;
    biases 0.

    Parameters
    ----------
    network
        Changed in place.
    generator
        The same state gives the same weights.
    """
    modules = list(network.modules())
    by_inputs = any(isinstance(module, CSPNeXt) for module in modules)
    with torch.no_grad():
        for module in modules:
            if isinstance(module, nn.Conv2d):
                channels = module.in_channels if by_inputs else module.out_channels
                fan = channels // module.groups * prod(module.kernel_size)
                _at_random(module, (2 / fan) ** 0.5, generator)
            elif isinstance(module, nn.BatchNorm2d | nn.GroupNorm):
                module.reset_parameters()
        for module in modules:  # what belongs to something larger, which decides
            if isinstance(module, BasicBlock | Bottleneck):
                nn.init.zeros_(module.last_norm.weight)
            elif isinstance(module, HeatmapHead | LightningHead):
                for part in module.modules():
                    if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
                        _at_random(part, HEAD_DEVIATION, generator)


def load_state(network: nn.Module, state: Mapping[str, Tensor], *, where: str) -> None:
    """Fill a network with weights, all of them and nothing else.

    Parameters
    ----------
    network
        Changed in place.
    state
        Tensors by name. Counters of batches (``num_batches_tracked``) may be missing.
    where
        The file that they came from, for messages.

    Raises
    ------
    DataError
        If a tensor is missing, surplus or of another shape; names the first, and counts the others.
    """
    faults = list(_mismatches(network.state_dict(), state))
    if faults:
        others = f", and {len(faults) - 1} other tensors do not fit" if len(faults) > 1 else ""
        raise DataError(
            f"{where}: the weights are not those of the network that the configuration describes: {faults[0]}"
            f"{others}; are the weights and the configuration of the same training?"
        )
    network.load_state_dict(dict(state), strict=False)


def _mismatches(expected: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> Iterator[str]:
    """Say of each tensor that does not fit how it does not, those of the network first."""
    for name, tensor in expected.items():
        if name not in state:
            if not name.endswith("num_batches_tracked"):
                yield f"{name} {tuple(tensor.shape)} is missing"
        elif state[name].shape != tensor.shape:
            yield f"{name} is {tuple(state[name].shape)} instead of {tuple(tensor.shape)}"
    for name in state:
        if name not in expected:
            yield f"{name} {tuple(state[name].shape)} is not part of it"


def _at_random(module: nn.Conv2d | nn.ConvTranspose2d, deviation: float, generator: torch.Generator) -> None:
    module.weight.normal_(0, deviation, generator=generator)
    if module.bias is not None:
        module.bias.zero_()


def _backbone(table: Mapping[str, Any], where: str) -> ResNet | HRNet | CSPNeXt:
    """Make the backbone of its table; ``model_name`` decides."""
    name = str(table.get("model_name", "cspnext_p5" if table.get("type") == "CSPNeXt" else "")).lower()
    name = name.partition(".")[0]  # what follows tells which weights timm would have downloaded
    if found := re.fullmatch(RESNET + "(_gn)?", name):
        stride = table.get("output_stride", 32)
        if stride not in (8, 16, 32):
            raise DataError(f"{where}: model.backbone.output_stride = {stride!r} must be 8, 16 or 32")
        norm: Literal["batch", "group"] = "group" if found[2] else "batch"
        return ResNet(int(found[1]), norm=norm, output_stride=stride)
    if found := re.fullmatch(r"hrnet_w(18|32|48)", name):
        return HRNet(int(found[1]))
    if name in CSPNEXT_FACTORS:
        usual = zip(("deepen_factor", "widen_factor"), CSPNEXT_FACTORS[name], strict=True)
        return CSPNeXt(*(_factor(table, key, value, where) for key, value in usual))
    refuse(f"{where}: model.backbone.model_name = {name!r}", UNKNOWN, "DeepLabCut")


def _factor(table: Mapping[str, Any], key: str, usual: float, where: str) -> float:
    value = table.get(key, usual)
    if not isinstance(value, int | float) or not 0.05 <= value <= 4:
        raise DataError(f"{where}: model.backbone.{key} = {value!r} must be a number of 0.05 to 4")
    return float(value)


def _deconvolutions(head: Mapping[str, Any], key: str, channels: int, where: str) -> DeconvModule:
    """Make one half of the head of its table: ``heatmap_config`` or ``locref_config``."""
    table = _table(head, key, where)
    place = f"{where}: model.heads.bodypart.{key}"
    widths, sizes, strides = (_counts(table, name, place) for name in ("channels", "kernel_size", "strides"))
    if not len(widths) == len(sizes) + 1 == len(strides) + 1:
        raise DataError(f"{place}: channels must have one entry more than kernel_size and strides have")
    if widths[0] != channels:
        raise DataError(f"{place}: channels starts with {widths[0]}, but the backbone gives {channels}")
    if "final_conv" not in table:
        return DeconvModule(widths, sizes, strides)
    last = _table(table, "final_conv", place)
    outputs = _count(last.get("out_channels"), f"{place}.final_conv.out_channels")
    size = _count(last.get("kernel_size"), f"{place}.final_conv.kernel_size")
    return DeconvModule(widths, sizes, strides, (outputs, size))


def _counts(table: Mapping[str, Any], key: str, place: str) -> list[int]:
    values = table.get(key)
    if not isinstance(values, list | tuple):
        raise DataError(f"{place}.{key} = {values!r} must be a list")
    return [_count(value, f"{place}.{key}") for value in values]


def _count(value: object, place: str) -> int:
    if not isinstance(value, int) or value < 1:
        raise DataError(f"{place}: {value!r} must be a whole number above 0")
    return value


def _table(config: Mapping[str, Any], path: str, where: str) -> Mapping[str, Any]:
    table = look_up(config, path)
    if not isinstance(table, Mapping):
        raise DataError(f"{where} has no table {path}; is it the configuration of a DeepLabCut 3 network?")
    return table


def _without_nulls(value: Any) -> Any:
    """Leave out keys without a value, in all tables."""
    if not isinstance(value, Mapping):
        return value
    return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}

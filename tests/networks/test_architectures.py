"""The networks' tensors and what they compute, against the same networks written another way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from anipipe.networks.architectures.build import build_deeplabcut, build_lightning, load_state
from anipipe.networks.architectures.cspnext import CSPNeXt
from anipipe.networks.architectures.hrnet import HRNet
from anipipe.networks.architectures.resnet import ResNet
from tests.networks import functional_networks as other

KINDS = {18: ((2, 2, 2, 2), False), 34: ((3, 4, 6, 3), False), 50: ((3, 4, 6, 3), True)}
KINDS |= {101: ((3, 4, 23, 3), True), 152: ((3, 8, 36, 3), True)}


def config(backbone: dict[str, Any], channels: int, **head: Any) -> dict[str, Any]:
    """What DeepLabCut writes for four joints, less what training needs."""
    deconv = {"kernel_size": [3], "strides": [2]}
    maps = {
        "heatmap_config": {"channels": [channels, 4], **deconv},
        "locref_config": {"channels": [channels, 8], **deconv},
    }
    return {
        "config_version": 0,
        "net_type": "resnet_50",
        "method": "bu",
        "model": {
            "backbone": backbone,
            "backbone_output_channels": channels,
            "heads": {"bodypart": {"type": "HeatmapHead", "weight_init": "normal"} | maps | head},
            "neck": None,
            "pose_model": None,
        },
        "metadata": {
            "bodyparts": ["a", "b", "c", "d"],
            "unique_bodyparts": [],
            "individuals": ["individual_1"],
            "with_identity": None,
        },
        "detector": None,
    }


def shapes_of(network: nn.Module) -> other.Shapes:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def on_paper(build: Callable[[], nn.Module]) -> nn.Module:
    """A network without memory for its weights."""
    with torch.device("meta"):
        return build()


def filled(network: nn.Module) -> tuple[nn.Module, other.State]:
    """Weights at random such that signals neither die nor grow, in double precision."""
    generator = torch.Generator().manual_seed(0)
    state: other.State = {}
    for name, tensor in network.state_dict().items():
        made = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
        if tensor.ndim == 4:
            made = made * (2 / tensor[0].numel()) ** 0.5 * (0.05 if "upsampling" in name else 1)
        elif name.endswith(("running_var", "weight")):
            made = 0.5 + made.abs()
        state[name] = 0.3 * made if tensor.ndim == 1 and not name.endswith(("weight", "var")) else made
    network.double().eval()
    load_state(network, state, where="random")
    return network, state


def images(height: int, width: int) -> torch.Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def agree(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert found.shape == expected.shape
    assert float(expected.std()) > 1e-6  # something is there to be compared
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9 * float(expected.abs().max()))


@pytest.mark.parametrize("depth", KINDS)
@pytest.mark.parametrize("kind", ["batch", "group"])
def test_tensors_of_resnets(depth: int, kind: Any) -> None:
    network = on_paper(lambda: ResNet(depth, norm=kind))
    assert shapes_of(network) == other.names_of_resnet(*KINDS[depth], kind)


@pytest.mark.parametrize(("width", "millions"), [(18, 9.6), (32, 29.4), (48, 65.4)])
def test_tensors_of_hrnets(width: int, millions: float) -> None:
    network = on_paper(lambda: HRNet(width))
    assert shapes_of(network) == other.names_of_hrnet(width)
    numbers = sum(tensor.numel() for tensor in network.state_dict().values())
    assert numbers / 1e6 == pytest.approx(millions, abs=0.05)


@pytest.mark.parametrize(
    ("factors", "channels", "blocks"),
    [
        ((0.33, 0.5), (32, 64, 128, 256, 512), (1, 2, 2, 1)),
        ((0.67, 0.75), (48, 96, 192, 384, 768), (2, 4, 4, 2)),
        ((1.33, 1.25), (80, 160, 320, 640, 1280), (4, 8, 8, 4)),
        ((0.1, 0.25), (16, 32, 64, 128, 256), (1, 1, 1, 1)),
    ],
)
def test_tensors_of_cspnexts(factors: Any, channels: Any, blocks: Any) -> None:
    network = on_paper(lambda: CSPNeXt(*factors))
    assert shapes_of(network) == other.names_of_cspnext(channels, blocks)


@pytest.mark.parametrize(
    ("backbone", "channels", "tensors", "stride"),
    [
        ({"type": "ResNet", "model_name": "resnet18", "output_stride": 16}, 512, 120 + 4, 8),
        ({"type": "ResNet", "model_name": "resnet50_gn", "output_stride": 16}, 2048, 159 + 4, 8),
        ({"type": "ResNet", "model_name": "resnet101", "output_stride": 16}, 2048, 624 + 4, 8),
        ({"type": "ResNet", "model_name": "resnet50"}, 2048, 318 + 4, 16),
        ({"type": "HRNet", "model_name": "hrnet_w32"}, 32, 1830 + 4, 2),
        ({"type": "CSPNeXt", "model_name": "cspnext_s"}, 512, 242 + 4, 16),
        ({"type": "CSPNeXt", "deepen_factor": 0.33, "widen_factor": 0.5}, 512, 242 + 4, 16),
        ({"type": "CSPNeXt", "model_name": "cspnext_p5"}, 768, 350 + 4, 16),
    ],
)
def test_whole_networks_of_deeplabcut(backbone: Any, channels: int, tensors: int, stride: float) -> None:
    network = on_paper(lambda: build_deeplabcut(config(backbone, channels)))
    shapes = shapes_of(network)
    head = "heads.bodypart."
    assert {name: shape for name, shape in shapes.items() if name.startswith("heads.")} == {
        head + "heatmap_head.deconv_layers.0.weight": (channels, 4, 3, 3),
        head + "heatmap_head.deconv_layers.0.bias": (4,),
        head + "locref_head.deconv_layers.0.weight": (channels, 8, 3, 3),
        head + "locref_head.deconv_layers.0.bias": (8,),
    }
    prefix = "backbone.stem." if backbone["type"] == "CSPNeXt" else "backbone.model.conv1."
    assert any(name.startswith(prefix) for name in shapes)
    assert len(shapes) == tensors
    assert network.stride == stride


@pytest.mark.parametrize(
    ("depth", "kind", "output_stride"),
    [(18, "batch", 32), (18, "batch", 16), (18, "batch", 8), (50, "batch", 32), (50, "group", 16)],
)
def test_resnet_computes_what_it_should(depth: int, kind: Any, output_stride: int) -> None:
    network, state = filled(ResNet(depth, norm=kind, output_stride=output_stride))
    frames = images(37, 43)
    expected = other.resnet(state, frames, output_stride)
    assert expected.shape[2:] == (-(-37 // output_stride), -(-43 // output_stride))
    agree(network(frames), expected)


def test_hrnet_computes_what_it_should() -> None:
    network, state = filled(HRNet(18))
    frames = images(32, 64)
    agree(network(frames), other.hrnet(state, frames)[0])


@pytest.mark.parametrize("factors", [(0.33, 0.25), (0.67, 0.125)])
def test_cspnext_computes_what_it_should(factors: Any) -> None:
    network, state = filled(CSPNeXt(*factors))
    frames = images(40, 320)
    agree(network(frames), other.cspnext(state, frames))


@pytest.mark.parametrize("offsets", [True, False])
def test_head_of_deeplabcut(offsets: bool) -> None:
    maps = {"channels": [512, 6, 4], "kernel_size": [3, 2], "strides": [2, 3]}
    maps |= {"final_conv": {"out_channels": 5, "kernel_size": 1}}
    table = config({"type": "ResNet", "model_name": "resnet18"}, 512, heatmap_config=maps)
    table["model"]["heads"]["bodypart"]["locref_config"] = (maps | {"final_conv": None}) if offsets else None
    network, state = filled(build_deeplabcut(table))
    assert network.stride == 32 / 6
    frames = images(64, 96)
    head = other.under(state, "heads.bodypart.")
    features = other.resnet(other.under(state, "backbone.model."), frames, 32)

    def through(name: str) -> torch.Tensor:
        inner = other.deconv(head, f"{name}.deconv_layers.0", features, 2).clamp(min=0)
        return other.deconv(head, f"{name}.deconv_layers.2", inner, 3)

    found = network(frames)
    assert len(found) == 1 + offsets
    agree(found[0], other.conv(head, "heatmap_head.final_conv", through("heatmap_head")))
    if offsets:
        agree(found[1], through("locref_head"))


def test_head_without_transposed_convolutions() -> None:
    maps: dict[str, Any] = {"channels": [512], "kernel_size": [], "strides": []}
    maps["final_conv"] = {"out_channels": 4, "kernel_size": 1}
    table = config({"type": "ResNet", "model_name": "resnet18"}, 512, heatmap_config=maps)
    table["model"]["heads"]["bodypart"]["locref_config"] = None
    network = on_paper(lambda: build_deeplabcut(table))
    assert [name for name in shapes_of(network) if name.startswith("heads.")] == [
        "heads.bodypart.heatmap_head.final_conv.weight",
        "heads.bodypart.heatmap_head.final_conv.bias",
    ]
    assert network.stride == 32


@pytest.mark.parametrize(("factor", "names"), [(1, 3), (2, 2), (3, 1)])
def test_lightning_pose(factor: int, names: int) -> None:
    network, state = filled(build_lightning("resnet18", 5, factor))
    head = other.under(state, "head.")
    assert list(head) == [
        f"upsampling_layers.{index}.{part}" for index in range(1, 1 + names) for part in ("weight", "bias")
    ]
    places = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
    plain = {
        ".".join([places[index], *rest]): tensor
        for index, *rest, tensor in (
            (*name.split("."), tensor) for name, tensor in other.under(state, "backbone.").items()
        )
    }
    assert {name: tuple(tensor.shape) for name, tensor in plain.items()} == other.names_of_resnet(*KINDS[18])
    frames = images(64, 96)
    (found,) = network(frames)
    assert found.shape == (2, 5, 64 // 2**factor, 96 // 2**factor)
    assert network.stride == 2**factor
    agree(found, other.lightning_head(head, other.resnet(plain, frames, 32)))


@pytest.mark.parametrize("backbone", ["resnet50", "resnet50_animal_ap10k", "resnet50_human_jhmdb"])
def test_variants_of_lightning_pose_differ_by_their_weights_only(backbone: str) -> None:
    shapes = shapes_of(on_paper(lambda: build_lightning(backbone, 7, 2)))
    assert len([name for name in shapes if name.startswith("backbone.")]) == 318
    assert shapes["head.upsampling_layers.1.weight"] == (512, 7, 3, 3)
    assert shapes["head.upsampling_layers.2.weight"] == (7, 7, 3, 3)
    assert shapes["backbone.7.2.conv3.weight"] == (2048, 512, 1, 1)

"""What is refused and how, strict loading, weights to start from, and folding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from anipipe.errors import DataError
from anipipe.networks.architectures.build import build_deeplabcut, build_lightning, initialise, load_state
from anipipe.networks.architectures.cspnext import CSPNeXt
from anipipe.networks.architectures.fold import folded
from anipipe.networks.architectures.heads import DeconvModule, HeatmapHead
from anipipe.networks.architectures.hrnet import HRNet
from anipipe.networks.architectures.resnet import ResNet

RESNET = {"type": "ResNet", "model_name": "resnet18"}


def config(backbone: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A network that is accepted, with some keys (a__b for a.b) changed."""
    maps = {"kernel_size": [3], "strides": [2]}
    head = {
        "type": "HeatmapHead",
        "heatmap_config": {"channels": [512, 4]} | maps,
        "locref_config": {"channels": [512, 8]} | maps,
    }
    made: dict[str, Any] = {
        "method": "bu",
        "model": {"backbone": dict(backbone or RESNET), "heads": {"bodypart": head}},
        "metadata": {"bodyparts": list("abcd"), "unique_bodyparts": [], "individuals": ["mouse"]},
    }
    for path, value in changes.items():
        *above, last = path.split("__")
        table = made
        for name in above:
            table = table.setdefault(name, {})
        table[last] = value
    return made


@pytest.mark.parametrize(
    ("changes", "key", "name"),
    [
        ({"model__heads__bodypart__type": "DEKRHead"}, "model.heads.bodypart.type", "DEKR"),
        (
            {"model__heads__bodypart__type": "DLCRNetHead"},
            "model.heads.bodypart.type",
            "part affinity fields",
        ),
        ({"model__heads__bodypart__type": "RTMCCHead", "method": "td"}, "RTMCCHead", "RTMPose"),
        ({"model__heads__bodypart__type": "TransformerHead"}, "model.heads.bodypart.type", "TokenPose"),
        ({"model__heads__bodypart__type": "NewHead"}, "model.heads.bodypart.type", "does not know"),
        ({"model__backbone__type": "DLCRNet"}, "model.backbone.type", "DLCRNet"),
        ({"model__backbone__type": "HRNetCoAM", "method": "ctd"}, "HRNetCoAM", "conditional top-down"),
        ({"method": "td"}, "method = 'td'", "top-down"),
        ({"method": "ctd"}, "method = 'ctd'", "conditional top-down"),
        ({"model__neck": {"type": "Transformer"}}, "model.neck", "does not know"),
        ({"model__backbone__interpolate_branches": True}, "interpolate_branches", "branches"),
        ({"model__backbone__expand_ratio": 0.25}, "model.backbone.expand_ratio", "does not know"),
        ({"model__backbone__model_name": "resnet26"}, "model.backbone.model_name", "'resnet26'"),
        ({"model__backbone__model_name": None}, "model.backbone.model_name", "does not know"),
        ({"model__backbone__model_name": "hrnet_w64"}, "model.backbone.model_name", "'hrnet_w64'"),
        ({"model__backbone__model_name": "cspnext_p6"}, "model.backbone.model_name", "'cspnext_p6'"),
        ({"metadata__individuals": ["m1", "m2"]}, "metadata.individuals", "several animals"),
        ({"metadata__unique_bodyparts": ["corner"]}, "metadata.unique_bodyparts", "several animals"),
        ({"model__heads__identity": {"type": "HeatmapHead"}}, "identity", "several animals"),
        ({"metadata__with_identity": True}, "identity", "several animals"),
    ],
)
def test_networks_that_cannot_be_run_are_refused_by_name(changes: Any, key: str, name: str) -> None:
    with pytest.raises(DataError) as refusal:
        build_deeplabcut(config(**changes), where="here/pytorch_config.yaml")
    text = str(refusal.value)
    assert text.startswith("here/pytorch_config.yaml: ")
    assert key in text
    assert name in text
    assert "DeepLabCut" in text
    assert "predictions/" in text
    assert 'model_type = "import"' in text


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"model": None}, "has no table model.backbone"),
        ({"model__backbone": "resnet18"}, "has no table model.backbone"),
        ({"model__heads__bodypart__heatmap_config": None}, "has no table heatmap_config"),
        ({"model__heads__bodypart__heatmap_config__channels": [2048, 4]}, "starts with 2048.* gives 512"),
        ({"model__heads__bodypart__heatmap_config__channels": [512]}, "one entry more"),
        (
            {"model__heads__bodypart__heatmap_config__strides": [0]},
            "strides: 0 must be a whole number above 0",
        ),
        ({"model__heads__bodypart__heatmap_config__strides": 2}, "strides = 2 must be a list"),
        (
            {"model__heads__bodypart__locref_config__strides": [1]},
            "heatmap_config make 2, .* locref_config 1",
        ),
        ({"model__backbone__output_stride": 4}, "output_stride = 4 must be 8, 16 or 32"),
    ],
)
def test_configurations_that_make_no_sense(changes: Any, what: str) -> None:
    with pytest.raises(DataError, match=f"^here.yaml.*{what}"):
        build_deeplabcut(config(**changes), where="here.yaml")


def test_cspnext_with_impossible_factors() -> None:
    backbone = {"type": "CSPNeXt", "model_name": "cspnext_p5", "widen_factor": 0}
    with pytest.raises(DataError, match=r"model\.backbone\.widen_factor = 0 must be"):
        build_deeplabcut(config(backbone))


def test_net_type_and_keys_without_value_count_for_nothing() -> None:
    plain = build_deeplabcut(config()).state_dict()
    changes = {"net_type": "dekr_w32", "method": None, "metadata": None, "model__neck": None}
    same = build_deeplabcut(config(model__backbone__output_stride=None, **changes)).state_dict()
    assert {name: tensor.shape for name, tensor in plain.items()} == {
        name: tensor.shape for name, tensor in same.items()
    }


@pytest.mark.parametrize("backbone", ["vits_dino", "efficientnet_b0", "sam2", "resnet50x", "resnet18_x"])
def test_backbones_of_lightning_pose_that_cannot_be_run(backbone: str) -> None:
    with pytest.raises(
        DataError, match=rf"^m/c\.yaml: model\.backbone = '{backbone}'.*Lightning Pose.*import"
    ):
        build_lightning(backbone, 5, 2, where="m/c.yaml")


def test_kinds_of_lightning_pose_that_cannot_be_run() -> None:
    with pytest.raises(DataError, match=r"model\.model_type = 'heatmap_mhcrnn'.*Lightning Pose.*import"):
        build_lightning("resnet18", 5, 2, model_type="heatmap_mhcrnn")
    with pytest.raises(DataError, match=r"downsample_factor = 4 must be"):
        build_lightning("resnet18", 5, 4)


def little() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def test_weights_that_fit_are_loaded() -> None:
    state = little().state_dict()
    state["1.running_var"] = torch.arange(4.0)
    network = little()
    load_state(network, state, where="file")
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())


def test_counters_of_batches_may_be_missing() -> None:
    state = little().state_dict()
    state.pop("1.num_batches_tracked")
    load_state(little(), state, where="file")


def test_the_first_tensor_that_does_not_fit_is_named() -> None:
    state = little().state_dict()
    state["0.weight"] = torch.zeros(4, 3, 5, 5)
    both = r"^net/a\.pt: .*: 0\.weight is \(4, 3, 5, 5\) instead of \(4, 3, 3, 3\); "
    with pytest.raises(DataError, match=both) as error:
        load_state(little(), state, where="net/a.pt")
    assert "other" not in str(error.value)

    state.pop("1.running_mean")
    state["2.bias"] = torch.zeros(())
    with pytest.raises(DataError, match=r"0\.weight is .*, and 2 other tensors do not fit"):
        load_state(little(), state, where="net/a.pt")


def test_missing_and_surplus_tensors() -> None:
    state = little().state_dict()
    without = {name: tensor for name, tensor in state.items() if name != "1.bias"}
    with pytest.raises(DataError, match=r"1\.bias \(4,\) is missing"):
        load_state(little(), without, where="net/a.pt")
    with pytest.raises(DataError, match=r"2\.bias \(2, 7\) is not part of it"):
        load_state(little(), state | {"2.bias": torch.zeros(2, 7)}, where="net/a.pt")


def test_nothing_is_loaded_where_something_does_not_fit() -> None:
    network, state = little(), {"0.weight": torch.ones(4, 3, 3, 3)}
    before = network.state_dict()["0.weight"].clone()
    with pytest.raises(DataError):
        load_state(network, state, where="file")
    assert torch.equal(network.state_dict()["0.weight"], before)


def test_weights_to_start_from() -> None:
    first, second, third = (build_deeplabcut(config()) for _ in range(3))
    for network, seed in ((first, 1), (second, 1), (third, 2)):
        initialise(network, torch.Generator().manual_seed(seed))
    state = first.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in second.state_dict().items())
    assert not torch.equal(
        state["backbone.model.conv1.weight"], third.state_dict()["backbone.model.conv1.weight"]
    )
    deviation = float(state["backbone.model.layer3.0.conv2.weight"].std())
    assert deviation == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.01)
    assert float(state["heads.bodypart.heatmap_head.deconv_layers.0.weight"].std()) == pytest.approx(
        1e-3, rel=0.05
    )
    assert not state["heads.bodypart.locref_head.deconv_layers.0.bias"].any()
    assert bool((state["backbone.model.layer1.0.bn1.weight"] == 1).all())
    assert not state["backbone.model.layer1.0.bn2.weight"].any()
    assert bool((state["backbone.model.layer2.0.downsample.1.weight"] == 1).all())


def test_depthwise_convolutions_start_as_strong_as_others() -> None:
    network = CSPNeXt(0.1, 0.5)
    initialise(network, torch.Generator().manual_seed(0))
    weights = network.state_dict()["stage4.2.blocks.0.conv2.depthwise_conv.conv.weight"]
    assert float(weights.std()) == pytest.approx((2 / 25) ** 0.5, rel=0.05)


def test_a_final_convolution_is_part_of_the_head() -> None:
    network = nn.Sequential(HeatmapHead(DeconvModule([64], [], [], (8, 1))))
    initialise(network, torch.Generator().manual_seed(0))
    assert float(network.state_dict()["0.heatmap_head.final_conv.weight"].std()) == pytest.approx(
        1e-3, rel=0.2
    )


@pytest.mark.parametrize(
    "build",
    [
        lambda: ResNet(18, output_stride=16),
        lambda: ResNet(50, norm="group"),
        lambda: HRNet(18),
        lambda: CSPNeXt(0.1, 0.25),
    ],
)
def test_folded_networks_compute_the_same(build: Callable[[], nn.Module]) -> None:
    generator = torch.Generator().manual_seed(3)
    network = build()
    initialise(network, generator)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.running_var):
                tensor.uniform_(0.5, 1.5, generator=generator)
            for tensor in (module.bias.data, module.running_mean):
                tensor.normal_(0, 0.2, generator=generator)
    network.eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    quick = folded(network)
    images = torch.randn(1, 3, 64, 96, generator=generator)
    with torch.inference_mode():
        expected, found = network(images), quick(images)
    largest = float(expected.abs().max())
    assert largest > 0
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * largest)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in quick.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_a_normalisation_that_follows_nothing_it_can_be_put_into_stays() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            self.norm = nn.BatchNorm2d(4)
            self.first = nn.BatchNorm2d(3)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            features = self.conv(self.first(images))
            return features + self.norm(features)

    network = Odd().eval()
    network.norm.running_mean.fill_(0.5)  # type: ignore[union-attr]
    images = torch.randn(1, 3, 8, 8)
    torch.testing.assert_close(folded(network)(images), network(images))

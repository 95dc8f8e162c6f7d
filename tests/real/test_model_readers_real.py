"""Networks that DeepLabCut 3.0.2 and Lightning Pose 2.4.3 trained, in every form in which labs have them."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest
import torch
import yaml

from anipipe.networks.loading import load_model
from anipipe.networks.models import PeakDecoding, Preparation, SoftArgmaxDecoding
from anipipe.networks.sources import find_model, known_joints

DATA = Path(os.environ.get("ANIPIPE_REAL_DATA") or Path(__file__).parents[3] / "shared" / "data")
PROJECT = DATA / "openfield" / "project"
MIRROR_MOUSE = DATA / "mirror-mouse" / "model"
pytestmark = pytest.mark.skipif(
    not (PROJECT.is_dir() and MIRROR_MOUSE.is_dir()), reason=f"no trained networks in {DATA}"
)

TITLE = "openfieldOct30-trainset95shuffle1"
TRAIN = PROJECT / "dlc-models-pytorch" / "iteration-0" / TITLE / "train"
JOINTS = ("snout", "leftear", "rightear", "tailbase")


def same(network: torch.nn.Module, state: dict[str, torch.Tensor]) -> bool:
    found = network.state_dict()
    return found.keys() == state.keys() and all(torch.equal(found[name], state[name]) for name in state)


@pytest.fixture(scope="module")
def snapshot():
    """The weights as torch itself reads them."""
    return torch.load(TRAIN / "snapshot-best-100.pt", weights_only=True)["model"]


@pytest.mark.parametrize("named", [PROJECT, TRAIN.parent, TRAIN, TRAIN / "snapshot-best-100.pt"])
def test_openfield(named, snapshot):
    source = find_model(named)
    assert source.name == f"{TITLE} snapshot-best-100" and source.notes == ()
    assert known_joints(source) == JOINTS
    model = load_model(source)
    assert model.joints == JOINTS and same(model.network, snapshot)
    assert model.preparation == Preparation()
    assert model.decoding == PeakDecoding(stride=8.0, offset_scale=7.2801, sigmoid=False, clip=True)


def test_openfield_as_a_zip(snapshot, tmp_path):
    with zipfile.ZipFile(tmp_path / "openfield.zip", "w") as archive:
        archive.write(PROJECT / "config.yaml", f"{PROJECT.name}/config.yaml")
        for path in sorted(TRAIN.parent.rglob("*")):
            archive.write(path, f"{PROJECT.name}/{path.relative_to(PROJECT).as_posix()}")
    source = find_model(tmp_path / "openfield.zip")
    assert source.name == f"{TITLE} snapshot-best-100" and known_joints(source) == JOINTS
    model = load_model(source)
    assert model.joints == JOINTS and same(model.network, snapshot)


def test_openfield_as_an_exported_file(snapshot, tmp_path):
    config = yaml.safe_load((TRAIN / "pytorch_config.yaml").read_text(encoding="utf-8"))
    path = tmp_path / "DLC_openfield_resnet_50_iteration-0_shuffle-1_snapshot-best-100.pt"
    torch.save({"config": config, "pose": snapshot}, path)
    model = load_model(find_model(path))
    assert model.name == path.stem and model.joints == JOINTS and same(model.network, snapshot)


def test_mirror_mouse():
    """Its checkpoint holds settings of a kind that only OmegaConf knows, which is not installed."""
    source = find_model(MIRROR_MOUSE)
    assert source.name == "my_base_toy_model epoch=59-step=540-best"
    model = load_model(source)
    named = yaml.safe_load((MIRROR_MOUSE / "config.yaml").read_text(encoding="utf-8"))["data"][
        "keypoint_names"
    ]
    assert model.joints == tuple(named) == known_joints(source) and len(named) == 17
    assert model.preparation == Preparation(size=(256, 256))
    assert model.decoding == SoftArgmaxDecoding(doublings=2)
    with zipfile.ZipFile(source.weights) as archive:  # the first numbers in it are those of the first tensor
        first = archive.read(f"{source.weights.stem}/data/0")
    assert model.network.state_dict()["backbone.0.weight"].numpy().tobytes() == first
    [heat] = model.network(torch.zeros(1, 3, 256, 256))
    assert heat.shape == (1, 17, 64, 64)
    torch.testing.assert_close(heat.sum(dim=(2, 3)), torch.ones(1, 17))

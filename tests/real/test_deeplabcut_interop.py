"""DeepLabCut itself and anipipe run each other's networks.

It lives in an environment of its own: ``ANIPIPE_DEEPLABCUT_PYTHON`` names a python that imports deeplabcut.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from anipipe.commands.train import train
from anipipe.commands.training_dataset import create_training_dataset, read_training_dataset
from anipipe.networks.devices import choose
from anipipe.networks.loading import load_model
from anipipe.networks.preparing import lay_out, prepare
from anipipe.networks.sources import find_model
from anipipe.networks.tracker import Tracker
from tests.real.test_anipose_interop import other_python

SIDE = Path(__file__).with_name("deeplabcut_side.py")
HEAD = "model.heads.bodypart"
RESNET_18 = {
    "net_type": "resnet_50",  # which the name of the model overrules
    "model.backbone.model_name": "resnet18",
    "model.backbone_output_channels": 512,
    f"{HEAD}.heatmap_config.channels": [512, 3],
    f"{HEAD}.locref_config.channels": [512, 6],
}
TWO_STEPS = {"kernel_size": [3, 4], "strides": [2, 2]}
#: How each network differs from what DeepLabCut makes of its ``net_type``.
NETWORKS = {
    "resnet_50": {"net_type": "resnet_50"},
    "resnet_18": RESNET_18,
    "resnet_18 of stride 32, no offsets": {
        **RESNET_18,
        "model.backbone.output_stride": 32,
        f"{HEAD}.locref_config": None,
        f"{HEAD}.predictor.location_refinement": False,
        f"{HEAD}.target_generator.generate_locref": False,
        f"{HEAD}.criterion": {"heatmap": {"type": "WeightedMSECriterion", "weight": 1.0}},
    },
    "resnet_18 with a larger head": {
        **RESNET_18,
        f"{HEAD}.heatmap_config": {"channels": [512, 16, 3], **TWO_STEPS},
        f"{HEAD}.locref_config": {"channels": [512, 16, 6], **TWO_STEPS},
    },
    "resnet_18 with logits": {
        **RESNET_18,
        f"{HEAD}.predictor.apply_sigmoid": True,
        f"{HEAD}.predictor.locref_std": 5.0,
    },
    "resnet_18 of grey levels": {
        **RESNET_18,
        f"{HEAD}.predictor.clip_scores": False,
        "data.inference.normalize_images": False,
    },
    "hrnet_w18": {"net_type": "hrnet_w18"},
    "cspnext_s": {"net_type": "cspnext_s"},
    "cspnext_s made smaller": {
        "net_type": "cspnext_s",
        "model.backbone.deepen_factor": 0.167,
        "model.backbone.widen_factor": 0.25,
        "model.backbone_output_channels": 256,
        f"{HEAD}.heatmap_config.channels": [256, 3],
        f"{HEAD}.locref_config.channels": [256, 6],
    },
}

Side = Callable[..., None]


@pytest.fixture(scope="module")
def side() -> Side:
    """Let DeepLabCut do something; what it can do stands in ``deeplabcut_side.py``."""
    python = other_python("ANIPIPE_DEEPLABCUT_PYTHON", "deeplabcut")

    def run(*arguments: str | Path) -> None:
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        done = subprocess.run(
            [python, "-W", "ignore", SIDE, *map(str, arguments)],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert not done.returncode, done.stdout[-2000:] + done.stderr[-2000:]

    return run


@pytest.fixture(scope="module")
def networks(side: Side) -> Iterator[Path]:
    """A folder of model folders; removed afterwards, for the weights are large."""
    with tempfile.TemporaryDirectory() as folder:
        side("networks", json.dumps(NETWORKS), folder)
        yield Path(folder)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_deeplabcut_give_what_they_give_there(networks: Path, name: str):
    folder = networks / name
    theirs = np.load(folder / "io.npz")
    pictures = torch.from_numpy(theirs["images"][..., ::-1].copy())
    model = load_model(find_model(folder))
    assert model.joints == ("nose", "ear", "tail")
    assert model.decoding.stride == theirs["stride"]

    layout = lay_out(model.preparation, *pictures.shape[2:0:-1])
    with torch.inference_mode():
        outputs = model.network(prepare(pictures, model.preparation, layout, torch.float32))
    expected = [theirs[part] for part in ("heatmap", "locref") if part in theirs]
    assert len(outputs) == len(expected)
    for ours, there in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(ours.numpy(), there, rtol=0, atol=1e-4 * np.ptp(there))

    found = Tracker(model, choose("cpu", "float32"))(pictures).numpy()[:, :, 0]
    np.testing.assert_allclose(found[..., :2], theirs["points"][..., :2], rtol=0, atol=0.01)
    np.testing.assert_allclose(found[..., 2], theirs["points"][..., 2], rtol=0, atol=1e-4)


def picture(points: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A dim, noisy frame with a spot of a colour of its own for each joint."""
    frame = random.uniform(0, 40, (96, 128, 3))
    for point, colour in zip(points, np.eye(3) * 200, strict=True):
        rows, columns = np.mgrid[:96, :128]
        near = np.exp(-((columns - point[0]) ** 2 + (rows - point[1]) ** 2) / 50)
        frame += near[..., None] * colour
    return np.clip(frame, 0, 255).astype(np.uint8)


def write_labelled(project: Path, frames: int) -> None:
    """Labelled frames as DeepLabCut lays them out; one joint is missing in one of them."""
    folder = project / "labeled-data" / "v"
    folder.mkdir(parents=True)
    random = np.random.default_rng(5)
    joints = ("nose", "ear", "tail")
    lines = ["scorer,,," + ",".join(["me"] * 6)]
    lines.append("bodyparts,,," + ",".join(joint for joint in joints for _ in "xy"))
    lines.append("coords,,," + ",".join(["x", "y"] * 3))
    for frame in range(frames):
        points = random.uniform((10, 10), (118, 86), (3, 2)).round(2)
        cv2.imwrite(str(folder / f"img{frame:03}.png"), picture(points, random))
        cells = [str(value) for value in points.ravel()]
        if frame == 2:
            cells[2:4] = "", ""
        lines.append(f"labeled-data,v,img{frame:03}.png," + ",".join(cells))
    (folder / "CollectedData_me.csv").write_text("\n".join(lines) + "\n")


def write_clip(path: Path, frames: int) -> None:
    random = np.random.default_rng(6)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"FFV1"), 30, (128, 96))
    for _ in range(frames):
        writer.write(picture(random.uniform((10, 10), (118, 86), (3, 2)), random))
    writer.release()


def read_clip(path: Path) -> torch.Tensor:
    video, frames = cv2.VideoCapture(str(path)), []
    while (read := video.read())[0]:
        frames.append(read[1])
    return torch.from_numpy(np.stack(frames))


def shorten(config: Path) -> None:
    """Learn from small crops, and keep the optimizer's state, by which the order of tensors matters."""
    settings = yaml.safe_load(config.read_text())
    settings["data"]["train"]["crop_sampling"] |= {"width": 64, "height": 64}
    settings["runner"]["snapshots"]["save_optimizer_state"] = True
    config.write_text(yaml.safe_dump(settings, sort_keys=False))


@pytest.mark.parametrize("net", ["cspnext_tiny", "resnet_18", "hrnet_w18"])
def test_deeplabcut_goes_on_with_what_we_trained(side: Side, tmp_path: Path, net: str):
    project = tmp_path / "trial"
    write_labelled(project, frames=10)
    shorten(create_training_dataset(project, net=net).shuffle.config)
    trained = train(project, epochs=2, batch_size=4, device="cpu")
    model = load_model(find_model(project))
    clip = tmp_path / "clip.avi"
    write_clip(clip, frames=4)
    ours = Tracker(model, choose("cpu", "float32"))(read_clip(clip)).numpy()[:, :, 0]

    side("use", project, clip, tmp_path / "analysed", trained.snapshots[-1])
    (table,) = (tmp_path / "analysed").glob("*.h5")
    theirs = pd.read_hdf(table)
    assert tuple(theirs.columns.unique("bodyparts")) == model.joints == ("nose", "ear", "tail")
    there = theirs.to_numpy().reshape(ours.shape)
    np.testing.assert_allclose(ours[..., :2], there[..., :2], rtol=0, atol=0.01)
    np.testing.assert_allclose(ours[..., 2], there[..., 2], rtol=0, atol=1e-4)
    (errors,) = project.glob("evaluation-results-pytorch/*/*/*-results.csv")
    assert np.isfinite(pd.read_csv(errors)[["train rmse", "test rmse"]].to_numpy()).all()
    assert (trained.folder / "snapshot-003.pt").is_file()


def test_we_learn_from_the_frames_that_deeplabcut_chose(side: Side, tmp_path: Path):
    project = tmp_path / "trial"
    write_labelled(project, frames=20)
    made = create_training_dataset(project)
    for folder in ("training-datasets", "dlc-models-pytorch"):
        shutil.rmtree(project / folder)
    side("divide", project, "v.mp4", tmp_path / "rows.json")
    theirs = json.loads((tmp_path / "rows.json").read_text())
    ours = read_training_dataset(project)
    assert ours.labels.pictures == made.labels.pictures
    assert (sorted(ours.train), sorted(ours.test)) == (sorted(theirs["train"]), sorted(theirs["test"]))
    assert len(ours.test) == 1

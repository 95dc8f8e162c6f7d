"""What DeepLabCut does in its own environment, for ``test_deeplabcut_interop.py``; no import of anipipe.

``networks REQUESTS FOLDER``: for each of the requests (a JSON object: name to changes of DeepLabCut's own
configuration) a model folder FOLDER/NAME with random weights, and what they make of two pictures.
``use PROJECT VIDEO FOLDER SNAPSHOT``: DeepLabCut's own analysis, evaluation, and training from there on.
``divide PROJECT VIDEO FILE``: DeepLabCut's own division of labelled frames.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

JOINTS = ["nose", "ear", "tail"]
SIZE = 96, 128  # multiples of 32: nothing is filled up at random


def change(config: dict[str, Any], changes: dict[str, Any]) -> None:
    """Set entries of a nested dict, named by their keys with dots between."""
    for key, value in changes.items():
        *above, last = key.split(".")
        inner = config
        for name in above:
            inner = inner[name]
        inner[last] = value


def configuration(net_type: str, folder: Path, changes: dict[str, Any]) -> Any:
    from deeplabcut.pose_estimation_pytorch.config import PoseConfig

    project = {
        "Task": "trial",
        "scorer": "me",
        "date": "Jan1",
        "bodyparts": JOINTS,
        "project_path": str(folder),
    }
    path = folder / "pytorch_config.yaml"
    config = PoseConfig.build(project, path, net_type=net_type, top_down=False).to_dict(normalize=True)
    change(config, changes)
    config = PoseConfig.from_dict(config)
    config.to_yaml(path)
    return config


def scramble(model: Any, pictures: Any) -> None:
    """Weights and statistics of which each matters, and outputs of the size of a trained network's."""
    import torch

    norms = [m for m in model.modules() if hasattr(m, "eps") and getattr(m, "weight", None) is not None]
    with torch.no_grad():
        for norm in norms:
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.normal_(0, 0.3)
            norm.momentum = 1.0
            norm.train()
        model(pictures)  # statistics as of real activations, so that deep networks do not blow up
        for norm in norms:
            if getattr(norm, "running_mean", None) is not None:
                norm.running_mean += 0.3 * norm.running_var.sqrt() * torch.randn_like(norm.running_mean)
                norm.running_var *= torch.empty_like(norm.running_var).uniform_(0.6, 1.6)
        model.eval()
        for head in model.heads.values():
            for part, spread in ((head.heatmap_head, 0.25), (head.locref_head, 0.5)):
                if part is None:
                    continue
                *_, last = (
                    m for m in part.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.ConvTranspose2d)
                )
                for module in part.modules():
                    if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
                        torch.nn.init.kaiming_normal_(module.weight)
                        module.bias.normal_(0, 0.1)
                last.weight *= spread / part(model.backbone(pictures)).std()


def build(net_type: str, folder: Path, changes: dict[str, Any]) -> None:
    """Write a model folder, and ``io.npz``: pictures, DeepLabCut's raw outputs and points for them."""
    import numpy as np
    import torch
    from deeplabcut.pose_estimation_pytorch.data.transforms import build_transforms
    from deeplabcut.pose_estimation_pytorch.models.model import PoseModel

    folder.mkdir(parents=True, exist_ok=True)
    config = configuration(net_type, folder, changes)
    torch.manual_seed(7)
    model = PoseModel.build(config.to_dict()["model"], pretrained_backbone=False).eval()
    random = np.random.default_rng(3)
    coarse = (
        random.uniform(0, 255, (2, SIZE[0] // 16, SIZE[1] // 16, 3)).repeat(16, axis=1).repeat(16, axis=2)
    )
    images = np.clip(coarse + random.normal(0, 30, coarse.shape), 0, 255).astype(np.uint8)
    transform = build_transforms(config.to_dict()["data"]["inference"])
    plain = {"keypoints": [], "class_labels": [], "bboxes": [], "bbox_labels": []}
    ready = np.stack([transform(image=image, **plain)["image"] for image in images]).transpose(0, 3, 1, 2)
    scramble(model, torch.from_numpy(ready).float())
    with torch.no_grad():
        outputs = model(torch.from_numpy(ready).float())
        points = model.get_predictions(outputs)["bodypart"]["poses"]
    state = model.state_dict()
    snapshot = {"metadata": {"epoch": 1, "metrics": {}, "losses": {}}, "model": state}
    torch.save(snapshot, folder / "snapshot-001.pt")
    (folder / "keys.txt").write_text("".join(f"{k} {tuple(v.shape)} {v.dtype}\n" for k, v in state.items()))
    raw = {name: value.numpy() for name, value in outputs["bodypart"].items()}
    np.savez(
        folder / "io.npz",
        images=images,
        points=points.numpy()[:, 0],
        stride=model.get_stride("bodypart"),
        **raw,
    )


def networks(requests: str, target: str) -> None:
    """Build the networks that are asked for."""
    for name, changes in json.loads(requests).items():
        net_type = changes.pop("net_type")
        build(net_type, Path(target) / name, changes)


def use(project: str, video: str, target: str, snapshot: str) -> None:
    """Let DeepLabCut track a video, evaluate the project's network, and train on for an epoch."""
    import deeplabcut

    config = str(Path(project) / "config.yaml")
    deeplabcut.analyze_videos(config, [video], destfolder=target, device="cpu")
    deeplabcut.evaluate_network(config, device="cpu")
    deeplabcut.train_network(config, snapshot_path=snapshot, epochs=1, device="cpu")


def divide(project: str, video: str, target: str) -> None:
    """Let DeepLabCut divide the labelled frames of a video; write its rows to learn from and to test with."""
    import deeplabcut
    from deeplabcut.core.config import ProjectConfig
    from deeplabcut.pose_estimation_pytorch import DLCLoader

    path = Path(project) / "config.yaml"
    config = ProjectConfig.from_yaml(path)
    config.video_sets = {video: {"crop": "0, 128, 0, 96"}}
    config.to_yaml(path)
    deeplabcut.convertcsv2h5(str(path), userfeedback=False)
    deeplabcut.create_training_dataset(str(path), net_type="resnet_50", userfeedback=False)
    Path(target).write_text(json.dumps(DLCLoader.load_split(config, 0, 1)))


if __name__ == "__main__":
    commands = {"networks": networks, "use": use, "divide": divide}
    commands[sys.argv[1]](*sys.argv[2:])

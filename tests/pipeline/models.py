"""Small networks with random weights, in folders like those of DeepLabCut 3."""

from __future__ import annotations

from pathlib import Path

import torch
import yaml

from anipipe.networks.architectures.build import build_deeplabcut, initialise

JOINTS = ("nose", "neck", "tail")


def settings(joints: tuple[str, ...] = JOINTS) -> dict[str, object]:
    """What stands in ``pytorch_config.yaml``."""
    head = {"kernel_size": [3], "strides": [2]}
    return {
        "method": "bu",
        "metadata": {"bodyparts": list(joints), "unique_bodyparts": [], "individuals": ["one"]},
        "data": {"colormode": "RGB", "inference": {"normalize_images": True}},
        "model": {
            "backbone": {
                "type": "CSPNeXt",
                "model_name": "cspnext_s",
                "deepen_factor": 0.1,
                "widen_factor": 0.125,
            },
            "heads": {
                "bodypart": {
                    "type": "HeatmapHead",
                    "predictor": {
                        "type": "HeatmapPredictor",
                        "location_refinement": True,
                        "locref_std": 7.2801,
                    },
                    "heatmap_config": {"channels": [128, len(joints)], **head},
                    "locref_config": {"channels": [128, 2 * len(joints)], **head},
                }
            },
        },
    }


def write_model(folder: Path, joints: tuple[str, ...] = JOINTS, seed: int = 0) -> Path:
    """Write a model's folder; its name has the parts of DeepLabCut's."""
    train = folder / "train"
    train.mkdir(parents=True, exist_ok=True)
    config = settings(joints)
    network = build_deeplabcut(config)
    initialise(network, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        for (
            weights
        ) in network.heads.parameters():  # larger than at the start of training, so that places differ
            weights.normal_(0, 0.05, generator=torch.Generator().manual_seed(seed + 1))
    (train / "pytorch_config.yaml").write_text(yaml.safe_dump(config))
    torch.save({"model": network.state_dict(), "metadata": {"epoch": 1}}, train / "snapshot-001.pt")
    return folder

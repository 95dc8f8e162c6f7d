"""Folders and zips like those of trained models; most of them hold no weights."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

CONFIG = {"metadata": {"bodyparts": ["nose", "tail"]}}
SHUFFLE = "mouseMay5-trainset95shuffle1"
TRAIN = f"dlc-models-pytorch/iteration-0/{SHUFFLE}/train"


def write(folder: Path, files: Mapping[str, Any]) -> Path:
    """Write files by their names: tables as YAML, bytes and text as they are."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(as_bytes(content))
    return folder


def zipped(path: Path, files: Mapping[str, Any]) -> Path:
    """Write the same into a zip."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, as_bytes(content))
    return path


def as_bytes(content: Any) -> bytes:
    if isinstance(content, bytes):
        return content
    return (content if isinstance(content, str) else yaml.safe_dump(content)).encode()


def link(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name)
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return member


def project(**keys: Any) -> dict[str, Any]:
    """Return the content of a project's ``config.yaml``."""
    return {"Task": "mouse", "scorer": "me", "date": "May5", "iteration": 0, **keys}


def deeplabcut(*snapshots: str, folder: str = TRAIN, **keys: Any) -> dict[str, Any]:
    """Return the files of a project with one model."""
    return {
        "config.yaml": project(**keys),
        f"{folder}/pytorch_config.yaml": CONFIG,
        **{f"{folder}/{name}": b"weights" for name in snapshots},
    }


def lightning(*checkpoints: str, version: int = 0, **model: Any) -> dict[str, Any]:
    """Return the files of a model of Lightning Pose."""
    settings = {
        "data": {"keypoint_names": ["nose", "tail"], "num_keypoints": 2, "data_dir": "${oc.env:HOME}/data"},
        "model": {"model_type": "heatmap", "backbone": "resnet18", "model_name": "toy", **model},
    }
    folder = f"tb_logs/toy/version_{version}/checkpoints"
    return {"config.yaml": settings, **{f"{folder}/{name}": b"weights" for name in checkpoints}}

"""Labels and trainings of a real project; see the README beside the data for what it is."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from anipipe.commands.train import prepare_task
from anipipe.commands.training_dataset import create_training_dataset, read_test_frames
from anipipe.formats.labels import read_labels, read_project
from anipipe.networks.settings_files import read_settings
from anipipe.networks.training.augmentation import Augmentation
from anipipe.networks.training.targets import TargetMaker

DATA = Path(os.environ.get("ANIPIPE_REAL_DATA") or Path(__file__).parents[3] / "shared" / "data")
PROJECT = DATA / "openfield" / "project"

pytestmark = pytest.mark.skipif(not PROJECT.is_dir(), reason=f"the real recordings are not at {DATA}")

JOINTS = ("snout", "leftear", "rightear", "tailbase")


def test_labels_are_those_that_pandas_reads():
    labels = read_project(PROJECT, "Pranav", JOINTS)  # csv and h5 agree, or it would be told
    (path,) = PROJECT.glob("labeled-data/*/CollectedData_Pranav.h5")
    table = pd.read_hdf(path)
    assert len(labels) == len(table) == 116
    np.testing.assert_allclose(labels.points.reshape(116, -1), table.to_numpy(), atol=1e-9)
    same = read_labels(path, "m4s1")
    assert same.pictures == labels.pictures and same.joints == JOINTS
    assert all(picture.is_file() for picture in labels.paths(PROJECT))


def test_settings_and_split_of_deeplabcut(tmp_path):
    """Its own settings are read as it means them, and its split is that of the reference."""
    project = tmp_path / "project"
    for name in ("labeled-data", "config.yaml"):
        source = PROJECT / name
        shutil.copytree(source, project / name) if source.is_dir() else shutil.copy(source, project / name)
    listed = read_test_frames(PROJECT / "reference" / "split.json")
    made = create_training_dataset(project, net="resnet_18", test_frames=listed)
    assert (len(made.train), len(made.test)) == (110, 6)
    names = {made.labels.pictures[row][1] for row in made.test}
    assert names == set(json.loads((PROJECT / "reference" / "split.json").read_text())["test_frames"])
    (theirs,) = PROJECT.glob("dlc-models-pytorch/*/*/train/pytorch_config.yaml")
    assert theirs.parent.relative_to(PROJECT) == made.shuffle.train.relative_to(project)
    config = read_settings(theirs)
    config["metadata"]["project_path"] = str(project)
    task = prepare_task(made, config)
    settings = task.settings
    assert (settings.epochs, settings.batch_size, settings.seed, settings.eval_interval) == (140, 8, 42, 20)
    assert settings.augmentation == Augmentation(
        crop=(320, 320),
        sampling="hybrid",
        shift=0.1,
        affine=0.5,
        rotation=30,
        scale=(0.5, 1.25),
        blur=True,
        noise=12.75,
        brightness=settings.augmentation.brightness,
        contrast=settings.augmentation.contrast,
    )
    assert task.targets == TargetMaker(stride=8, radius=17, offset_scale=7.2801)
    assert (task.weights.heatmap, task.weights.offsets) == (1.0, 0.05)

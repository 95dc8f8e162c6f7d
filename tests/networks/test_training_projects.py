"""Training datasets in DeepLabCut's layout, training from them, and evaluating what came of it."""

from __future__ import annotations

import pickle
import re
import warnings
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from scipy.io import loadmat

from anipipe.commands.train import prepare_task, train
from anipipe.commands.training_dataset import create_training_dataset, read_test_frames, read_training_dataset
from anipipe.errors import ConfigError, DataError, Notice, UsageError
from anipipe.formats.labels import Labels, write_labels
from anipipe.networks.architectures.build import build_deeplabcut
from anipipe.networks.loading import load_model
from anipipe.networks.settings_files import read_settings
from anipipe.networks.sources import find_model
from anipipe.networks.training.configs import NETS, make_config, with_changes
from anipipe.networks.training.division import read_division
from anipipe.networks.training.initial import take_weights
from anipipe.networks.training.project import open_project

JOINTS = ("nose", "tail")


def make_project(folder: Path, *, count: int = 10, config: dict | None = None) -> Path:
    """A project of two folders of small pictures with two spots each; some labels are blank."""
    random = np.random.default_rng(0)
    x, y = np.meshgrid(np.arange(64), np.arange(48))
    for video in ("one", "two"):
        place = folder / "labeled-data" / video
        place.mkdir(parents=True)
        points = random.uniform(8, (56, 40), (count // 2, 2, 2))
        names = [f"img{index:02}.png" for index in range(count // 2)]
        for name, spots in zip(names, points, strict=True):
            picture = np.zeros((48, 64, 3))
            for channel, (u, v) in zip((2, 1), spots, strict=True):
                picture[..., channel] = 200 * np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * 3.0**2))
            cv2.imwrite(str(place / name), picture.astype(np.uint8))
        points[0, 1] = np.nan
        labels = Labels(tuple((video, name) for name in names), points, JOINTS, "Ann")
        write_labels(labels, place / "CollectedData_Ann")
    if config is not None:
        base = {
            "Task": "spots",
            "scorer": "Ann",
            "date": "Jan2",
            "bodyparts": [*JOINTS],
            "TrainingFraction": [0.8],
        }
        (folder / "config.yaml").write_text(yaml.safe_dump({**base, "project_path": "/elsewhere", **config}))
    return folder


def quick(project: Path, shuffle: int = 1, **more) -> None:
    """Make a dataset with the smallest network and settings that take moments."""
    made = create_training_dataset(project, shuffle=shuffle, net="cspnext_tiny", **more)
    config = yaml.safe_load(made.shuffle.config.read_text())
    config["model"]["backbone"] |= {"deepen_factor": 0.1, "widen_factor": 0.125}
    config["model"]["backbone_output_channels"] = 128
    for part, maps in (("heatmap_config", 2), ("locref_config", 4)):
        config["model"]["heads"]["bodypart"][part]["channels"] = [128, maps]
    config["data"]["train"]["crop_sampling"] |= {"width": 64, "height": 64}
    config["train_settings"] |= {"epochs": 3, "batch_size": 4}
    config["runner"] |= {"eval_interval": 1}
    made.shuffle.config.write_text(yaml.safe_dump(config))


def test_the_layout_of_deeplabcut(tmp_path):
    project = make_project(tmp_path / "p", config={"iteration": 3})
    made = create_training_dataset(project, net="resnet_18", seed=5)
    files = {path.relative_to(project).as_posix() for path in project.rglob("*") if path.is_file()}
    data = "training-datasets/iteration-3/UnaugmentedDataSet_spotsJan2"
    model = "dlc-models-pytorch/iteration-3/spotsJan2-trainset80shuffle1"
    assert {
        f"{data}/CollectedData_Ann.csv",
        f"{data}/CollectedData_Ann.h5",
        f"{data}/metadata.yaml",
        f"{data}/Documentation_data-spots_80shuffle1.pickle",
        f"{data}/spots_Ann80shuffle1.mat",
        f"{model}/train/pytorch_config.yaml",
        f"{model}/test/pose_cfg.yaml",
    } <= files
    assert yaml.safe_load((project / data / "metadata.yaml").read_text()) == {
        "shuffles": {
            "spotsJan2-trainset80shuffle1": {
                "train_fraction": 0.8,
                "index": 1,
                "split": 1,
                "engine": "pytorch",
            }
        }
    }
    _, train_rows, test_rows, fraction = pickle.loads(
        (project / data / "Documentation_data-spots_80shuffle1.pickle").read_bytes()
    )
    assert (len(train_rows), len(test_rows), fraction) == (8, 2, 0.8)
    assert sorted(train_rows + test_rows) == list(range(10)) and train_rows == sorted(train_rows)
    table = pd.read_hdf(project / data / "CollectedData_Ann.h5")
    assert table.index[0] == ("labeled-data", "one", "img00.png") and table.shape == (10, 4)
    matrix = loadmat(project / data / "spots_Ann80shuffle1.mat")["dataset"]
    assert matrix.shape == (1, 8)
    for at, row in enumerate(train_rows):
        picture, size, joints = matrix[0, at]
        assert tuple(part.strip() for part in picture[0]) == table.index[row]
        assert size[0].tolist() == [3, 48, 64]
        expected = table.iloc[row].to_numpy().reshape(2, 2)
        known = np.flatnonzero(np.isfinite(expected).all(axis=1))
        assert joints[0, 0][:, 0].tolist() == known.tolist()
        np.testing.assert_allclose(joints[0, 0][:, 1:], expected[known], atol=0.51)
    config = read_settings(project / model / "train" / "pytorch_config.yaml")
    assert config["metadata"]["bodyparts"] == [*JOINTS]
    assert config["train_settings"]["seed"] == 5
    again = read_training_dataset(project)
    assert again.labels.pictures == made.labels.pictures
    np.testing.assert_array_equal(again.labels.points, made.labels.points)
    np.testing.assert_array_equal(again.train, made.train)
    np.testing.assert_array_equal(again.test, made.test)


def test_the_seed_decides_the_division(tmp_path):
    project = make_project(tmp_path / "p", count=20, config={})
    made = [create_training_dataset(project, shuffle=n, seed=seed) for n, seed in ((1, 7), (2, 7), (3, 8))]
    np.testing.assert_array_equal(made[0].test, made[1].test)
    assert made[0].test.tolist() != made[2].test.tolist()
    metadata = yaml.safe_load((made[0].shuffle.project.datasets / "metadata.yaml").read_text())
    assert [one["index"] for one in metadata["shuffles"].values()] == [1, 2, 3]


def test_named_test_frames(tmp_path):
    project = make_project(tmp_path / "p", config={})
    listed = tmp_path / "split.json"
    listed.write_text('{"test_frames": ["one/img03.png", "two/img01.png"]}')
    made = create_training_dataset(project, test_frames=read_test_frames(listed))
    assert [made.labels.pictures[row] for row in made.test] == [("one", "img03.png"), ("two", "img01.png")]
    assert len(made.train) == 8
    listed = tmp_path / "split.txt"
    listed.write_text("labeled-data\\two\\img04.png\n\n")
    made = create_training_dataset(project, shuffle=2, test_frames=read_test_frames(listed))
    assert [made.labels.pictures[row] for row in made.test] == [("two", "img04.png")]
    for name, message in (
        ("img03.png", "means several: one/img03.png, two/img03.png"),
        ("img9", "not among"),
    ):
        with pytest.raises(UsageError, match=message):
            create_training_dataset(project, shuffle=3, test_frames=[name])


def test_nothing_is_overwritten_unasked(tmp_path):
    project = make_project(tmp_path / "p", config={})
    made = create_training_dataset(project, net="resnet_18")
    before = made.shuffle.config.read_bytes()
    with pytest.raises(UsageError, match="there is a shuffle 1 already"):
        create_training_dataset(project, net="resnet_34")
    assert made.shuffle.config.read_bytes() == before
    path = project / "labeled-data" / "one" / "CollectedData_Ann.csv"
    path.with_suffix(".h5").unlink()
    path.write_text(path.read_text().replace("img00.png", "img09.png"))
    with (
        pytest.warns(Notice, match="missing"),
        pytest.raises(UsageError, match=r"labels have changed .* Set iteration to 1 in config.yaml"),
    ):
        create_training_dataset(project, shuffle=2)
    with pytest.warns(Notice, match="missing"):
        create_training_dataset(project, shuffle=1, net="resnet_34", overwrite=True)
    assert read_settings(made.shuffle.config)["model"]["backbone"]["model_name"] == "resnet34"
    assert len(read_training_dataset(project).labels) == 9


def test_a_folder_without_config_is_given_one(tmp_path):
    project = make_project(tmp_path / "new project")
    made = create_training_dataset(project)
    read = open_project(project)
    assert (read.task, read.scorer, read.joints, read.fractions) == ("new project", "Ann", JOINTS, (0.95,))
    assert made.shuffle.model.is_dir() and len(made.train) == 9


def test_divisions_made_by_deeplabcut_are_read_and_code_is_not_run(tmp_path):
    project = make_project(tmp_path / "p", config={})
    shuffle = create_training_dataset(project).shuffle
    arrays = [[{"image": ("a",), "joints": np.ones((2, 3))}], np.array([4, 1]), np.array([2], np.int32), 0.8]
    for protocol in (2, 4, 5):
        shuffle.documentation.write_bytes(pickle.dumps(arrays, protocol=protocol))
        train_rows, test_rows = read_division(shuffle)
        assert (train_rows.tolist(), test_rows.tolist()) == ([4, 1], [2])
    shuffle.documentation.write_bytes(pickle.dumps([[], [np.int64(4)], [np.int64(2)], np.float64(0.8)]))
    assert [rows.tolist() for rows in read_division(shuffle)] == [[4], [2]]

    class Bad:
        def __reduce__(self):
            return Path.touch, (tmp_path / "was run",)

    shuffle.documentation.write_bytes(pickle.dumps([[], [0], [1], Bad()]))
    with pytest.raises(DataError, match=r"Documentation_data.*cannot be read"):
        read_division(shuffle)
    assert not (tmp_path / "was run").exists()
    shuffle.documentation.write_bytes(pickle.dumps([[], [0], [99], 0.8]))
    with pytest.raises(DataError, match=r"divides 100 frames, .* has 10"):
        read_training_dataset(project)


def test_wrong_projects(tmp_path):
    with pytest.raises(DataError, match=r"config.yaml"):
        create_training_dataset(tmp_path / "nowhere")
    project = make_project(tmp_path / "p", config={})
    with pytest.raises(UsageError, match=r"no network 'resnet_152'.*did you mean resnet_"):
        create_training_dataset(project, net="resnet_152")
    with pytest.raises(UsageError, match=r"--train-fraction 0.5: TrainingFraction in .* has 0.8"):
        create_training_dataset(project, fraction=0.5)
    with pytest.raises(DataError, match=r"no shuffle 4 to train. Make it with"):
        read_training_dataset(project, 4)
    one = make_project(tmp_path / "one", count=2, config={})
    (one / "labeled-data" / "two" / "img00.png").unlink()
    with pytest.warns(Notice, match="missing"), pytest.raises(DataError, match="one labelled frame alone"):
        create_training_dataset(one)
    for changes, message in (
        ({"multianimalproject": True}, "multianimalproject"),
        ({"scorer": None}, "scorer is not set"),
        ({"pcutoff": "high"}, "pcutoff is no number"),
    ):
        bad = make_project(tmp_path / message, config=changes)
        with pytest.raises(ConfigError, match=message):
            open_project(bad)


@pytest.mark.parametrize("net", NETS)
def test_every_network_fits_its_settings(net, tmp_path):
    """The heads have the channels that the backbone gives, in shape at least: nothing is computed."""
    config = make_config(net, JOINTS, tmp_path, tmp_path / "pytorch_config.yaml", seed=0)
    with torch.device("meta"):
        network = build_deeplabcut(config)
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    final = [
        shape for name, shape in shapes.items() if name.startswith("heads.bodypart") and name.endswith("bias")
    ]
    assert final == [(2,), (4,)]
    assert yaml.safe_load(yaml.safe_dump(config)) == config


def test_milestones_move_with_the_epochs():
    config = make_config("resnet_18", JOINTS, Path("p"), Path("q"), seed=0)
    changed = with_changes(config, epochs=60, batch_size=None, seed=9)
    assert changed["train_settings"]["epochs"] == 60 and changed["train_settings"]["seed"] == 9
    assert changed["runner"]["scheduler"]["params"]["milestones"] == [45, 55]
    assert config["runner"]["scheduler"]["params"]["milestones"] == [150, 183]
    assert with_changes(config, epochs=None, batch_size=None, seed=None) == config


def test_training_a_project(tmp_path):
    project = make_project(tmp_path / "p", config={})
    quick(project)
    started, seen, steps = [], [], []
    trained = train(
        project,
        device="cpu",
        epochs=2,
        started=started.append,
        report=seen.append,
        step=lambda done, of: steps.append((done, of)),
    )
    assert started[0].train == 8 and started[0].test == 2 and started[0].resumed is None
    assert [epoch.number for epoch in seen] == [1, 2]
    assert steps == [(1, 2), (2, 2)] * 2
    assert trained.snapshots[-1].name.startswith("snapshot-best-")
    model = load_model(find_model(project))
    assert model.joints == JOINTS
    with pytest.raises(UsageError, match="has been trained"):
        train(project, device="cpu")
    with pytest.raises(UsageError, match="no training to resume"):
        train(project, device="cpu", resume=True)
    first = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    again = train(project, device="cpu", resume=False)
    assert len(again.epochs) == 2, "the number of epochs was written into the settings"
    second = load_model(find_model(project)).network.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first), "the same seed, the same weights"


def test_a_killed_training_of_a_project_goes_on_by_itself(tmp_path, monkeypatch):
    from anipipe.networks.training import loop

    monkeypatch.setattr(loop.train, "__kwdefaults__", {**loop.train.__kwdefaults__, "resume_every": 0})
    project = make_project(tmp_path / "p", config={})
    quick(project)

    def kill(epoch):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(project, device="cpu", report=kill)
    started = []
    with pytest.raises(UsageError, match="keeps its weights and settings"):
        train(project, device="cpu", epochs=9)
    trained = train(project, device="cpu", started=started.append)
    assert started[0].resumed == 1 and [epoch.number for epoch in trained.epochs] == [2, 3]


def test_pictures_lost_since_are_left_out(tmp_path):
    project = make_project(tmp_path / "p", config={})
    made = create_training_dataset(project, seed=1)
    lost = made.labels.paths(project)[made.train[2]]
    lost.unlink()
    with pytest.warns(Notice, match=re.escape(lost.name)):
        again = read_training_dataset(project)
    assert (len(again.train), len(again.test)) == (7, 2)
    names = [again.labels.pictures[row] for row in again.test]
    assert names == [made.labels.pictures[row] for row in made.test]


def test_frames_without_labels_teach_nothing(tmp_path):
    project = make_project(tmp_path / "p", config={})
    data = create_training_dataset(project)
    data.labels.points[data.train[3]] = np.nan
    data.labels.points[data.test[0]] = np.nan
    task = prepare_task(data, read_settings(data.shuffle.config))
    assert (len(task.train), len(task.test)) == (7, 2)
    assert np.isfinite(task.train.points).any(axis=(1, 2)).all()


def test_labels_of_other_joints_than_the_networks(tmp_path):
    project = make_project(tmp_path / "p", config={})
    data = create_training_dataset(project)
    config = read_settings(data.shuffle.config)
    config["metadata"]["bodyparts"] = ["nose", "paw"]
    with pytest.raises(DataError, match=r"metadata.bodyparts are nose, paw, labelled are nose, tail"):
        prepare_task(data, config)
    with pytest.warns(Notice, match="paw"):
        (project / "config.yaml").write_text(
            (project / "config.yaml").read_text().replace("- tail", "- tail\n- paw")
        )
        with pytest.raises(DataError, match=r"has the joints nose, tail, config.yaml nose, tail, paw"):
            read_training_dataset(project)
        with pytest.raises(DataError, match="no frame has a label for paw"):
            create_training_dataset(project, overwrite=True)


def network(net: str = "resnet_18", joints: tuple[str, ...] = JOINTS) -> torch.nn.Module:
    """A network with some weights, different each time."""
    return build_deeplabcut(make_config(net, joints, Path("p"), Path("q"), seed=0))


def test_weights_of_torchvision_and_timm(tmp_path):
    other, fresh = network(), network()
    prefix, head = "backbone.model.", "heads.bodypart.heatmap_head.deconv_layers.0.weight"
    wanted = {n: t.clone() for n, t in other.state_dict().items() if n.startswith(prefix)}
    state = {name.removeprefix(prefix): tensor for name, tensor in wanted.items()}
    state |= {"fc.weight": torch.zeros(10, 512), "fc.bias": torch.zeros(10)}
    wrapped = {
        "plain": state,
        "state_dict": {
            "epoch": 3,
            "state_dict": {f"module.{name}": tensor for name, tensor in state.items()},
        },
        "model": {"model": state},
        "encoder": {f"encoder.{name}": tensor for name, tensor in state.items()},
    }
    path = tmp_path / "resnet18.pth"
    for how, content in wrapped.items():
        with torch.no_grad():
            for tensor in fresh.parameters():
                tensor.fill_(7)
        torch.save(content, path)
        taken = take_weights(fresh, path)
        filled = fresh.state_dict()
        assert all(torch.equal(filled[name], wanted[name]) for name in wanted), how
        assert (filled[head] == 7).all()
        assert len(taken.taken) == 100 and len(taken.fresh) == 4
        assert {name.split("fc.")[-1] for name in taken.unused} == {"weight", "bias"}
        assert "100 of 104 tensors taken" in str(taken)


def test_snapshot_with_other_joints(tmp_path):
    path = tmp_path / "snapshot-200.pt"
    state = network(joints=("a", "b", "c")).state_dict()
    torch.save({"metadata": {"epoch": 200}, "model": state}, path)
    fresh = network()
    taken = take_weights(fresh, path)
    assert len(taken.taken) == 100 and all(
        name.startswith("heads.") for name in (*taken.fresh, *taken.unused)
    )
    torch.save({"model": fresh.state_dict()}, path)
    assert take_weights(fresh, path).fresh == ()


def test_weights_of_another_network(tmp_path):
    path = tmp_path / "weights.pt"
    torch.save(network("resnet_34").state_dict(), path)
    with pytest.raises(DataError, match="does not hold weights of this network"):
        take_weights(network("cspnext_tiny"), path)
    torch.save({"a": 1}, path)
    with pytest.raises(DataError, match="It has no tensors"):
        take_weights(network(), path)


def test_a_shuffle_written_here_is_found_by_name(tmp_path):
    """The nominal fraction is cut off, not rounded, in names: 0.29 gives 28."""
    project = make_project(tmp_path / "p", config={"TrainingFraction": [0.29]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = create_training_dataset(project)
    assert made.shuffle.name == "spotsJan2-trainset28shuffle1"
    assert len(made.train) == 2


def test_a_joint_that_nobody_labelled_cannot_be_learnt(tmp_path):
    project = make_project(tmp_path / "p", config={"bodyparts": ["nose", "tail", "ear"]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Notice)
        with pytest.raises(DataError, match=r"no frame has a label for ear, which config.yaml lists"):
            create_training_dataset(project)

"""Training as a whole, with a network so small that it learns in moments."""

from __future__ import annotations

import csv
import errno
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from anipipe.errors import ConfigError, DataError
from anipipe.networks.devices import Compute
from anipipe.networks.models import PeakDecoding, Preparation, TrainedModel
from anipipe.networks.training import snapshots as snapshots_module
from anipipe.networks.training.augmentation import Augmentation
from anipipe.networks.training.batches import Frames
from anipipe.networks.training.loop import Task, train
from anipipe.networks.training.losses import LossWeights
from anipipe.networks.training.predicting import predict
from anipipe.networks.training.settings import Settings
from anipipe.networks.training.snapshots import keep_snapshot, read_state, snapshots, write_state
from anipipe.networks.training.targets import TargetMaker

CPU = torch.device("cpu")


class Tiny(nn.Module):
    """Two joints, one cell per 4 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(3, 8, 5, 2, 2, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
            *(nn.Conv2d(8, 12, 5, 2, 2, bias=False), nn.BatchNorm2d(12), nn.ReLU()),
            nn.Conv2d(12, 6, 5, 1, 2),
        )

    def forward(self, images):
        maps = self.layers(images)
        return maps[:, :2], maps[:, 2:]


def make_frames(folder: Path, count: int, seed: int) -> Frames:
    """Pictures of a red and a green spot."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    x, y = np.meshgrid(np.arange(64), np.arange(48))
    paths, points = [], random.uniform(8, (56, 40), (count, 2, 2))
    for index in range(count):
        picture = random.uniform(0, 40, (48, 64, 3))
        for channel, (u, v) in zip((2, 1), points[index], strict=True):
            picture[..., channel] += 200 * np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * 3.0**2))
        paths.append(folder / f"img{index}.png")
        cv2.imwrite(str(paths[-1]), np.clip(picture, 0, 255).astype(np.uint8))
    points[0, 1] = np.nan
    return Frames(paths, points)


SETTINGS = Settings(
    epochs=6,
    batch_size=4,
    seed=3,
    augmentation=Augmentation(crop=(48, 48), affine=0.5, rotation=20, scale=(0.8, 1.2), noise=5, shift=0.2),
    optimizer={"type": "AdamW", "params": {"lr": 5e-3}},
    scheduler={"type": "LRListScheduler", "params": {"lr_list": [[1e-3]], "milestones": [4]}},
    eval_interval=2,
    save_epochs=2,
    max_snapshots=2,
)


def make_task(folder: Path, settings: Settings = SETTINGS, seed: int = 0) -> Task:
    torch.manual_seed(seed)
    decoding = PeakDecoding(stride=4)
    model = TrainedModel("tiny", ("red", "green"), Tiny(), Preparation(), decoding)
    pictures = folder.parent / "pictures"
    return Task(
        model=model,
        train=make_frames(pictures / "train", 10, seed=1),
        test=make_frames(pictures / "test", 4, seed=2),
        targets=TargetMaker(stride=4, radius=8),
        weights=LossWeights(),
        settings=settings,
        folder=folder,
        source="settings.yaml",
    )


def weights(task: Task) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in task.model.network.state_dict().items()}


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


def test_it_learns(tmp_path):
    settings = replace(SETTINGS, epochs=60, eval_interval=60, augmentation=Augmentation(), scheduler=None)
    task = make_task(tmp_path / "train", settings)
    epochs = train(task, device=CPU)
    points, scores = predict(task.model, task.test, Compute(CPU, torch.float32, 1))
    distances = np.linalg.norm(points - task.test.points, axis=-1)
    assert np.nanmedian(distances) < 1.5
    assert epochs[-1].loss < 0.3 * epochs[0].loss
    assert epochs[-1].test_error == pytest.approx(np.nanmean(distances))
    assert scores.min() > 0.2


class Killed(Exception):
    pass


@pytest.mark.parametrize("after", [1, 4])
def test_a_killed_training_ends_like_one_never_killed(tmp_path, after):
    whole = make_task(tmp_path / "whole")
    unkilled = train(whole, device=CPU, workers=3)

    def kill(epoch):
        if epoch.number == after:
            raise Killed

    broken = make_task(tmp_path / "killed")
    with pytest.raises(Killed):
        train(broken, device=CPU, report=kill, resume_every=0)
    again = make_task(tmp_path / "killed", seed=99)  # other initial weights, which must not matter
    resumed = train(again, device=CPU, resume=True, resume_every=0, workers=1)
    assert [epoch.number for epoch in resumed] == list(range(after + 1, 7))
    assert_equal(weights(whole), weights(again))
    assert [(one.loss, one.learning_rate) for one in unkilled[after:]] == [
        (one.loss, one.learning_rate) for one in resumed
    ]
    names = [path.name for path in snapshots(tmp_path / "whole")]
    assert names == [path.name for path in snapshots(tmp_path / "killed")]
    for name in names:
        assert_equal(
            read_state(tmp_path / "whole" / name)["model"], read_state(tmp_path / "killed" / name)["model"]
        )
    stats = [(tmp_path / folder / "learning_stats.csv").read_text() for folder in ("whole", "killed")]
    assert stats[0] == stats[1]
    assert not (tmp_path / "killed" / "resume.pt").exists()


KILL = """
import os, sys
from pathlib import Path
from tests.networks.test_training_loop import CPU, make_task, train

def die(epoch):
    if epoch.number == 3:
        os.kill(os.getpid(), 9)

train(make_task(Path(sys.argv[1])), device=CPU, report=die, resume_every=0)
"""


@pytest.mark.skipif(os.name == "nt", reason="no signal 9")
def test_a_process_that_is_killed_leaves_what_can_be_resumed(tmp_path):
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", KILL, str(tmp_path / "killed")],
        cwd=root,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == -9
    assert not list((tmp_path / "killed").glob(".*.part"))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        again = make_task(tmp_path / "killed", seed=5)
        train(again, device=CPU, resume=True)
        whole = make_task(tmp_path / "whole")
        train(whole, device=CPU)
    finally:
        torch.set_num_threads(before)
    assert_equal(weights(whole), weights(again))


def test_other_settings_cannot_be_resumed(tmp_path):
    def kill(epoch):
        raise Killed

    with pytest.raises(Killed):
        train(make_task(tmp_path / "t"), device=CPU, report=kill, resume_every=0)
    other = make_task(tmp_path / "t", replace(SETTINGS, batch_size=2))
    with pytest.raises(DataError, match=r"other settings than settings.yaml"):
        train(other, device=CPU, resume=True)
    relabelled = make_task(tmp_path / "t")
    relabelled.train.points[0] += 1
    with pytest.raises(DataError, match="or with other labels"):
        train(relabelled, device=CPU, resume=True)
    (tmp_path / "t" / "resume.pt").write_bytes(b"cut off")
    with pytest.raises(DataError, match="damaged"):
        train(make_task(tmp_path / "t"), device=CPU, resume=True)


def test_snapshots_and_statistics_are_those_of_deeplabcut(tmp_path):
    task = make_task(tmp_path / "t", replace(SETTINGS, save_optimizer=True))
    epochs = train(task, device=CPU)
    best = min((one for one in epochs if np.isfinite(one.test_error)), key=lambda one: one.test_error)
    names = [path.name for path in snapshots(tmp_path / "t")]
    assert names[-1] == f"snapshot-best-{best.number:03}.pt"
    assert [name for name in names if "best" not in name] == [
        f"snapshot-{number:03}.pt" for number in (2, 4, 6) if number != best.number
    ][-2:]
    content = torch.load(tmp_path / "t" / names[-1], weights_only=True)
    assert set(content) == {"metadata", "model", "optimizer", "scheduler"}
    assert content["metadata"]["epoch"] == best.number
    assert content["metadata"]["metrics"] == {"metrics/test.rmse": best.test_error}
    assert set(content["metadata"]["losses"]) == {
        *("train.total_loss", "train.bodypart_heatmap", "train.bodypart_locref"),
    }
    assert content["metadata"]["losses"]["train.total_loss"] == best.loss
    rows = list(csv.DictReader((tmp_path / "t" / "learning_stats.csv").read_text().splitlines()))
    assert [row["step"] for row in rows] == [str(number) for number in range(1, 7)]
    assert [row["metrics/test.rmse"] != "" for row in rows] == [False, True] * 3
    assert float(rows[0]["losses/train.total_loss"]) == epochs[0].loss
    assert [one.learning_rate for one in epochs] == [5e-3] * 4 + [1e-3] * 2


def state(epoch: int) -> dict:
    return {"metadata": {"epoch": epoch}, "model": {"weight": torch.full((2,), float(epoch))}}


def test_which_snapshots_are_kept(tmp_path):
    """Better at 2, 5, 6, 10; due every 5; two plain ones kept."""
    kept = {}
    for epoch in range(1, 17):
        keep_snapshot(
            tmp_path, state(epoch), best=epoch in (2, 5, 6, 10), due=epoch % 5 == 0, save_epochs=5, most=2
        )
        kept[epoch] = [
            path.name.removeprefix("snapshot-").removesuffix(".pt") for path in snapshots(tmp_path)
        ]
    assert kept[1] == []
    assert kept[2] == kept[4] == ["best-002"]
    assert kept[5] == ["best-005"]
    assert kept[6] == ["005", "best-006"]
    assert kept[10] == ["005", "best-010"]
    assert kept[15] == ["005", "015", "best-010"]
    keep_snapshot(tmp_path, state(20), best=True, due=True, save_epochs=5, most=2)
    assert [path.name for path in snapshots(tmp_path)] == [
        *("snapshot-010.pt", "snapshot-015.pt", "snapshot-best-020.pt"),
    ]
    assert read_state(tmp_path / "snapshot-010.pt")["model"]["weight"].tolist() == [10, 10]


def test_a_full_disk_leaves_earlier_snapshots(tmp_path, monkeypatch):
    path = tmp_path / "snapshot-best-005.pt"
    write_state(state(5), path)
    before = path.read_bytes()

    def full(number):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(snapshots_module.os, "fsync", full)
    with pytest.raises(
        DataError, match=r"snapshot-best-010.pt: cannot be written \(No space left on device\)"
    ):
        keep_snapshot(tmp_path, state(10), best=True, due=True, save_epochs=5, most=2)
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == before


def test_a_loss_that_is_no_number_stops_with_a_remedy(tmp_path):
    settings = replace(SETTINGS, optimizer={"type": "SGD", "params": {"lr": 1e12}})
    with pytest.raises(
        ConfigError, match=r"settings.yaml: in epoch \d .*diverged. Lower the learning rate .*1e\+11"
    ):
        train(make_task(tmp_path / "t", settings), device=CPU)
    assert snapshots(tmp_path / "t") == []


def test_nothing_labelled(tmp_path):
    task = make_task(tmp_path / "t")
    task.train.points[:] = np.nan
    with pytest.raises(DataError, match="no training frame has a single labelled point"):
        train(task, device=CPU)


def test_an_unreadable_picture_is_named(tmp_path):
    task = make_task(tmp_path / "t")
    task.train.paths[3].write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"img3\.png: cannot be read as a picture"):
        train(task, device=CPU)


def test_pictures_of_different_size_and_no_test_frames(tmp_path):
    task = make_task(tmp_path / "t", replace(SETTINGS, epochs=2, augmentation=Augmentation()))
    cv2.imwrite(str(task.train.paths[0]), np.zeros((90, 70, 3), np.uint8))
    none = Frames([], np.empty((0, 2, 2)))
    epochs = train(replace(task, test=none), device=CPU)
    assert all(np.isnan(one.test_error) for one in epochs)
    assert [path.name for path in snapshots(tmp_path / "t")] == ["snapshot-002.pt"]


def test_one_frame_alone(tmp_path):
    task = make_task(tmp_path / "t", replace(SETTINGS, epochs=1))
    one = Frames(task.train.paths[1:2], task.train.points[1:2])
    assert len(train(replace(task, train=one), device=CPU)) == 1


def test_frozen_normalisation_keeps_its_statistics(tmp_path):
    for statistics, normalisation in ((True, False), (False, True)):
        settings = replace(
            SETTINGS, epochs=1, freeze_statistics=statistics, freeze_normalisation=normalisation
        )
        task = make_task(tmp_path / "t", settings)
        before = weights(task)
        train(task, device=CPU)
        after = weights(task)
        assert torch.equal(before["layers.1.running_mean"], after["layers.1.running_mean"]) == statistics
        assert torch.equal(before["layers.1.weight"], after["layers.1.weight"]) == normalisation
        assert not torch.equal(before["layers.0.weight"], after["layers.0.weight"])


def test_half_precision_computes_the_same_task(tmp_path, monkeypatch):
    """The way that GPUs go, on the CPU."""
    from anipipe.networks.training import loop

    monkeypatch.setattr(loop, "_half", lambda device: torch.bfloat16)
    low = train(make_task(tmp_path / "low"), device=CPU)
    monkeypatch.undo()
    full = train(make_task(tmp_path / "full"), device=CPU)
    assert low[0].loss != full[0].loss
    assert low[0].loss == pytest.approx(full[0].loss, rel=0.05)
    stored = read_state(snapshots(tmp_path / "low")[-1])["model"]
    assert {tensor.dtype for tensor in stored.values()} == {torch.float32, torch.int64}


def test_looking_at_the_test_frames_leaves_the_network_as_it_is(tmp_path):
    looking = make_task(tmp_path / "looking", replace(SETTINGS, eval_interval=1))
    other = make_task(tmp_path / "other", replace(SETTINGS, eval_interval=6))
    epochs = train(looking, device=CPU)
    train(other, device=CPU)
    assert_equal(weights(looking), weights(other))
    model = looking.model
    model.network.train()
    points, _ = predict(model, looking.test, Compute(CPU, torch.float32, 1))
    assert not model.network.training
    expected = np.nanmean(np.linalg.norm(points - looking.test.points, axis=-1))
    assert epochs[-1].test_error == pytest.approx(expected)


def test_a_training_killed_in_its_first_minute_goes_on_from_the_start(tmp_path):
    class Killed(BaseException):
        pass

    def die(epoch):
        if epoch.number == 3:
            raise Killed

    whole = make_task(tmp_path / "whole")
    train(whole, device=CPU)
    killed = make_task(tmp_path / "killed")
    with pytest.raises(Killed):
        train(killed, device=CPU, report=die)  # the state was written at the beginning alone
    again = make_task(tmp_path / "killed", seed=9)
    assert [epoch.number for epoch in train(again, device=CPU, resume=True)] == [1, 2, 3, 4, 5, 6]
    assert_equal(weights(again), weights(whole))


def test_another_network_does_not_go_on(tmp_path):
    def die(epoch):
        raise KeyboardInterrupt

    task = make_task(tmp_path / "train")
    with pytest.raises(KeyboardInterrupt):
        train(task, device=CPU, report=die)
    task.model.network.layers.append(nn.Identity())
    with pytest.raises(DataError, match="with other settings"):
        train(task, device=CPU, resume=True)

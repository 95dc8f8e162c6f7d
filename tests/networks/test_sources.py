from __future__ import annotations

import re
import subprocess
import sys
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anipipe.errors import DataError
from anipipe.networks import deeplabcut_sources, lightning_sources, listings
from anipipe.networks.sources import find_model, known_joints

from .model_folders import CONFIG, SHUFFLE, TRAIN, deeplabcut, lightning, project, write, zipped

BOTH = pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])


def given_as(packed, tmp_path, files):
    return zipped(tmp_path / "model.zip", files) if packed else write(tmp_path / "model", files)


def taken(source):
    """Return the name of the snapshot."""
    return (source.member or source.weights.name).rsplit("/", 1)[-1]


# DeepLabCut: what may be named


@pytest.mark.parametrize(
    "named", [".", "dlc-models-pytorch", f"{TRAIN}/..", TRAIN, f"{TRAIN}/snapshot-100.pt"]
)
def test_a_project_and_everything_in_it(named, tmp_path):
    folder = write(tmp_path / "project", deeplabcut("snapshot-100.pt"))
    source = find_model((folder / named).resolve())
    assert source.kind == "deeplabcut"
    assert source.weights == folder / TRAIN / "snapshot-100.pt"
    assert source.config == folder / TRAIN / "pytorch_config.yaml"
    assert source.files == (source.weights, source.config)
    assert source.name == f"{SHUFFLE} snapshot-100"
    assert source.notes == () and source.member is None
    assert known_joints(source) == ("nose", "tail")


@pytest.mark.parametrize("around", ["", "project/", "a/b/project/"])
@pytest.mark.parametrize("config", [True, False])
def test_a_zip_of_a_project(around, config, tmp_path):
    files = {f"{around}{name}": content for name, content in deeplabcut("snapshot-100.pt").items()}
    if not config:
        del files[f"{around}config.yaml"]
    source = find_model(zipped(tmp_path / "m.zip", files))
    assert source.weights == tmp_path / "m.zip" and source.files == (source.weights,)
    assert source.member == f"{around}{TRAIN}/snapshot-100.pt"
    assert source.config is None and source.name == f"{SHUFFLE} snapshot-100"
    assert known_joints(source) == ("nose", "tail")


@pytest.mark.parametrize("folder", ["", "train/", "fly/train/", "fly/"])
@pytest.mark.parametrize("pose_cfg", [True, False])
def test_a_zip_of_a_model_folder(folder, pose_cfg, tmp_path):
    """The old ``pose_cfg.yaml`` is neither needed nor in the way, nor is what macOS adds."""
    files = {f"{folder}snapshot-best-090.pt": b"", f"{folder}pytorch_config.yaml": CONFIG}
    files |= {f"__MACOSX/{folder}._snapshot-best-090.pt": b"", f"{folder}._snapshot-050.pt": b""}
    if pose_cfg:
        files[f"{folder}pose_cfg.yaml"] = "net_type: resnet_50"
    source = find_model(zipped(tmp_path / "fly.zip", files))
    assert source.member == f"{folder}snapshot-best-090.pt"
    assert source.name == "fly snapshot-best-090" and source.notes == ()


def test_the_suffix_of_a_zip_may_be_in_capitals(tmp_path):
    path = zipped(tmp_path / "M.ZIP", {"snapshot-1.pt": b"", "pytorch_config.yaml": CONFIG})
    assert find_model(path).member == "snapshot-1.pt"


def test_an_exported_file(tmp_path):
    name = "DLC_mouse_resnet_50_iteration-0_shuffle-1_snapshot-best-90"
    source = find_model(write(tmp_path, {f"{name}.pt": b""}) / f"{name}.pt")
    assert source.weights.name == f"{name}.pt" and source.config is None and source.name == name
    assert source.files == (source.weights,) and known_joints(source) is None


def test_many_videos_and_pictures_are_not_looked_through(tmp_path, monkeypatch):
    monkeypatch.setattr(listings, "MOST", 20)
    files = deeplabcut("snapshot-100.pt") | {f"labeled-data/a/img{i}.png": b"" for i in range(50)}
    folder = write(tmp_path, files)
    assert taken(find_model(folder)) == "snapshot-100.pt"
    write(folder, {f"other/{i}.txt": b"" for i in range(30)})
    with pytest.raises(DataError, match=r"holds more than 20 files: name the model's own folder"):
        find_model(folder)


# DeepLabCut: which snapshot


SNAPSHOTS = ["snapshot-050.pt", "snapshot-100.pt", "snapshot-1000.pt", "snapshot-best-090.pt"]


@BOTH
@pytest.mark.parametrize(
    ("index", "chosen"),
    [
        ({}, "snapshot-best-090.pt"),
        ({"snapshotindex": None}, "snapshot-best-090.pt"),
        ({"snapshotindex": -1}, "snapshot-best-090.pt"),
        ({"snapshotindex": "all"}, "snapshot-best-090.pt"),
        ({"snapshotindex": "best"}, "snapshot-best-090.pt"),
        ({"snapshotindex": 0}, "snapshot-050.pt"),
        ({"snapshotindex": -2}, "snapshot-1000.pt"),
        ({"snapshotindex": "2"}, "snapshot-1000.pt"),
    ],
)
def test_snapshotindex_decides(packed, index, chosen, tmp_path):
    files = deeplabcut(*SNAPSHOTS, **index) | {
        f"{TRAIN}/learning_stats.csv": b"",
        f"{TRAIN}/snapshot.txt": b"",
    }
    source = find_model(given_as(packed, tmp_path, files))
    assert taken(source) == chosen
    [note] = source.notes
    assert "4 snapshots" in note and f"{chosen} is used" in note and ", ".join(SNAPSHOTS) in note


def test_snapshotindex_counts_whatever_is_named(tmp_path):
    folder = write(tmp_path / "around" / "project", deeplabcut(*SNAPSHOTS, snapshotindex=1))
    write(tmp_path / "around", {"notes.txt": b""})
    for path in (folder, folder / TRAIN, (folder / TRAIN).parent, folder.parent):
        assert taken(find_model(path)) == "snapshot-100.pt"
    assert find_model(folder / TRAIN / SNAPSHOTS[0]).weights.name == SNAPSHOTS[0]


@pytest.mark.parametrize(
    ("index", "said"),
    [
        (4, r"snapshotindex 4 is out of range, there are 4 snapshots: " + ", ".join(SNAPSHOTS)),
        (-5, r"snapshotindex -5 is out of range"),
        ("last", r"snapshotindex in config.yaml is 'last'; it may be an integer, best or all"),
        (True, "snapshotindex in config.yaml is True"),
        ([1], "snapshotindex in config.yaml is"),
    ],
)
def test_a_snapshotindex_that_does_not_fit(index, said, tmp_path):
    with pytest.raises(DataError, match=said):
        find_model(write(tmp_path, deeplabcut(*SNAPSHOTS, snapshotindex=index)))


def test_best_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"best, but no snapshot is called so: snapshot-050.pt, snapshot-100"):
        find_model(write(tmp_path, deeplabcut(*SNAPSHOTS[:2], snapshotindex="best")))


@given(
    st.dictionaries(st.integers(0, 2000), st.sampled_from(["plain", "best", "both"]), min_size=1),
    st.integers(-30, 30),
    st.randoms(),
)
def test_snapshots_are_counted_by_epoch_and_then_the_best(epochs, index, random):
    plain = [f"snapshot-{epoch:03d}.pt" for epoch in sorted(epochs) if epochs[epoch] != "best"]
    best = [f"snapshot-best-{epoch:03d}.pt" for epoch in sorted(epochs) if epochs[epoch] != "plain"]
    ordered = plain + best
    names = [*ordered, "snapshot-detector.txt", "learning_stats.csv", "snapshot-5.index"]
    random.shuffle(names)
    try:
        expected = ordered[index]
    except IndexError:
        with pytest.raises(DataError, match="out of range"):
            deeplabcut_sources.choose(names, index, "train")
    else:
        assert deeplabcut_sources.choose(names, index, "train")[0] == expected


# DeepLabCut: which model


def test_the_iteration_of_the_project_counts(tmp_path):
    files = deeplabcut("snapshot-100.pt", iteration=1)
    files |= deeplabcut("snapshot-200.pt", folder=TRAIN.replace("iteration-0", "iteration-1"), iteration=1)
    for path in (write(tmp_path / "p", files), zipped(tmp_path / "p.zip", files)):
        assert taken(find_model(path)) == "snapshot-200.pt"


@BOTH
def test_an_iteration_that_is_not_there(packed, tmp_path):
    files = deeplabcut("snapshot-100.pt", iteration=3)
    files |= deeplabcut("snapshot-9.pt", folder=TRAIN.replace("iteration-0", "iteration-2"), iteration=3)
    with pytest.raises(DataError, match=r"says iteration: 3; there are iteration-0, iteration-2"):
        find_model(given_as(packed, tmp_path, files))


@BOTH
def test_two_models(packed, tmp_path):
    other = TRAIN.replace("shuffle1", "shuffle2")
    files = deeplabcut("snapshot-100.pt") | {f"{other}/pytorch_config.yaml": CONFIG}
    assert (
        taken(find_model(given_as(packed, tmp_path / "a", files))) == "snapshot-100.pt"
    )  # one is not trained
    files[f"{other}/snapshot-050.pt"] = b""
    path = given_as(packed, tmp_path, files)
    with pytest.raises(DataError) as caught:
        find_model(path)
    message = str(caught.value)
    assert message.startswith(f"{path} holds 2 trained models; ")
    assert f"{TRAIN}/" in message and f"{other}/" in message
    if not packed:
        assert find_model(path / other).weights == path / other / "snapshot-050.pt"


@BOTH
def test_no_snapshot(packed, tmp_path):
    with pytest.raises(DataError, match="holds no snapshot of a trained network"):
        find_model(given_as(packed, tmp_path, deeplabcut()))


def test_files_of_other_names_are_told(tmp_path):
    folder = write(tmp_path, {"pytorch_config.yaml": CONFIG, "mine.pt": b""})
    with pytest.raises(DataError, match=r"name the file that is meant: mine.pt"):
        find_model(folder)
    assert find_model(folder / "mine.pt").config == folder / "pytorch_config.yaml"


@BOTH
def test_no_settings(packed, tmp_path):
    files = deeplabcut("snapshot-100.pt")
    del files[f"{TRAIN}/pytorch_config.yaml"]
    with pytest.raises(DataError, match=r"holds snapshots, but no pytorch_config.yaml"):
        find_model(given_as(packed, tmp_path, files))


@BOTH
@pytest.mark.parametrize(
    "snapshots", [["snapshot-100.pt", "snapshot-detector-050.pt"], ["snapshot-detector-best-050.pt"]]
)
def test_top_down_models_are_refused(packed, snapshots, tmp_path):
    with pytest.raises(DataError, match=r"a top-down network.* model_type = \"import\""):
        find_model(given_as(packed, tmp_path, deeplabcut(*snapshots)))


OLD = "dlc-models/iteration-0/mouse/train"
TENSORFLOW = {
    f"{OLD}/{name}": b""
    for name in ("pose_cfg.yaml", "snapshot-5.index", "snapshot-5.meta", "snapshot-5.data-00000-of-00001")
}


@BOTH
@pytest.mark.parametrize(
    "files",
    [TENSORFLOW, {"config.yaml": project()} | TENSORFLOW, {"config.yaml": project(engine="tensorflow")}],
)
def test_tensorflow_models_are_refused(packed, files, tmp_path):
    with pytest.raises(
        DataError, match=r"TensorFlow model.*retrained by DeepLabCut 3.* model_type = \"import\""
    ):
        find_model(given_as(packed, tmp_path, files))


def test_tensorflow_files_are_refused(tmp_path):
    write(tmp_path, TENSORFLOW)
    with pytest.raises(DataError, match="TensorFlow model"):
        find_model(tmp_path / OLD / "snapshot-5.index")


def test_an_old_model_beside_a_new_one_does_not_matter(tmp_path):
    assert taken(find_model(write(tmp_path, TENSORFLOW | deeplabcut("snapshot-1.pt")))) == "snapshot-1.pt"


# Lightning Pose


BEST = "epoch=59-step=540-best.ckpt"


@BOTH
def test_a_model_of_lightning_pose(packed, tmp_path):
    path = given_as(packed, tmp_path, lightning(BEST, "epoch=79-step=720.ckpt") | {"video_preds/a.csv": b""})
    source = find_model(path)
    assert source.kind == "lightning-pose" and taken(source) == BEST
    assert source.name == "toy epoch=59-step=540-best" and source.notes == ()
    assert known_joints(source) == ("nose", "tail")
    if not packed:
        assert source.config == path / "config.yaml"
        assert find_model(source.weights).files == source.files


@pytest.mark.parametrize(
    ("names", "chosen", "note"),
    [
        (["a-step=99.ckpt", "b-step=100.ckpt"], "b-step=100.ckpt", "no checkpoint that is called best"),
        (["a-step=9-best.ckpt", "b-step=10-best.ckpt", "c-step=11.ckpt"], "b-step=10-best.ckpt", "2 best"),
        (["last.ckpt", "b-step=10.ckpt"], "b-step=10.ckpt", "no checkpoint that is called best"),
        (["weights-best.ckpt"], "weights-best.ckpt", None),
    ],
)
def test_which_checkpoint(names, chosen, note, tmp_path):
    source = find_model(write(tmp_path, lightning(*names)))
    assert taken(source) == chosen
    assert [note in told for told in source.notes] == ([True] if note else [])


def test_the_newest_version_counts(tmp_path):
    """By number (10 after 9); one without checkpoints, as of a training that was stopped, does not."""
    files = lightning(BEST, version=9) | lightning("epoch=1-step=2-best.ckpt", version=10)
    source = find_model(write(tmp_path, files | {"tb_logs/toy/version_11/events": b""}))
    assert taken(source) == "epoch=1-step=2-best.ckpt"
    assert re.search(r"trained 2 times: the newest, tb_logs/toy/version_10", source.notes[0])


def test_no_checkpoint_and_none_of_a_known_step(tmp_path):
    with pytest.raises(DataError, match="holds no checkpoint"):
        find_model(write(tmp_path / "a", lightning()))
    with pytest.raises(DataError, match=r"no file's name tells its step.*a.ckpt, b.ckpt"):
        find_model(write(tmp_path / "b", lightning("a.ckpt", "b.ckpt")))


@pytest.mark.parametrize("kind", ["regression", "heatmap_mhcrnn", "heatmap_multiview_transformer", None])
def test_other_models_of_lightning_pose_are_refused_by_name(kind, tmp_path):
    folder = write(tmp_path, lightning(BEST, model_type=kind))
    for path in (folder, folder / f"tb_logs/toy/version_0/checkpoints/{BEST}"):
        with pytest.raises(DataError, match=re.escape(f"model.model_type = {kind!r}")):
            find_model(path)


def test_a_checkpoint_on_its_own(tmp_path):
    with pytest.raises(DataError, match=r"no folder above it holds the config.yaml"):
        find_model(write(tmp_path, {BEST: b""}) / BEST)


def test_steps_are_compared_as_numbers():
    names = [f"epoch={step}-step={step}.ckpt" for step in (9, 10, 100, 99)]
    assert lightning_sources.choose(names, "x")[0] == "epoch=100-step=100.ckpt"


# either


def test_the_kind_has_to_be_right(tmp_path):
    ours, theirs = write(tmp_path / "a", deeplabcut("snapshot-1.pt")), write(tmp_path / "b", lightning(BEST))
    assert find_model(ours, kind="deeplabcut") == find_model(ours)
    assert find_model(theirs, kind="lightning-pose") == find_model(theirs)
    for path, kind, other in (
        (ours, "lightning-pose", "deeplabcut"),
        (theirs, "deeplabcut", "lightning-pose"),
    ):
        with pytest.raises(DataError, match=f'"{kind}", but .*set model_type = "{other}"'):
            find_model(path, kind=kind)


@pytest.mark.parametrize("name", ["absent", "absent/deep/model.zip", "file.txt/model"])
def test_a_model_that_is_not_there(name, tmp_path):
    (tmp_path / "file.txt").touch()
    with pytest.raises(DataError, match=r"is not there; if it lies on .*a share, is that mounted\?"):
        find_model(tmp_path / name)


@pytest.mark.parametrize("name", ["notes.txt", "config.yaml", "video.mp4"])
def test_a_file_that_is_no_model(name, tmp_path):
    (tmp_path / name).touch()
    with pytest.raises(DataError, match=rf"{name} is no trained network: name its folder"):
        find_model(tmp_path / name)


@BOTH
@pytest.mark.parametrize("files", [{"a.txt": b""}, {}, {"config.yaml": {"model": {"x": 1}}}])
def test_a_folder_that_is_no_model(packed, files, tmp_path):
    (tmp_path / "model").mkdir()
    with pytest.raises(DataError, match="holds neither a model of DeepLabCut 3"):
        find_model(given_as(packed, tmp_path, files))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: [1", "is no YAML"),
        (b"a: \xff\xfe", "is no YAML"),
        (b"- a\n- b", "holds no keys and values, but a list"),
        (b"a: 2026-99-99", "is no YAML"),
        (b"[" * 100_000, "is no YAML"),
        (b"a: !!python/object/apply:os.system [ls]", "is no YAML"),
        (b"a: &a {x: 1}\nb: {<<: *a}", "is no YAML"),
        (b"a: " + b"x" * (8 * 2**20), r"8 MiB|at most 8.0 MiB"),
    ],
)
@BOTH
def test_settings_that_are_none(packed, content, said, tmp_path):
    files = deeplabcut("snapshot-1.pt") | {"config.yaml": content}
    with pytest.raises(DataError, match=said):
        find_model(given_as(packed, tmp_path, files))


def test_a_zip_that_is_none_or_leads_elsewhere(tmp_path):
    (tmp_path / "m.zip").write_bytes(b"no zip")
    with pytest.raises(DataError, match=r"m.zip is damaged, cut off"):
        find_model(tmp_path / "m.zip")
    path = zipped(tmp_path / "n.zip", {"../snapshot-1.pt": b"", "pytorch_config.yaml": CONFIG})
    with pytest.raises(DataError, match=r"'../snapshot-1.pt' points out of"):
        find_model(path)


def test_weights_are_not_read(tmp_path):
    """A snapshot in a zip may be damaged; that is seen when it is loaded."""
    path = zipped(tmp_path / "m.zip", {"snapshot-1.pt": b"w" * 5000, "pytorch_config.yaml": CONFIG})
    raw = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        place = archive.getinfo("snapshot-1.pt").header_offset + 30 + len("snapshot-1.pt") + 2
    raw[place] ^= 0xFF
    path.write_bytes(raw)
    assert find_model(path).member == "snapshot-1.pt"


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["nose", "nose"], "lists the joint 'nose' twice"),
        ([], "lists no joints"),
        ("nose", "lists no joints"),
        (["nose", None], "joint 2 is None"),
        (["nose", True], "joint 2 is True.*quotes"),
        (["nose", " "], "joint 2 is ' '"),
    ],
)
def test_joints_that_are_no_names(names, said, tmp_path):
    files = {"snapshot-1.pt": b"", "pytorch_config.yaml": {"metadata": {"bodyparts": names}}}
    with pytest.raises(DataError, match=said):
        known_joints(find_model(write(tmp_path, files)))


def test_torch_is_not_needed(tmp_path):
    folder = write(tmp_path, deeplabcut("snapshot-1.pt"))
    code = (
        "import sys; from pathlib import Path\n"
        "from anipipe.networks.sources import find_model, known_joints\n"
        "print('yaml' in sys.modules, known_joints(find_model(Path(sys.argv[1]))), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False ('nose', 'tail') False"

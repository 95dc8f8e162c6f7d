from __future__ import annotations

import copy
import io
import re

import numpy as np
import pytest
import torch

from anipipe.errors import DataError
from anipipe.networks.architectures.build import build_deeplabcut, build_lightning
from anipipe.networks.loading import load_model
from anipipe.networks.models import PeakDecoding, Preparation, SoftArgmaxDecoding
from anipipe.networks.sources import find_model

from .model_folders import SHUFFLE, TRAIN, deeplabcut, lightning, write, zipped

BEST = "epoch=1-step=2-best.ckpt"


def small_config():
    """What DeepLabCut writes, for a network of a few kB."""
    deconv = {"kernel_size": [3], "strides": [2]}
    head = {
        "type": "HeatmapHead",
        "predictor": {
            "type": "HeatmapPredictor",
            "apply_sigmoid": False,
            "clip_scores": True,
            "location_refinement": True,
            "locref_std": 7.2801,
        },
        "heatmap_config": {"channels": [64, 2], **deconv},
        "locref_config": {"channels": [64, 4], **deconv},
    }
    backbone = {"type": "CSPNeXt", "model_name": "cspnext_s", "deepen_factor": 0.1, "widen_factor": 0.0625}
    return {
        "method": "bu",
        "metadata": {"bodyparts": ["tail", "nose"], "individuals": ["one"], "unique_bodyparts": []},
        "model": {"backbone": backbone, "heads": {"bodypart": head}},
        "data": {
            "colormode": "RGB",
            "inference": {"normalize_images": True, "hist_eq": False, "affine": None},
        },
        "detector": None,
    }


def torch_file(content):
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


@pytest.fixture(scope="module")
def state():
    torch.manual_seed(0)
    return build_deeplabcut(small_config()).state_dict()


def project_files(state, config=None, **keys):
    snapshot = {"metadata": {"epoch": 3, "metrics": {"rmse": np.float64(2.5)}}, "model": state}
    files = deeplabcut(**keys)
    files[f"{TRAIN}/pytorch_config.yaml"] = config or small_config()
    return files | {f"{TRAIN}/snapshot-best-003.pt": torch_file(snapshot)}


def with_config(tmp_path, state, path, value):
    """Load a project whose settings differ in one place."""
    config = small_config()
    *folders, last = path.split(".")
    section = config
    for name in folders:
        section = section.setdefault(name, {})
    section[last] = value
    return load_model(find_model(write(tmp_path, project_files(state, config))))


def same(model, state):
    found = model.network.state_dict()
    return all(torch.equal(found[name], tensor) for name, tensor in state.items())


# what comes out


@pytest.mark.parametrize("form", ["project", "model folder", "zip", "exported", "exported in a zip's place"])
def test_every_form_of_one_model(form, state, tmp_path):
    files = project_files(state)
    exported = torch_file({"config": small_config(), "pose": state})
    paths = {
        "project": lambda: write(tmp_path, files),
        "model folder": lambda: write(tmp_path, files) / TRAIN,
        "zip": lambda: zipped(tmp_path / "m.zip", files),
        "exported": lambda: write(tmp_path, {"m.pt": exported}) / "m.pt",
        "exported in a zip's place": lambda: (
            write(tmp_path, files | {f"{TRAIN}/m.pt": exported}) / TRAIN / "m.pt"
        ),
    }
    model = load_model(find_model(paths[form]()))
    assert model.joints == ("tail", "nose")
    assert model.preparation == Preparation(size=None, keep_ratio=False, divisor=1, normalise=True, rgb=True)
    assert model.decoding == PeakDecoding(stride=16.0, offset_scale=7.2801, sigmoid=False, clip=True)
    assert model.name == (f"{SHUFFLE} snapshot-best-003" if "exported" not in form else "m")
    assert same(model, state)
    assert not model.network.training
    assert not any(parameter.requires_grad for parameter in model.network.parameters())
    heat, offsets = model.network(torch.zeros(1, 3, 64, 96))
    assert heat.shape[:2] == (1, 2) and offsets.shape[:2] == (1, 4)


@pytest.mark.parametrize("head", ["head.", ""], ids=["", "early"])
def test_a_model_of_lightning_pose(head, tmp_path):
    """Losses lie beside the weights; early checkpoints call the head's layers otherwise."""
    torch.manual_seed(0)
    state = build_lightning("resnet18", 2, 3).state_dict()
    stored = {name.replace("head.", head): tensor for name, tensor in state.items()}
    files = lightning()
    files["config.yaml"]["data"] |= {
        "image_resize_dims": {"width": 384, "height": 256},
        "downsample_factor": 3,
    }
    content = {"state_dict": stored | {"loss.weight": torch.ones(1)}, "hyper_parameters": {"a": 1}}
    files[f"tb_logs/toy/version_0/checkpoints/{BEST}"] = torch_file(content)
    model = load_model(find_model(write(tmp_path, files)))
    assert model.joints == ("nose", "tail") and model.name == "toy epoch=1-step=2-best"
    assert model.preparation == Preparation(size=(384, 256), keep_ratio=False, normalise=True, rgb=True)
    assert model.decoding == SoftArgmaxDecoding(doublings=3)
    assert same(model, state) and not model.network.training


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("resize", {"width": 320, "height": 240}, {"size": (320, 240), "keep_ratio": True}),
        (
            "resize",
            {"width": 320, "height": 240, "keep_ratio": False},
            {"size": (320, 240), "keep_ratio": False},
        ),
        (
            "auto_padding",
            {"pad_width_divisor": 32, "pad_height_divisor": 32, "position": "random"},
            {"divisor": 32},
        ),
        (
            "auto_padding",
            {"pad_width_divisor": 8, "pad_height_divisor": 8, "min_width": None},
            {"divisor": 8},
        ),
        ("normalize_images", False, {"normalise": False}),
        ("normalize_images", None, {"normalise": True}),
        ("top_down_crop", {"width": 256, "height": 256}, {}),
        ("collate", {"type": "ResizeFromDataSizeCollate"}, {}),
    ],
)
def test_preparations(key, value, expected, state, tmp_path):
    model = with_config(tmp_path, state, f"data.inference.{key}", value)
    assert model.preparation == Preparation(**expected)


def test_the_order_of_colours(state, tmp_path):
    assert not with_config(tmp_path, state, "data.colormode", "BGR").preparation.rgb


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("location_refinement", False, {"offset_scale": None}),
        ("locref_std", 5, {"offset_scale": 5.0}),
        ("apply_sigmoid", True, {"sigmoid": True}),
        ("clip_scores", False, {"clip": False}),
    ],
)
def test_decodings(key, value, expected, state, tmp_path):
    decoding = with_config(tmp_path, state, f"model.heads.bodypart.predictor.{key}", value).decoding
    usual = {"stride": 16.0, "offset_scale": 7.2801, "sigmoid": False, "clip": True}
    assert decoding == PeakDecoding(**(usual | expected))


# what is refused


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("data.inference.hist_eq", True, "data.inference.hist_eq = True is not supported"),
        ("data.inference.longest_max_size", 512, "data.inference.longest_max_size = 512"),
        ("data.inference.affine", {"p": 0.5}, "data.inference.affine = "),
        ("data.inference.scale_to_unit_range", True, "data.inference.scale_to_unit_range"),
        ("data.inference.resize", {"width": 320}, "resize needs width and height"),
        ("data.inference.auto_padding", {"min_width": 512}, "auto_padding = "),
        ("data.inference.auto_padding", {"pad_width_divisor": 32}, "auto_padding = "),
        ("data.colormode", "GRAY", "data.colormode = 'GRAY'"),
        ("metadata.bodyparts", ["nose"], "gives 2 channels, but metadata.bodyparts names 1 joints"),
        ("metadata.bodyparts", ["nose", "nose"], "lists the joint 'nose' twice"),
        ("metadata.bodyparts", None, "metadata.bodyparts lists no joints"),
        ("model.heads.bodypart.locref_config.channels", [64, 2], r"locref_config gives 2 channels.*takes 4"),
        ("model.heads.bodypart.predictor.type", "PartAffinityFieldPredictor", "'PartAffinityFieldPredictor'"),
        ("model.heads.bodypart.predictor.locref_std", "x", "locref_std = 'x' is no number"),
        ("model.heads.bodypart.locref_config", None, "needs a locref_config"),
        ("model.backbone.model_name", "vgg16", "vgg16"),
        ("method", "td", "top-down"),
        # of another training than the weights
        ("model.backbone.widen_factor", 0.125, "channels starts with 64, but the backbone gives 128"),
        ("model.backbone.deepen_factor", 0.33, r"first|stage2.*is missing, and \d+ other tensors"),
    ],
)
def test_settings_that_cannot_be_followed(key, value, said, state, tmp_path):
    with pytest.raises(DataError, match=said) as caught:
        with_config(tmp_path, state, key, value)
    assert str(tmp_path) in str(caught.value)


def test_resizing_to_what_would_be_padded(state, tmp_path):
    config = small_config()
    config["data"]["inference"] |= {
        "resize": {"width": 320, "height": 250},
        "auto_padding": {"pad_width_divisor": 32, "pad_height_divisor": 32},
    }
    with pytest.raises(DataError, match=r"320 x 250 pixels, which auto_padding would pad to multiples of 32"):
        load_model(find_model(write(tmp_path, project_files(state, config))))


@pytest.mark.parametrize("form", ["folder", "zip", "exported"])
def test_weights_of_another_network_name_the_first_tensor(form, state, tmp_path):
    other = copy.copy(state)
    name = "heads.bodypart.heatmap_head.deconv_layers.0.bias"
    other[name] = torch.ones(7)
    files = project_files(other)
    path = {
        "folder": lambda: write(tmp_path, files),
        "zip": lambda: zipped(tmp_path / "m.zip", files),
        "exported": lambda: (
            write(tmp_path, {"m.pt": torch_file({"config": small_config(), "pose": other})}) / "m.pt"
        ),
    }[form]()
    source = find_model(path)
    with pytest.raises(DataError, match=rf"{name} is \(?7,?\)? instead of \(?2") as caught:
        load_model(source)
    assert str(caught.value).startswith(source.weights_name)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"model": {}}, "holds no weights"),
        ({"optimizer": {}}, "holds no weights"),
        ({"model": {"backbone.stem": np.ones(2)}}, "backbone.stem is no tensor"),
        ({"config": [1], "pose": {}}, "holds no settings of a network"),
    ],
)
def test_files_without_weights(content, said, tmp_path):
    files = project_files({}) | {f"{TRAIN}/snapshot-best-003.pt": torch_file(content)}
    with pytest.raises(DataError, match=said):
        load_model(find_model(write(tmp_path, files)))


def test_a_snapshot_without_settings(state, tmp_path):
    path = write(tmp_path, {"snapshot-3.pt": torch_file({"model": state})}) / "snapshot-3.pt"
    with pytest.raises(DataError, match=r"no pytorch_config.yaml lies beside it"):
        load_model(find_model(path))


@pytest.mark.parametrize("packed", [False, True])
def test_damaged_weights(packed, state, tmp_path):
    files = project_files(state)
    name = f"{TRAIN}/snapshot-best-003.pt"
    files[name] = files[name][:-1000]
    path = zipped(tmp_path / "m.zip", files) if packed else write(tmp_path, files)
    with pytest.raises(DataError, match=re.escape(name) + ".*(damaged|cut off)"):
        load_model(find_model(path))


def test_weights_that_are_gone(state, tmp_path):
    source = find_model(write(tmp_path, project_files(state)))
    source.weights.unlink()
    with pytest.raises(DataError, match="cannot be read"):
        load_model(source)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({}, "image_resize_dims needs width and height"),
        ({"image_resize_dims": {"width": 256, "height": "${a.b}"}}, "image_resize_dims needs"),
        ({"num_keypoints": 3}, "num_keypoints is 3, but 2 joints are named"),
        ({"keypoint_names": None}, "lists no joints"),
        ({"image_resize_dims": {"width": 256, "height": 256}, "downsample_factor": 7}, "downsample_factor"),
    ],
)
def test_settings_of_lightning_pose_that_cannot_be_followed(data, said, tmp_path):
    files = lightning()
    files["config.yaml"]["data"] |= data
    files[f"tb_logs/toy/version_0/checkpoints/{BEST}"] = torch_file({"state_dict": {}})
    with pytest.raises(DataError, match=said):
        load_model(find_model(write(tmp_path, files)))


def test_early_names_of_joints(tmp_path):
    files = lightning(BEST)
    files["config.yaml"]["data"] = {"keypoints": ["a", "b", "c"]}
    source = find_model(write(tmp_path, files))
    from anipipe.networks.sources import known_joints

    assert known_joints(source) == ("a", "b", "c")

"""Trained models, read into networks that are ready to run."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Any

from torch import Tensor, nn

from anipipe.errors import DataError
from anipipe.networks import deeplabcut_settings as deeplabcut
from anipipe.networks import lightning_settings as lightning
from anipipe.networks.architectures.build import build_deeplabcut, build_lightning, load_state
from anipipe.networks.archives import Archive
from anipipe.networks.models import TrainedModel
from anipipe.networks.settings_files import Settings, section
from anipipe.networks.sources import ModelSource
from anipipe.networks.unpickling import load_tensors, plain
from anipipe.pickles import check_parts


def load_model(source: ModelSource) -> TrainedModel:
    """Read a trained model, its weights without executing anything that is in the file.

    Parameters
    ----------
    source
        From :func:`~anipipe.networks.sources.find_model`.

    Returns
    -------
    TrainedModel

    Raises
    ------
    DataError
        A file cannot be read or is damaged; the network, or how frames are prepared for it, is not supported;
        weights and settings are not those of one network, naming the first tensor that does not fit; or
        joints are not named, or not as many as the network has.
    """
    settings = source.settings()
    where = source.weights_name
    content = _content(source, where)
    if source.kind == "lightning-pose":
        return _lightning(source, settings or {}, content, where)
    if "config" in content and "pose" in content:  # as it is exported
        try:
            settings = plain(content["config"])
            check_parts(settings)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: its settings are nested too deeply for a network's") from error
        return _deeplabcut(source, settings, content["pose"], where, where)
    if settings is None:
        raise DataError(
            f"{where} holds no settings, as a file that DeepLabCut exports does, and no pytorch_config.yaml "
            "lies beside it; put it there, from the folder in which the model was trained"
        )
    return _deeplabcut(source, settings, content.get("model"), where, source.config_name)


def _content(source: ModelSource, where: str) -> dict[Any, Any]:
    if source.member is None:
        return load_tensors(source.weights, where=where)
    with Archive(source.weights, where=str(source.weights)) as archive:
        return load_tensors(BytesIO(archive.read(source.member)), where=where)


def _deeplabcut(
    source: ModelSource, settings: object, state: object, where: str, config: str
) -> TrainedModel:
    if not isinstance(settings, dict):
        raise DataError(f"{config} holds no settings of a network")
    network = build_deeplabcut(settings, where=config)
    joints = deeplabcut.joints(settings, config)
    head = network.heads["bodypart"]
    _check_channels(head.heatmap_head, joints, 1, f"{config}: model.heads.bodypart.heatmap_config")
    if head.locref_head is not None:
        _check_channels(head.locref_head, joints, 2, f"{config}: model.heads.bodypart.locref_config")
    preparation = deeplabcut.preparation(settings, config)
    decoding = deeplabcut.decoding(settings, network.stride, config)
    load_state(network, _tensors(state, where), where=where)
    return TrainedModel(source.name, joints, _ready(network), preparation, decoding)


def _lightning(source: ModelSource, settings: Settings, content: Settings, where: str) -> TrainedModel:
    config = source.config_name
    joints = lightning.joints(settings, config)
    preparation = lightning.preparation(settings, config)
    decoding = lightning.decoding(settings)
    backbone = str(section(settings, "model").get("backbone"))
    network = build_lightning(backbone, len(joints), decoding.doublings, where=config)
    load_state(network, _of_network(_tensors(content.get("state_dict"), where)), where=where)
    return TrainedModel(source.name, joints, _ready(network), preparation, decoding)


def _of_network(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Leave out what is not the network's (losses), and call the head of early checkpoints as it is today."""
    renamed = {
        f"head.{name}" if name.startswith("upsampling_layers.") else name: tensor
        for name, tensor in state.items()
    }
    return {name: tensor for name, tensor in renamed.items() if name.startswith(("backbone.", "head."))}


def _tensors(state: object, where: str) -> dict[str, Tensor]:
    if not isinstance(state, dict) or not state:
        raise DataError(f"{where} holds no weights of a trained network")
    for name, tensor in state.items():
        if not isinstance(tensor, Tensor):
            raise DataError(f"{where}: {name} is no tensor, or one stored in an unusual way")
    return state


def _check_channels(head: Any, joints: tuple[str, ...], each: int, where: str) -> None:
    last = [layer for layer in head.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)][-1]
    if last.out_channels != each * len(joints):
        raise DataError(
            f"{where} gives {last.out_channels} channels, but metadata.bodyparts names {len(joints)} joints, "
            f"which takes {each * len(joints)}"
        )


def _ready(network: nn.Module) -> nn.Module:
    return network.requires_grad_(False).eval()

"""Which trained networks cannot be run here, each by its name, with what to do instead. No torch needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from anipipe.errors import DataError


@dataclass(frozen=True)
class _Key:
    """A key of DeepLabCut's ``pytorch_config.yaml`` that says what the network is.

    Attributes
    ----------
    path
        Of the key, with dots.
    runs
        Values with which the network can be run; an absent key is among them.
    known
        Of others: what they mean.
    """

    path: str
    runs: tuple[object, ...]
    known: Mapping[str, str]


UNKNOWN = "a network that anipipe does not know"

# The first key that is refused names the network, so those that tell most come first.
_KEYS = (
    _Key(
        "model.heads.bodypart.type",
        ("HeatmapHead",),
        {
            "DEKRHead": "DEKR, for several animals",
            "DLCRNetHead": "heatmaps with part affinity fields, for several animals",
            "RTMCCHead": "RTMPose",
            "TransformerHead": "TokenPose",
        },
    ),
    _Key(
        "model.backbone.type",
        ("ResNet", "HRNet", "CSPNeXt"),
        {
            "DLCRNet": "DLCRNet, for several animals",
            "HRNetCoAM": "a conditional top-down network",
            "CondPreNet": "a conditional top-down network",
        },
    ),
    _Key(
        "method",
        ("bu", "BU"),
        {
            "td": "a top-down network, which needs a detector of animals",
            "ctd": "a conditional top-down network, which needs poses to start from",
        },
    ),
    _Key("model.neck", (), {}),
    _Key(
        "model.backbone.interpolate_branches",
        (False,),
        {"True": "HRNet with its branches put together"},
    ),
    _Key("model.backbone.increased_channel_count", (False,), {"True": "HRNet with the head of a classifier"}),
    _Key("model.backbone.expand_ratio", (0.5,), {}),
    _Key("model.backbone.channel_attention", (True,), {"False": "CSPNeXt without attention"}),
    _Key("model.backbone.activation_fn", ("SiLU",), {}),
    _Key("model.backbone.norm_layer", ("SyncBN", "BN"), {}),
)


def refuse_deeplabcut(config: Mapping[str, Any], where: str) -> None:
    """Refuse the networks of DeepLabCut 3 that are not heatmaps of one animal.

    Parameters
    ----------
    config
        Of ``pytorch_config.yaml``, without nulls.
    where
        The file, for messages.

    Raises
    ------
    DataError
        Naming the network, the key that says so, and what to do instead.
    """
    for key in _KEYS:
        value = look_up(config, key.path)
        if value is not None and value not in key.runs:
            meaning = key.known.get(str(value), UNKNOWN)
            refuse(f"{where}: {key.path} = {value!r}", meaning, "DeepLabCut")
    several = "a network for several animals"
    for path, most, meaning in (
        ("metadata.individuals", 1, several),
        ("metadata.unique_bodyparts", 0, several + ", with joints of their own"),
    ):
        names = look_up(config, path) or ()
        if len(names) > most:
            refuse(f"{where}: {path} has {len(names)} entries", meaning, "DeepLabCut")
    others = [name for name in look_up(config, "model.heads") or () if name != "bodypart"]
    if others or look_up(config, "metadata.with_identity"):
        refuse(f"{where}: model.heads has {', '.join(others) or 'an identity'}", several, "DeepLabCut")


def refuse(what: str, meaning: str, maker: str) -> NoReturn:
    """Raise the error of a network that cannot be run.

    Parameters
    ----------
    what
        File, key and value.
    meaning
        What that is.
    maker
        The program that can run it.

    Raises
    ------
    DataError
        Always.
    """
    raise DataError(
        f"{what}: this is {meaning}. anipipe cannot run it, but can use its predictions: make them with "
        f'{maker}, put the files into the folder predictions/ of each session, and set model_type = "import"'
    )


def look_up(config: Mapping[str, Any], path: str) -> Any:
    """Return the value of a key of nested tables, None where it or a table above it is absent.

    Examples
    --------
    >>> look_up({"model": {"backbone": {"type": "ResNet"}}}, "model.backbone.type")
    'ResNet'
    >>> look_up({"model": {"backbone": {"type": "ResNet"}}}, "model.neck.type")
    """
    value: Any = config
    for name in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value

"""Finding trained models: which files they are made of, and which of several is meant. No torch here.

What is understood: a DeepLabCut 3 project or a model's folder in it, the same as a zip, or an exported file;
a folder of Lightning Pose. The rules by which a snapshot is chosen are those of the two programs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from anipipe.errors import DataError
from anipipe.networks import deeplabcut_settings, lightning_settings
from anipipe.networks import deeplabcut_sources as deeplabcut
from anipipe.networks import lightning_sources as lightning
from anipipe.networks.architectures.refusals import refuse
from anipipe.networks.listings import DEEPEST, Found, Listing, list_folder, list_zip
from anipipe.networks.settings_files import Settings, read_settings

Kind = Literal["deeplabcut", "lightning-pose"]

_PROGRAMS: dict[Kind, str] = {"deeplabcut": "DeepLabCut", "lightning-pose": "Lightning Pose"}


@dataclass(frozen=True)
class ModelSource:
    """The files of a trained model.

    Attributes
    ----------
    kind : {"deeplabcut", "lightning-pose"}
        The program that trained it.
    path : Path
        What the user named.
    weights : Path
        The file that holds the weights: a snapshot, a checkpoint, an exported file, or the zip.
    config : Path, optional
        The settings beside it; None where they lie within ``weights``.
    member, config_member : str, optional
        Of a zip: the names in it of the snapshot and of the settings.
    name : str
        For messages and for the scorer's row of tables.
    notes : tuple of str
        What a user should be told: which of several snapshots was taken, and why.
    """

    kind: Kind
    path: Path
    weights: Path
    config: Path | None
    member: str | None
    config_member: str | None
    name: str
    notes: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """All files whose content decides the results."""
        return (self.weights,) if self.config is None else (self.weights, self.config)

    @property
    def weights_name(self) -> str:
        """Where the weights lie, for messages."""
        return str(self.weights) if self.member is None else f"{self.weights}: {self.member}"

    @property
    def config_name(self) -> str:
        """Where the settings lie, for messages."""
        if self.config is not None:
            return str(self.config)
        return str(self.weights) if self.config_member is None else f"{self.weights}: {self.config_member}"

    def settings(self) -> Settings | None:
        """Read the model's settings; None where they lie within the file of the weights.

        Raises
        ------
        DataError
            They cannot be read.
        """
        if self.config is not None:
            return read_settings(self.config)
        if self.config_member is not None:
            return Listing(self.weights, (self.config_member,), packed=True).settings(self.config_member)
        return None


def find_model(path: Path, *, kind: str | None = None) -> ModelSource:
    """Find the files of a trained model. Only names and small settings files are looked at.

    Parameters
    ----------
    path
        A DeepLabCut project, the folder of one of its models or ``train`` in it, a zip of any of these, a
        snapshot, an exported file; a folder of Lightning Pose or one of its checkpoints.
    kind
        What it must be: ``"deeplabcut"`` or ``"lightning-pose"``; None: whatever it is.

    Returns
    -------
    ModelSource

    Raises
    ------
    DataError
        There is no such file or folder; it is no model, or one that cannot be run here; several are meant; or
        it is of another kind.
    """
    try:
        source = _find(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(
            f"the model {path} is not there; if it lies on another disk or on a share, is that mounted?"
        ) from error
    except OSError as error:
        raise DataError(f"the model {path} cannot be read: {error}") from error
    if kind is not None and kind != source.kind:
        raise DataError(
            f'model_type = "{kind}", but {path} is a model of {_PROGRAMS[source.kind]}; set model_type = '
            f'"{source.kind}", or leave it out'
        )
    return source


def known_joints(source: ModelSource) -> tuple[str, ...] | None:
    """Return the joints of a model; None where only reading its weights would tell.

    Raises
    ------
    DataError
        Its settings cannot be read, or name no joints.
    """
    settings = source.settings()
    if settings is None:
        return None
    joints = deeplabcut_settings.joints if source.kind == "deeplabcut" else lightning_settings.joints
    return joints(settings, source.config_name)


def _find(path: Path) -> ModelSource:
    path.stat()  # says why, where ``is_dir`` would only say no
    if path.is_dir():
        listing = list_folder(path)
        return _source(listing, _found(listing))
    if path.suffix.lower() == ".zip":
        listing = list_zip(path)
        return _source(listing, _found(listing))
    if path.suffix.lower() in (".pt", ".pth"):
        return _snapshot(path)
    if path.suffix.lower() == ".ckpt":
        return _checkpoint(path)
    if deeplabcut.is_tensorflow(path.name) or path.suffix == ".pb":
        refuse(str(path), deeplabcut.TENSORFLOW, "DeepLabCut")
    raise DataError(
        f"{path} is no trained network: name its folder, a .zip of it, or its file of weights (.pt, .ckpt)"
    )


def _found(listing: Listing) -> tuple[Kind, Found]:
    settings = listing.settings(listing.top + "config.yaml")
    if lightning.is_model(settings):
        return "lightning-pose", lightning.find(listing, settings)
    found = deeplabcut.find(listing, settings)
    if found is None:
        raise DataError(
            f"{listing.path} holds neither a model of DeepLabCut 3 (dlc-models-pytorch, or a folder with "
            f"{deeplabcut.CONFIG} and snapshots) nor one of Lightning Pose (config.yaml and tb_logs)"
        )
    return "deeplabcut", found


def _source(listing: Listing, found: tuple[Kind, Found]) -> ModelSource:
    kind, model = found
    inside = listing.packed
    return ModelSource(
        kind=kind,
        path=listing.path,
        weights=listing.path if inside else listing.path / model.weights,
        config=None if inside else listing.path / model.config,
        member=model.weights if inside else None,
        config_member=model.config if inside else None,
        name=model.title,
        notes=model.notes,
    )


def _snapshot(path: Path) -> ModelSource:
    """Take a file of weights as it is named; without settings beside it, it has to hold them."""
    if deeplabcut.is_detector(path.name):
        refuse(str(path), deeplabcut.TOP_DOWN, "DeepLabCut")
    beside = path.with_name(deeplabcut.CONFIG)
    config = beside if beside.is_file() else None
    folder = path.absolute().parent
    folder = folder.parent if folder.name == "train" else folder
    name = f"{folder.name} {path.stem}" if deeplabcut.SNAPSHOT.fullmatch(path.name) else path.stem
    return ModelSource("deeplabcut", path, path, config, None, None, name)


def _checkpoint(path: Path) -> ModelSource:
    for folder in path.absolute().parents[:DEEPEST]:
        config = folder / lightning.CONFIG
        settings = read_settings(config) if config.is_file() else {}
        if lightning.is_model(settings):
            lightning.check_type(settings, str(config))
            name = f"{lightning.title(settings, folder.name)} {path.stem}"
            return ModelSource("lightning-pose", path, path, config, None, None, name)
    raise DataError(f"{path}: no folder above it holds the config.yaml of a Lightning Pose model")

"""Inputs that only some units have by their nature: where there is none, there is nothing to do."""

from __future__ import annotations

import dataclasses

import pytest

from anipipe.engine.declare import Artifact, Stage, Unit, each, first_enabled, found
from anipipe.engine.freshness import State

from .textline import (
    JOIN_STAGE,
    SHOUT_STAGE,
    SHOUTED,
    UPPER,
    UPPER_STAGE,
    Lab,
    made,
    read_plain,
)

PICTURE = Artifact("picture", "item", read=read_plain)
FRAMED = made("framed", "item", "{folder}framed/{item}.txt")
ALBUM = made("album", "group", "{folder}album.txt")


def run_frame(text: str, picture: str, options: object) -> str:
    return f"[{text.strip()} {picture.strip()}]\n"


def run_album(pictures: list[str], options: object) -> str:
    return "".join(pictures)


FRAME_STAGE = Stage("frame", "item", run_frame, FRAMED, {"text": UPPER, "picture": found(PICTURE)})
ALBUM_STAGE = Stage("album", "group", run_album, ALBUM, {"pictures": found(each(PICTURE))})


class PictureLab(Lab):
    """Some items have a picture besides their text: ``GROUP/pictures/ITEM.txt``."""

    def units(self) -> list[Unit]:
        units = super().units()
        for unit in units:
            if unit.kind == "item":
                path = f"{unit.names['folder']}pictures/{unit.names['item']}.txt"
                if self.path(path).exists():
                    unit.files = {**unit.files, "picture": (path,)}
        return units


@pytest.fixture
def pictures(lab: Lab) -> PictureLab:
    """``a/one`` has a picture; ``a/two`` and group b have none."""
    made_of = PictureLab(lab.root, [UPPER_STAGE, FRAME_STAGE, ALBUM_STAGE])
    made_of.put("a/pictures/one.txt", "cat\n")
    return made_of


def jobs(lab: Lab) -> set[str]:
    return {job.label for job in lab.look().jobs if job.stage.name in ("frame", "album")}


def test_jobs_are_only_where_there_is_something(pictures: PictureLab) -> None:
    assert jobs(pictures) == {"frame a/one", "album a"}
    done = pictures.run()
    assert not done.failed and not done.blocked
    assert pictures.text("a/framed/one.txt").startswith("[<ALPHA> cat]")
    assert pictures.text("a/album.txt").startswith("cat\n")
    assert not pictures.path("a/framed/two.txt").exists() and not pictures.path("b/framed").exists()
    assert pictures.run().made == set()


def test_one_that_comes_is_used(pictures: PictureLab) -> None:
    pictures.run()
    pictures.put("a/pictures/two.txt", "dog\n")
    assert pictures.run().made == {"frame a/two", "album a"}
    assert pictures.text("a/album.txt").startswith("cat\ndog\n")
    pictures.put("a/pictures/one.txt", "cow\n")
    assert pictures.run().made == {"frame a/one", "album a"}


def test_what_was_made_of_one_that_is_gone_stays(pictures: PictureLab) -> None:
    pictures.run()
    before = pictures.text("a/framed/one.txt"), pictures.text("a/album.txt")
    pictures.path("a/pictures/one.txt").unlink()
    assert jobs(pictures) == {"frame a/one", "album a"}
    done = pictures.run()
    assert done.made == set() and not done.blocked and not done.failed
    assert done.state("frame a/one") is State.ARCHIVED and done.state("album a") is State.ARCHIVED
    assert (pictures.text("a/framed/one.txt"), pictures.text("a/album.txt")) == before
    pictures.put("a/pictures/one.txt", "cat\n")  # back from the archive
    assert pictures.run().made == set()


def test_what_was_made_of_one_that_is_gone_is_no_obstacle_once_it_is_deleted_too(
    pictures: PictureLab,
) -> None:
    pictures.run()
    pictures.path("a/pictures/one.txt").unlink()
    pictures.path("a/framed/one.txt").unlink()
    done = pictures.run()
    assert done.made == set() and not done.failed
    assert "frame a/one" not in done.watcher.states or done.state("frame a/one") is State.BLOCKED


def test_one_that_is_still_to_be_made_counts(lab: Lab) -> None:
    """Read with found(), what a stage makes is waited for as any other input is."""
    reads = {"texts": found(each(first_enabled(SHOUTED, UPPER)))}
    join = dataclasses.replace(JOIN_STAGE, reads=reads, run=run_joined)
    lab.stages = [join, SHOUT_STAGE, UPPER_STAGE]
    assert {"join a", "join b"} <= lab.run().made
    assert lab.text("a/joined.txt").startswith("<ALPHA>+<BETA>")
    lab.put("a/source/two.txt", "FAIL\n")
    done = lab.run()
    assert done.failed == {"upper a/two"} and done.blocked == {"join a"}


def run_joined(texts: list[str], options: object) -> str:
    return options.separator.join(text.strip() for text in texts) + "\n"  # type: ignore[attr-defined]


def test_what_is_switched_off_has_no_jobs_after_it(lab: Lab) -> None:
    stage = Stage("album", "item", run_album, made("page", "item", "{folder}page/{item}.txt"), {})
    stage = dataclasses.replace(stage, reads={"pictures": found(SHOUTED)})
    lab.stages = [UPPER_STAGE, SHOUT_STAGE, stage]
    assert not [job for job in lab.look().jobs if job.stage.name == "album"]
    lab.settings["shout"] = True
    assert len([job for job in lab.look().jobs if job.stage.name == "album"]) == 4

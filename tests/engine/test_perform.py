from __future__ import annotations

import dataclasses
import errno
import os
import warnings
from pathlib import Path

import pytest

from anipipe.engine.digest import digest_file, prefix_digests, size_in
from anipipe.engine.perform import Failed, Input, Loaded, Made, Task, explain_os_error, load, perform
from anipipe.errors import DataError

from . import textline
from .textline import DEFAULTS, END, JOIN_STAGE, SOURCE, SPLIT_STAGE, UPPER, UPPER_STAGE


def task(root: Path, **changes) -> Task:
    values = {
        "stage": UPPER_STAGE,
        "root": root,
        "names": {},
        "options": textline.UpperOptions.of(DEFAULTS),
        "inputs": (Input("text", SOURCE, ("in.txt",), {}),),
        "outputs": ((UPPER, "deep/er/out.txt"),),
        "token": "abcd",
        **changes,
    }
    return Task(**values)


def test_made_output_waits_beside_its_target(tmp_path):
    (tmp_path / "in.txt").write_text("alpha")
    made = perform(task(tmp_path))
    assert isinstance(made, Made)
    ((target, (temporary, digest)),) = made.outputs.items()
    assert target == "deep/er/out.txt"
    assert temporary.parent == tmp_path / "deep/er" and temporary.suffix == ".txt"
    assert temporary.name.startswith(".anipipe-abcd-")
    assert temporary.read_text() == "<ALPHA>\n" + END
    assert digest == digest_file(temporary) and len(digest) == 32 + len(".13") and size_in(digest) == 13
    assert not (tmp_path / target).exists()
    assert made.notes == {"letters": 8} and made.seconds > 0


def test_prefixes_are_noted_of_texts_only_by_file_name(tmp_path):
    (tmp_path / "in.txt").write_text("abcd" + END)
    made = perform(
        task(
            tmp_path,
            stage=SPLIT_STAGE,
            inputs=(Input("text", textline.JOINED, ("in.txt",), {}),),
            outputs=(
                (dataclasses.replace(textline.HEAD, text=True), "one/head.txt"),
                (textline.TAIL, "tail.txt"),
            ),
            options=None,
        )
    )
    temporary = made.outputs["one/head.txt"][0]
    assert made.notes["prefixes"] == {"head.txt": prefix_digests(temporary)}


def test_jobs_of_one_worker_in_one_folder_do_not_share_a_temporary(tmp_path):
    """One may still wait for its commit while the next one writes."""
    (tmp_path / "in.txt").write_text("alpha")
    (tmp_path / "in2.txt").write_text("beta")
    one = perform(task(tmp_path))
    two = perform(
        task(
            tmp_path,
            inputs=(Input("text", SOURCE, ("in2.txt",), {}),),
            outputs=((UPPER, "deep/er/out2.txt"),),
        )
    )
    assert one.outputs["deep/er/out.txt"][0].read_text() == "<ALPHA>\n" + END
    assert two.outputs["deep/er/out2.txt"][0].read_text() == "<BETA>\n" + END


def test_outputs_of_one_job_do_not_share_a_temporary(tmp_path):
    (tmp_path / "in.txt").write_text("abcd" + END)
    made = perform(
        task(
            tmp_path,
            stage=SPLIT_STAGE,
            inputs=(Input("text", textline.JOINED, ("in.txt",), {}),),
            outputs=((textline.HEAD, "head.txt"), (textline.TAIL, "tail.txt")),
            options=None,
        )
    )
    assert [made.outputs[name][0].read_text() for name in ("head.txt", "tail.txt")] == [
        *("ab\n" + END, "cd" + END),
    ]


@pytest.mark.parametrize("described", [{"x": object()}, {"x": {1, 2}}, {(1, 2): 3}, 5])
def test_description_that_is_no_json_fails_the_job_and_leaves_nothing(tmp_path, described):
    (tmp_path / "in.txt").write_text("alpha")
    artifact = dataclasses.replace(UPPER, describe=lambda text: described)
    failed = perform(task(tmp_path, outputs=((artifact, "out.txt"),)))
    assert isinstance(failed, Failed) and "TypeError" in failed.message
    assert list(tmp_path.rglob(".anipipe-*")) == []


def test_nothing_written_is_a_failure(tmp_path):
    (tmp_path / "in.txt").write_text("alpha")
    artifact = dataclasses.replace(UPPER, write=lambda text, path: path.touch())
    failed = perform(task(tmp_path, outputs=((artifact, "out.txt"),)))
    assert isinstance(failed, Failed) and "ValueError: upper was written with nothing in it" in failed.message
    assert list(tmp_path.rglob(".anipipe-*")) == []


def test_failure_is_returned_and_leaves_nothing(tmp_path):
    (tmp_path / "in.txt").write_text("FAIL")
    failed = perform(task(tmp_path))
    assert isinstance(failed, Failed)
    assert failed.message == "this text does not fit (from in.txt)"
    assert "DataError" in failed.traceback
    assert list(tmp_path.rglob(".anipipe-*")) == []


def test_missing_input_is_told_as_such(tmp_path):
    failed = perform(task(tmp_path))
    assert isinstance(failed, Failed)
    assert "in.txt" in failed.message and os.strerror(errno.ENOENT) in failed.message


def test_number_of_values_has_to_fit(tmp_path):
    (tmp_path / "in.txt").write_text("x" + END)
    inputs = (Input("text", textline.JOINED, ("in.txt",), {}),)
    bad = task(
        tmp_path, stage=SPLIT_STAGE, inputs=inputs, outputs=((textline.HEAD, "head.txt"),), options=None
    )
    assert isinstance(perform(bad), Failed)
    assert list(tmp_path.rglob(".anipipe-*")) == []


def test_optional_and_each(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).write_text(name + END)
    inputs = tuple(Input("texts", UPPER, (name,), {}) for name in ("one", "two"))
    joining = task(
        tmp_path,
        stage=JOIN_STAGE,
        inputs=inputs,
        options=textline.JoinOptions("+"),
        outputs=((UPPER, "out"),),
    )
    made = perform(joining)
    assert isinstance(made, Made)
    assert made.outputs["out"][0].read_text() == "one+two\n" + END


def test_fan_in_is_read_only_when_asked(tmp_path):
    (tmp_path / "one").write_text("1" + END)
    loaded = Loaded(tmp_path, [Input("x", UPPER, (name,), {}) for name in ("one", "absent")])
    assert len(loaded) == 2 and loaded[0] == "1"
    assert list(loaded[:1]) == ["1"]
    (tmp_path / "one").write_text("2" + END)
    assert loaded[0] == "2", "nothing is kept"
    with pytest.raises(FileNotFoundError):
        list(loaded)


def test_what_has_no_reader_cannot_be_loaded(tmp_path):
    with pytest.raises(TypeError, match="bare"):
        load(tmp_path, Input("x", textline.Artifact("bare", "item", "x"), ("x",), {}))


def test_warnings_of_libraries_do_not_become_notices(tmp_path):
    (tmp_path / "in.txt").write_text("NOTICE")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = perform(task(tmp_path))
    assert result.notes["notices"] == ["an odd text"]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "x", "/r/.anipipe-1-2-0.txt"), "/r/t.txt: the disk is full"),
        (OSError(errno.EDQUOT, "x"), "/r/t.txt: the disk is full"),
        (OSError(errno.EACCES, "x", "/r/in.txt"), "/r/in.txt: no permission"),
        (OSError(errno.EPERM, "x", b"/r/in.txt"), "/r/in.txt: no permission"),
        (OSError(errno.ENAMETOOLONG, "x"), "/r/t.txt: the name is too long"),
        (OSError(errno.EIO, "it broke", "/r/.anipipe-1-2-0.txt"), "/r/t.txt: it broke"),
        (OSError("plain words"), "/r/t.txt: plain words"),
    ],
)
def test_errors_of_the_system_in_words(error, expected):
    assert explain_os_error(error, Path("/r/t.txt")).startswith(expected)


def test_messages_that_name_a_file_are_left_alone(tmp_path):
    (tmp_path / "in.txt").write_text("x")
    stage = textline.Stage("bad", "item", name_the_file, UPPER, {"text": SOURCE})
    failed = perform(task(tmp_path, stage=stage))
    assert failed.message == "/some/where/in.txt: no good"


def name_the_file(text, options):
    raise DataError("/some/where/in.txt: no good")


def test_memory_error_has_words(tmp_path):
    (tmp_path / "in.txt").write_text("x")
    stage = textline.Stage("bad", "item", eat_memory, UPPER, {"text": SOURCE})
    assert "not enough memory" in perform(task(tmp_path, stage=stage)).message


def eat_memory(text, options):
    raise MemoryError


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:114] DefaultCPUAllocator: can't allocate memory"),
        ImportError("libx.so: failed to map segment from shared object"),
        RuntimeError("can't start new thread"),
    ],
)
def test_want_of_memory_is_told_even_where_a_reader_took_it_for_a_damaged_file(tmp_path, error):
    (tmp_path / "in.txt").write_text("x")
    for raised in (error, misunderstood(error)):
        stage = textline.Stage("bad", "item", Raising(raised), UPPER, {"text": SOURCE})
        message = perform(task(tmp_path, stage=stage)).message
        assert message.startswith("not enough memory: run with fewer --jobs"), message
    innocent = DataError("the model of 3 cameras is out of memory cards")
    stage = textline.Stage("bad", "item", Raising(innocent), UPPER, {"text": SOURCE})
    assert "memory cards" in perform(task(tmp_path, stage=stage)).message


def misunderstood(error):
    found = DataError("in.txt: it is damaged")
    found.__cause__ = error
    return found


class Raising:
    def __init__(self, error):
        self.error = error

    def __call__(self, text, options):
        raise self.error

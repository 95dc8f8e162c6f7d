from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from anipipe.engine import lock as module
from anipipe.engine.lock import Lock
from anipipe.errors import LockedError


def put(root, content: str | dict | bytes, age: float = 0.0) -> Path:
    path = root / ".anipipe" / "lock"
    path.parent.mkdir(exist_ok=True)
    if isinstance(content, dict):
        content = json.dumps(content)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    when = time.time() - age
    os.utime(path, (when, when))
    return path


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def holder(**changes) -> dict:
    """Return what the lock of this very process says."""
    return {**module._me(), "token": "abcd", **changes}


def holds(lock: Lock) -> bool:
    """Say whether it is this lock, and nothing of anybody else's, that is on disk."""
    lock.check()
    content = json.loads(lock.path.read_text(encoding="utf-8"))
    return content == {**module._me(), "token": lock.token, "since": content["since"]} and (
        own_files(lock.path.parent.parent) == ["lock"]
    )


def own_files(root) -> list[str]:
    return sorted(p.name for p in (root / ".anipipe").iterdir())


def test_held_while_inside_and_gone_afterwards(tmp_path):
    with Lock(tmp_path) as lock:
        content = json.loads(lock.path.read_text(encoding="utf-8"))
        assert content["pid"] == os.getpid() and content["host"] == socket.gethostname()
        assert content["token"] == lock.token
        lock.check()
        assert holds(lock)
    assert own_files(tmp_path) == []


def test_gone_also_after_an_error_inside(tmp_path):
    with pytest.raises(KeyError), Lock(tmp_path):
        raise KeyError
    assert own_files(tmp_path) == []
    with Lock(tmp_path) as lock:
        assert holds(lock)


def test_second_holder_is_refused_and_told_who_it_is(tmp_path):
    with Lock(tmp_path) as first:
        with pytest.raises(LockedError) as caught, Lock(tmp_path):
            pass
        text = str(caught.value)
        assert str(os.getpid()) in text and socket.gethostname() in text and str(tmp_path) in text
        assert str(first.path) in text, "it says what to delete"
        first.check()
        assert own_files(tmp_path) == ["lock"]
    assert LockedError.exit_status == 75


def test_two_locks_have_two_tokens(tmp_path):
    assert Lock(tmp_path).token != Lock(tmp_path).token


@pytest.mark.parametrize(
    "changes",
    [
        lambda: {"pid": dead_process()},
        lambda: {"started": "1"},
        lambda: {"boot": "another start of this machine"},
        lambda: {"pid": "text"},
        lambda: {"pid": None},
    ],
    ids=["pid is dead", "pid was given to another", "rebooted", "pid is text", "no pid"],
)
def test_dead_process_of_this_machine_is_taken_over_at_once(tmp_path, changes):
    put(tmp_path, holder(**changes()), age=60)
    with Lock(tmp_path) as lock:
        assert holds(lock)
    assert own_files(tmp_path) == []


def test_living_process_of_this_machine_is_respected_however_old_the_lock_is(tmp_path):
    path = put(tmp_path, holder(), age=5 * 3600)
    with pytest.raises(LockedError), Lock(tmp_path):
        pass
    assert json.loads(path.read_text())["token"] == "abcd"


def test_zombie_is_dead(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", ""])
    try:
        started = module._started(process.pid)
        for _ in range(200):
            if module._started(process.pid) == "":
                break
            time.sleep(0.02)
        put(tmp_path, holder(pid=process.pid, started=started))
        with Lock(tmp_path) as lock:
            assert holds(lock)
    finally:
        process.wait()


@pytest.mark.parametrize(("age", "blocks"), [(0, True), (3000, True), (4000, False), (1e6, False)])
def test_other_machine_is_alive_for_an_hour_after_its_last_sign(tmp_path, age, blocks, monkeypatch):
    monkeypatch.setattr(module, "HEARTBEAT", 0.05)
    put(tmp_path, holder(host="elsewhere", pid=1), age)
    if blocks:
        with pytest.raises(LockedError, match="elsewhere"), Lock(tmp_path):
            pass
    else:
        with Lock(tmp_path) as lock:
            assert holds(lock)


@pytest.mark.parametrize("age", [5000.0, -86400.0, 1e6], ids=["forward", "back", "long ago"])
@pytest.mark.parametrize("beating", [True, False])
def test_where_a_clock_was_set_only_a_sign_of_life_counts(tmp_path, age, beating, monkeypatch):
    """The file server's clock went forward, or back, since the other machine touched the lock."""
    monkeypatch.setattr(module, "HEARTBEAT", 0.4)
    path = put(tmp_path, holder(host="elsewhere", pid=1), age)
    beat = threading.Timer(0.2, os.utime, [path])
    if beating:
        beat.start()
        with pytest.raises(LockedError, match="elsewhere"), Lock(tmp_path):
            pass
        beat.join()
    else:
        with Lock(tmp_path) as lock:
            assert holds(lock)


def test_a_machine_of_the_same_name_is_another_one_if_it_gives_a_sign_of_life(tmp_path, monkeypatch):
    """Clones and containers may share a name, and a disk."""
    monkeypatch.setattr(module, "HEARTBEAT", 0.4)
    path = put(tmp_path, holder(boot="of a namesake"))
    beat = threading.Timer(0.2, os.utime, [path])
    beat.start()
    with pytest.raises(LockedError), Lock(tmp_path):
        pass
    beat.join()
    with Lock(tmp_path) as lock:
        assert holds(lock)


GARBAGE = [b"", b"garbage", b"\xff\xfe\x00", b'{"pid": ', b"[]", b"[1]", b"null", b"5", b'"text"', b"{}"]


@pytest.mark.parametrize("content", GARBAGE)
def test_lock_that_says_nothing_blocks_while_it_is_new(tmp_path, content):
    put(tmp_path, content)
    with pytest.raises(LockedError, match="delete"), Lock(tmp_path):
        pass


@pytest.mark.parametrize("content", GARBAGE)
def test_lock_that_says_nothing_is_taken_over_when_it_is_old(tmp_path, content):
    put(tmp_path, content, age=300)
    with Lock(tmp_path) as lock:
        assert holds(lock)


def test_holder_whose_lock_was_stolen_finds_out_and_leaves_the_thief_alone(tmp_path):
    with Lock(tmp_path) as lock:
        path = put(tmp_path, holder(token="thief"))
        with pytest.raises(LockedError, match="taken away"):
            lock.check()
    assert json.loads(path.read_text())["token"] == "thief"


@pytest.mark.parametrize("content", GARBAGE)
def test_holder_whose_lock_was_overwritten_finds_out(tmp_path, content):
    with Lock(tmp_path) as lock:
        put(tmp_path, content)
        with pytest.raises(LockedError):
            lock.check()
    assert lock.path.read_bytes() == content


def test_holder_whose_lock_was_deleted_finds_out(tmp_path):
    with Lock(tmp_path) as lock:
        lock.path.unlink()
        with pytest.raises(LockedError):
            lock.check()


def test_works_without_hard_links(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with Lock(tmp_path) as lock:
        lock.check()
        with pytest.raises(LockedError), Lock(tmp_path):
            pass
    put(tmp_path, holder(pid=dead_process()))
    with Lock(tmp_path) as lock:
        assert holds(lock)


def test_a_share_that_loses_the_answer_to_a_link_does_not_lock_us_out(tmp_path, monkeypatch):
    """NFS: the server has done it, the client asks again and hears that it is there."""
    link = os.link

    def twice(*arguments):
        link(*arguments)
        link(*arguments)

    monkeypatch.setattr(os, "link", twice)
    with Lock(tmp_path) as lock:
        lock.check()
        with pytest.raises(LockedError), Lock(tmp_path):
            pass
    assert not list((tmp_path / ".anipipe").iterdir())


def test_gives_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "HEARTBEAT", 0.02)
    with Lock(tmp_path) as lock:
        os.utime(lock.path, (5, 5))
        for _ in range(100):
            time.sleep(0.02)
            if lock.path.stat().st_mtime > 5:
                break
        assert lock.path.stat().st_mtime > time.time() - 60


def test_folder_that_cannot_be_written_raises_an_os_error(tmp_path):
    (tmp_path / ".anipipe").write_text("in the way", encoding="utf-8")
    with pytest.raises(OSError), Lock(tmp_path):
        pass


def test_slow_waiter_does_not_take_the_lock_from_the_one_who_was_faster(tmp_path, monkeypatch):
    """Two find the same dead lock; the faster one holds it when the slower one comes to remove it,
    and a third one looks in at each of its steps."""
    put(tmp_path, holder(pid=dead_process()))
    slow, fast, third = Lock(tmp_path), Lock(tmp_path), Lock(tmp_path)
    alive = module._alive
    entered, looks = [], []

    def fast_one_comes_first(*found):
        if not entered:
            entered.append("fast")
            fast.__enter__()
            entered.append("fast is in")
        return alive(*found)

    def third_one_looks_in():
        if entered[-1:] != ["fast is in"] or looks[-1:] == ["looking"]:
            return
        looks.append("looking")
        try:
            third.__enter__()
            entered.append("third")
        except LockedError:
            looks.append("refused")

    def watched(original):
        def step(*args, **kwargs):
            third_one_looks_in()
            try:
                return original(*args, **kwargs)
            finally:
                third_one_looks_in()

        return step

    monkeypatch.setattr(module, "_alive", fast_one_comes_first)
    monkeypatch.setattr(os, "link", watched(os.link))
    for name in ("rename", "replace", "unlink", "touch"):
        monkeypatch.setattr(Path, name, watched(getattr(Path, name)))
    with pytest.raises(LockedError):
        slow.__enter__()
    monkeypatch.undo()
    assert "refused" in looks
    assert entered == ["fast", "fast is in"], "two hold it"
    assert holds(fast)
    fast.__exit__(None, None, None)


def test_while_one_removes_a_dead_lock_nobody_else_does(tmp_path, monkeypatch):
    """Else the second one takes it between the first one's look and the removal, and two hold it."""
    put(tmp_path, holder(pid=dead_process()))
    slow, other = Lock(tmp_path), Lock(tmp_path)
    look, waits = Lock._holder, []

    def looks(self):
        found = look(self)
        if self is slow and self.path.with_name("lock.turn").exists():
            monkeypatch.setattr(Lock, "_holder", look)
            with pytest.raises(LockedError, match="could not be taken"):
                other.__enter__()
        return found

    monkeypatch.setattr(Lock, "_holder", looks)
    monkeypatch.setattr(module.time, "sleep", waits.append)
    with slow:
        assert waits, "it waited for its turn"
        assert holds(slow)
    assert own_files(tmp_path) == []


def test_turn_that_a_killed_one_left_is_no_obstacle_after_a_while(tmp_path, monkeypatch):
    put(tmp_path, holder(pid=dead_process()))
    turn = tmp_path / ".anipipe" / "lock.turn"
    turn.touch()
    with monkeypatch.context() as patch:
        patch.setattr(module.time, "sleep", lambda seconds: None)
        with pytest.raises(LockedError, match="try again"), Lock(tmp_path):
            pass
    assert turn.exists(), "its owner may be at work"
    when = time.time() - 2 * module.HEARTBEAT
    os.utime(turn, (when, when))
    with Lock(tmp_path) as lock:
        assert holds(lock)


def test_turn_is_given_back_when_there_was_nothing_to_remove_or_it_could_not_be(tmp_path, monkeypatch):
    lock = Lock(tmp_path)
    dead = holder(pid=dead_process())
    put(tmp_path, holder(token="other"))
    lock._remove(dead)
    assert json.loads(lock.path.read_text())["token"] == "other"
    put(tmp_path, dead)
    unlink = Path.unlink

    def refuse(self, missing_ok=False):
        if self.name == "lock":
            raise PermissionError(13, "Permission denied", str(self))
        unlink(self, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(PermissionError):
        lock._remove(dead)
    monkeypatch.undo()
    assert own_files(tmp_path) == ["lock"]
    lock._remove(dead)
    assert own_files(tmp_path) == []


def test_lock_that_cannot_be_taken_without_end_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(Lock, "_create", lambda self: False)
    with pytest.raises(LockedError, match="try again"), Lock(tmp_path):
        pass


RACER = """
import sys, time
from pathlib import Path
from anipipe.engine.lock import Lock
from anipipe.errors import LockedError
base, me, rounds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
def until(path):
    while not path.exists():
        time.sleep(0.0005)
for index in range(rounds):
    root = base / str(index)
    (root / f"ready-{me}").touch()
    until(root / "go")
    try:
        with Lock(root) as lock:
            (root / f"got-{me}").write_text(lock.token)
            until(root / "stop")
            lock.check()
            assert f'"{lock.token}"' in lock.path.read_text()
            (root / f"kept-{me}").touch()
    except LockedError as error:
        (root / f"refused-{me}").write_text(str(error))
"""


def test_of_many_that_race_for_a_dead_lock_exactly_one_gets_it(tmp_path):
    racers, rounds, dead = 4, 12, dead_process()
    for index in range(rounds):
        (tmp_path / str(index)).mkdir()
        if index % 3:
            put(tmp_path / str(index), holder(pid=dead))
    processes = [
        subprocess.Popen([sys.executable, "-c", RACER, str(tmp_path), str(me), str(rounds)])
        for me in range(racers)
    ]
    try:
        for index in range(rounds):
            root = tmp_path / str(index)
            wait_for(lambda root=root: len(list(root.glob("ready-*"))) == racers)
            (root / "go").touch()
            wait_for(
                lambda root=root: len(list(root.glob("got-*"))) + len(list(root.glob("refused-*"))) >= racers
            )
            (root / "stop").touch()
        assert [process.wait(30) for process in processes] == [0] * racers
    finally:
        for process in processes:
            process.kill()
            process.wait()
    for index in range(rounds):
        root = tmp_path / str(index)
        got = list(root.glob("got-*"))
        assert len(got) == 1, index
        assert len(list(root.glob("kept-*"))) == 1, "the one who got it was not disturbed"
        assert own_files(root) == []


def wait_for(condition, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.002)

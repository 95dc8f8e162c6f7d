from __future__ import annotations

import json

import pytest

from anipipe.engine import journal as module
from anipipe.engine.freshness import State, Verdict
from anipipe.engine.journal import Journal


def journalled(lab, token="abcd", status=1) -> Journal:
    journal = Journal(lab.root, token, ["run-all", "-j", "1"])
    done = lab.run()
    for job in done.plan.jobs:
        verdict = done.plan.verdicts[job].verdict
        ran = job in done.outcome.made or job in done.outcome.failed
        journal.settled(job, verdict, ran=ran, seconds=0.5, notices=done.watcher.notices[job.label])
    for path in done.outcome.withdrawn:
        journal.withdrawn(path)
    journal.close(done.plan, status, ["a problem"])
    return journal


def runs(lab) -> list[str]:
    return sorted(p.name for p in lab.path(".anipipe/runs").iterdir())


def test_report_is_complete(lab):
    lab.run()
    lab.put("a/source/one.txt", "FAIL")
    lab.put("b/source/one.txt", "NOTICE ü")
    lab.put("b/upper/three.txt", "edited\n#end\n")
    journal = journalled(lab)
    report = json.loads((journal.folder / f"{journal.name}.json").read_text(encoding="utf-8"))
    assert report["command"] == ["run-all", "-j", "1"]
    assert report["exit_status"] == 1 and report["problems"] == ["a problem"]
    assert report["seconds"] >= 0 and report["started"]
    assert report["withdrawn"] == ["tables/parts/a.txt"]
    jobs = {entry["job"]: entry for entry in report["jobs"]}
    assert jobs["upper a/one"]["state"] == "failed" and jobs["upper a/one"]["ran"]
    assert "does not fit" in jobs["upper a/one"]["reasons"][0]
    assert jobs["join a"]["state"] == "blocked" and not jobs["join a"]["ran"]
    assert jobs["upper b/three"]["state"] == "edited"
    assert jobs["upper b/one"]["notices"] == ["an odd text"]
    assert jobs["upper b/one"]["outputs"] == ["b/upper/one.txt"]
    assert "upper a/two" not in jobs, "what is simply up to date is only counted"
    assert report["counts"] == {"failed": 1, "blocked": 3, "edited": 1, "fresh": 6}
    log = (journal.folder / f"{journal.name}.log").read_text(encoding="utf-8")
    assert "failed upper a/one" in log and "withdrawn tables/parts/a.txt" in log and "an odd text" in log


def test_two_runs_of_one_second_are_kept_apart(lab):
    journalled(lab, "one")
    journalled(lab, "two")
    assert len([name for name in runs(lab) if name.endswith(".json")]) == 2


def test_oldest_reports_are_dropped(lab, monkeypatch):
    monkeypatch.setattr(module, "KEPT", 3)
    folder = lab.path(".anipipe/runs")
    folder.mkdir(parents=True)
    for year in range(2001, 2010):
        for suffix in ("log", "json"):
            (folder / f"{year}-01-01T00-00-00-abcd.{suffix}").write_text("x")
    journal = journalled(lab)
    kept = {name.rpartition(".")[0] for name in runs(lab)}
    assert kept == {"2008-01-01T00-00-00-abcd", "2009-01-01T00-00-00-abcd", journal.name}
    assert f"{journal.name}.json" in runs(lab)


def test_many_reports_are_kept_by_default():
    assert module.KEPT >= 100


def test_folder_that_cannot_be_written_stops_nothing(lab):
    lab.run()
    lab.path(".anipipe/runs").write_text("in the way")
    journal = journalled(lab)
    journal.write("more")
    assert lab.path(".anipipe/runs").read_text() == "in the way"


def test_name_that_is_no_unicode_stops_nothing(lab):
    journal = Journal(lab.root, "abcd", [])
    plan = lab.look()
    odd = b"caf\xe9".decode("utf-8", "surrogateescape")
    journal.write(odd)
    journal.settled(plan.jobs[0], Verdict(State.FAILED, (odd,)), ran=True, seconds=0, notices=[odd])
    journal.close(plan, 1, [odd])
    assert len([name for name in runs(lab) if name.endswith(".json")]) == 1


@pytest.mark.parametrize("ran", [True, False])
def test_log_is_written_as_it_goes(lab, ran):
    journal = Journal(lab.root, "abcd", [])
    plan = lab.look()
    journal.settled(plan.jobs[0], Verdict(State.FAILED, ("no",)), ran=ran, seconds=1, notices=[])
    log = journal.folder / f"{journal.name}.log"
    assert log.exists() == ran

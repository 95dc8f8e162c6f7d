"""The page of a night: complete in itself, true to the report, usable for a large lab."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from anipipe.engine.freshness import State
from anipipe.formats._night_parts import LOOKS, duration, size
from anipipe.formats.night_page import MARK, index_page, night_page, tally, verdict

EVIL = "<script>alert('x')</script>&\"\n\x1b[31m\u202e\udce9"
SEEN = r"<script>alert('x')</script>&\"\n\x1b[31m\u202e\udce9".replace('\\"', '"')


class Page(HTMLParser):
    """Reads what is shown, and objects to what is not closed or comes from elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.shown: list[tuple[str, bool]] = []
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        assert tag not in ("script", "img", "link", "iframe") and "src" not in values
        assert not any(name.startswith("on") for name in values)
        self.ids |= {values["id"]} if "id" in values else set()
        self.links |= {values["href"]} if "href" in values else set()
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.shown.append((data, "details" in self.open and "summary" not in self.open))

    def text(self, *, folded: bool = True) -> str:
        return "".join(data for data, hidden in self.shown if folded or not hidden)


def record(root: str = "/lab/one", verdict: str = "up to date", **more: Any) -> dict[str, Any]:
    return {
        "root": root,
        "verdict": verdict,
        "exit_status": {"failed": 1, "unusable": 2, "locked": 75}.get(verdict, 0),
        "seconds": 12.0,
        "done": 0,
        "stages": {},
        "done_in": {},
        "slowest": [],
        "columns": ["pose-2d", "tables"],
        "sessions": {"s1": [2, 1]},
        **more,
    }


def report(*records: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "name": "2024-03-01T02-00-00-abcd",
        "version": "1.0",
        "host": "gpubox",
        "command": ["nightly", "/lab"],
        "started": "2024-03-01T02:00:00+0100",
        "ended": "2024-03-01T05:30:00+0100",
        "seconds": 12600.0,
        "until": None,
        "interrupted": False,
        "exit_status": max((r["exit_status"] for r in records), default=0),
        "problems": [],
        "experiments": list(records),
        **more,
    }


def failing(job: str, **more: Any) -> dict[str, Any]:
    return {"job": job, "message": "it is damaged", "traceback": "Traceback: its end", "nights": 1, **more}


def test_everything_that_went_wrong_is_shown_without_unfolding():
    page = Page(
        night_page(
            report(
                record("/lab/fine", "done", done=5),
                record(
                    "/lab/bad",
                    "failed",
                    failed=[
                        failing("pose-2d s1/t_A", nights=3, since="2024-02-28T02:00:00+0100"),
                        failing("pose-2d s1/t_B", tried=False, since="2024-02-29T02:00:00+0100"),
                    ],
                    blocked=[{"job": "calibrate s9", "reasons": ["no recordings of the board"]}],
                    blocked_after=4,
                    conflicts=[{"job": "pose-3d s2/t", "reasons": ["it was changed"]}],
                    waiting={
                        "jobs": 8,
                        "files": ["s3/videos-raw/t.mp4 is still being written: 1 bytes, then 2"],
                    },
                    put_off=17,
                    problems=["s4: cannot be processed"],
                    changes={
                        "newly_failing": ["a job"],
                        "recovered": ["b job"],
                        "not_tried": ["c job"],
                        "new_sessions": ["s8"],
                        "removed_sessions": ["s0"],
                    },
                ),
                record("/lab/off", "left out"),
                record("/lab/lost", "gone", error="is gone since the last night"),
                record("/lab/taken", "locked", error="is being processed by process 7"),
                problems=[{"where": "/gone", "message": "/gone: there is no such folder"}],
                exit_status=1,
            )
        )
    )
    shown = page.text(folded=False)
    for text in (
        *(
            "pose-2d s1/t_A",
            "it is damaged",
            "for 3 nights, since 2024-02-28 02:00",
            "for 1 night, since 2024-02-29 02:00, not tried now",
            "calibrate s9",
        ),
        *("no recordings of the board", "4 jobs could not be begun", "pose-3d s2/t", "it was changed"),
        *(
            "8 jobs left",
            "s3/videos-raw/t.mp4",
            "17 jobs left",
            "s4: cannot be processed",
            "newly failing: a job",
        ),
        *(
            "does not any more: b job",
            "was not tried: c job",
            "new sessions: s8",
            "that are gone: s0",
            "by process 7",
        ),
        *("is gone since the last night", "for 1 night, since 2024-02-29 02:00, not tried now"),
        *("/gone: there is no such folder", "nightly.enabled = false", "2 of 5 experiments need a look"),
    ):
        assert text in shown, text
    assert "Traceback: its end" in page.text() and "Traceback: its end" not in shown
    assert shown.index("/lab/bad") < shown.index("/lab/taken") < shown.index("/lab/fine"), "the worst first"
    assert {link[1:] for link in page.links} == page.ids, "the list of experiments leads to each"


def test_names_and_messages_cannot_do_anything():
    text = night_page(
        report(
            record(
                f"/lab/{EVIL}",
                "failed",
                failed=[failing(EVIL, message=EVIL, traceback=EVIL, since=EVIL, nights=2)],
                sessions={EVIL: [1, {"failed": 1}]},
                columns=[EVIL, "tables"],
                conflicts=[{"job": EVIL, "reasons": [EVIL]}],
                given=[EVIL],
                waiting={"jobs": 1, "files": [EVIL]},
                problems=[EVIL],
                error=EVIL,
                notes=[{"job": EVIL, "text": EVIL}],
                notices=[EVIL],
                changes={"recovered": [EVIL]},
                stages={EVIL: {"column": EVIL, "jobs": 1, "seconds": 1.0, "longest": 1.0}},
                done=1,
                done_in={EVIL: 1},
                slowest=[{"job": EVIL, "seconds": 1.0}],
                disk={"outputs": {EVIL: 10}, "free": 1, "size": 2},
            ),
            host=EVIL,
            command=[EVIL],
            problems=[{"where": EVIL, "message": EVIL}],
        )
    )
    text.encode("utf-8")
    page = Page(text)
    assert page.text().count(SEEN) > 10
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e\ud800-\udfff]", text)


def test_nothing_comes_from_elsewhere():
    text = night_page(report(record()))
    assert not re.search(r"https?:|url\(|@import|<script|<link", text)
    assert "prefers-color-scheme:dark" in text and 'name="viewport"' in text


def test_a_large_lab_is_a_usable_page():
    sessions: dict[str, Any] = {
        f"2024-03-{n % 28 + 1:02d}/mouse{n}": [6, 6, 1, 2, 2, 24, 8] for n in range(1000)
    }
    bad, grows, given = list(sessions)[600], list(sessions)[400], list(sessions)[10]
    sessions[bad][1], sessions[grows][1] = {"fresh": 5, "failed": 1}, {"waiting": 6}
    sessions[given][2] = {"given": 1}
    columns = ["pose-2d", "filter", "calibrate", "pose-3d", "angles", "pictures", "tables"]
    failures = [failing(f"pose-2d m{n}/t") for n in range(300)]
    text = night_page(report(record(verdict="failed", columns=columns, sessions=sessions, failed=failures)))
    page = Page(text)
    shown = page.text(folded=False)
    assert len(text) < 600_000
    assert shown.index(bad) < shown.index(grows), "the worst first"
    assert "1 failed" in shown and "6 waiting" in shown
    assert shown.count("mouse") == 2 and page.text().count("mouse") == 1000, "what is in order is folded away"
    assert "998 rows with nothing left to do" in shown
    assert shown.count("it is damaged") == 12 and "288 more failures" in shown


def test_a_first_night_that_was_cut_short_is_a_usable_page():
    sessions = {f"mouse{n}": [{"stale": 6}, {"pending": 1}] for n in range(1000)}
    page = Page(night_page(report(record(verdict="unfinished", sessions=sessions, put_off=7000))))
    assert page.text(folded=False).count("mouse") == 40 and page.text().count("mouse") == 1000


@pytest.mark.parametrize(
    ("records", "more", "level", "sentence"),
    [
        ([record()], {}, "good", "All well: nothing had to be done."),
        ([record(verdict="done", done=1)], {}, "good", "All well: 1 job done."),
        (
            [record(verdict="waiting", done=2, waiting={"jobs": 1})],
            {},
            "good",
            "some recordings are still being",
        ),
        ([record(verdict="unfinished", done=2, put_off=3)], {}, "warn", "Time was up: 2 jobs done, 3 left"),
        ([record(), record(verdict="locked")], {"exit_status": 0}, "warn", "Well, but for what was locked"),
        ([record(verdict="locked")], {}, "warn", "Nothing was done"),
        ([record(verdict="failed", done=2)], {}, "bad", "The experiment needs a look; 2 jobs done."),
        ([record(verdict="unusable"), record(verdict="failed")], {}, "bad", "2 of 2 experiments need a look"),
        ([], {"problems": [{"message": ""}], "exit_status": 2}, "bad", "1 folder could not be used; nothing"),
        ([record(verdict="failed", done=3)], {"interrupted": True}, "warn", "Interrupted: 3 jobs done until"),
    ],
)
def test_a_night_in_one_sentence(records, more, level, sentence):
    found = verdict(report(*records, **more))
    assert found[0] == level and sentence in found[1]


def test_every_state_has_a_colour_and_a_name():
    assert set(LOOKS) == set(State)
    sessions = {str(state): [{str(state): 2}, 1] for state in State}
    shown = Page(night_page(report(record(sessions=sessions)))).text()
    for _, name in LOOKS.values():
        assert f"2 {name}" in shown


def test_a_page_says_near_its_beginning_whose_it_is():
    for text in (night_page(report(record())), index_page([])):
        assert 0 < text.index(MARK) < 200 and text.count(MARK) == 1


def test_the_list_of_nights_leads_to_each():
    nights = [
        {
            **tally(report(record(verdict="failed", done=3, failed=[failing("a")]))),
            "name": "2024-03-01T02-00-00-abcd",
            "files": [".html", ".json", ".log"],
        },
        {
            "name": "2024-02-29T02-00-00-dead",
            "started": "2024-02-29T02-00-00",
            "files": [".log"],
        },
    ]
    page = Page(index_page(nights))
    names = {f"2024-03-01T02-00-00-abcd{end}" for end in (".html", ".json", ".log")}
    assert page.links == names | {"2024-02-29T02-00-00-dead.log"}
    rows = [row.split() for row in page.text().splitlines() if "2024" in row]
    assert rows[0][1:4] == ["02:00failed313", "h", "30"], "failed: 3 done, 1 failure, 3 h 30 min"
    assert "killed, or still running" in page.text()


def test_amounts_are_easy_to_read():
    seconds = (0.04, 9.5, 12, 119.6, 125, 4000, 90000)
    assert [duration(s) for s in seconds] == [
        "0.0 s",
        "9.5 s",
        "12 s",
        "120 s",
        "2 min",
        "67 min",
        "25 h 00 min",
    ]
    amounts = (0, 999, 1500, 123456, 4.2e9, 8e12, 3e15)
    assert [size(a) for a in amounts] == [
        "0 bytes",
        "999 bytes",
        "1.5 kB",
        "123 kB",
        "4.2 GB",
        "8.0 TB",
        "3000 TB",
    ]

"""File names from untrusted text: each text gets its own name, and no name leads out of the folder."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_pipeline.host.file_names import make_file_name
from meter_pipeline.sandbox import Sandbox
from meter_pipeline.webhooks.inbox import Hint, Inbox
from meter_pipeline_tests.behaviour.station import Station, assert_whole
from meter_pipeline_tests.behaviour.thorough import every

HOSTILE = [
    "../../../../x",
    "/etc/cron.d/x",
    "..\\..\\x",
    "C:\\x",
    "a/b",
    "a\nb\x1b[31m",
    ".hidden",
    "-rf",
    "x" * 300,
    "é" * 300,
    "東京",
    "%2e%2e%2fx",
    "*?[ab]",
    "A",
    "a",
    "con",
    "job.body",
]
texts = st.one_of(
    st.text(), st.text("aA._-/\\ \x00", max_size=130), st.sampled_from(HOSTILE), st.characters(categories=["Cs"])
)


@given(texts)
def test_any_text_gives_a_name_that_is_valid_on_every_disk(text: str) -> None:
    name = make_file_name(text, ".body")
    assert name.isascii()
    assert name.isprintable()
    assert len(name) <= 105
    assert not set(name) & set('/\\:*?"<>|% ')
    assert not name.startswith((".", "-"))
    assert not PureWindowsPath(name).is_reserved()
    assert name == name.lower()


@given(texts, texts)
def test_different_texts_give_different_names(left: str, right: str) -> None:
    assert (make_file_name(left) == make_file_name(right)) == (left == right)


@given(texts)
def test_no_text_is_mistaken_for_the_name_of_another(text: str) -> None:
    name = make_file_name(text)
    assert name == text or make_file_name(name) != name


def test_an_id_in_meters_format_is_its_own_name() -> None:
    assert make_file_name("3f0c5a5e-7b0e-4c55-9a1f-2d1f0b7b6a10", ".json") == (
        "3f0c5a5e-7b0e-4c55-9a1f-2d1f0b7b6a10.json"
    )
    assert make_file_name("../../etc/passwd").startswith("etc_passwd.")


@pytest.mark.parametrize("job_id", every(3, HOSTILE))
def test_a_body_that_is_not_json_is_kept_in_its_folder_whatever_the_jobs_id(
    station: Station, empty_sandbox: Sandbox, job_id: str
) -> None:
    good = empty_sandbox.insert_job("Books", items=[{"a": 1}])
    empty_sandbox.insert_job("Books", job_id=job_id, body=b"<html>no job</html>")
    report = station.sync()
    assert [(problem.job_id, problem.state) for problem in report.problems] == [(job_id, "unreadable")]
    assert set(station.jobs("accepted")) == {good}
    assert_whole(station)
    (kept,) = station.folder.parent.rglob("*.body")
    assert kept.parent == station.folder / "lake" / "unreadable"
    assert kept.read_bytes() == b"<html>no job</html>"
    assert str(kept) in report.problems[0].reason


def test_jobs_whose_id_does_not_fit_into_a_path_are_unreadable_and_the_others_load(
    station: Station, empty_sandbox: Sandbox
) -> None:
    good = [empty_sandbox.insert_job("Books", items=[{"a": number}]) for number in range(3)]
    bad = [".", "..", *("x" * 100_000 + str(number) for number in range(4))]
    for job_id in bad:
        empty_sandbox.insert_job("Books", job_id=job_id, items=[{"b": 1}])
    report = station.sync()
    assert report.stopped is None
    assert set(station.jobs("accepted")) == set(good)
    assert set(station.jobs("unreadable")) == set(bad)
    assert all("not a valid identifier" in problem.reason and len(problem.reason) < 200 for problem in report.problems)
    assert_whole(station)


@pytest.mark.parametrize("job_id", every(3, HOSTILE))
def test_a_job_of_any_id_loads_and_its_report_waits_in_the_inbox(
    station: Station, empty_sandbox: Sandbox, job_id: str, tmp_path: Path
) -> None:
    empty_sandbox.insert_job("Books", job_id=job_id, items=[{"a": 1}])
    inbox = Inbox(tmp_path / "deep" / "inbox")
    assert inbox.put(Hint(job_id))
    assert [path.parent for path in tmp_path.rglob("*.json") if "lake" not in path.parts] == [inbox.folder]
    assert station.sync(inbox=inbox).exit_code == 0
    assert set(station.jobs("accepted")) == {job_id}
    assert not inbox.hints()


def test_a_report_under_a_file_name_of_an_older_version_is_found_and_removed(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    inbox.put(Hint("a/b"))
    (kept,) = tmp_path.iterdir()
    kept.rename(tmp_path / "a%2Fb.json")
    assert [hint.job_id for hint in inbox.hints()] == ["a/b"]
    inbox.remove(["a/b"])
    assert not list(tmp_path.iterdir())

"""The command line: what it prints, what it returns, and that a mistake is one line."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from io import StringIO
from pathlib import Path

import pytest

from meter_pipeline.commands.model import ScaffoldError, write_model
from meter_pipeline.config import origin
from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline_tests.behaviour.thorough import slow
from meter_pipeline_tests.commandline import Command, one_line


def test_a_sync_prints_a_table_and_exits_with_0(meter: Command) -> None:
    done = meter("sync")
    assert done.code == 0
    assert "books" in done.out
    assert "2 jobs and 2 items loaded" in done.out


def test_status_names_the_runs_that_are_missing(shop: Sandbox, meter: Command) -> None:
    schedule = shop.add_schedule("Books", interval_seconds=3600)
    shop.advance(hours=8.5)
    runs = [job for job in shop.world.jobs_by_id.values() if job.schedule_id == schedule]
    for job in sorted(runs, key=lambda job: job.created_at)[3:6]:
        shop.delete_job(job.job_id)
    meter("sync")
    gaps = [gap for gap in meter("status", "--json").document["gaps"] if gap["schedule_id"] == schedule]
    assert [(gap["strategy"], gap["missed_runs"]) for gap in gaps] == [("books", 3)]
    since, until = (gaps[0][name][:19].replace("T", " ") for name in ("since", "until"))
    line = f"schedule {schedule} has no job between {since} and {until}, about 3 runs"
    assert line in meter("status").out


def test_status_names_the_latest_unreadable_jobs_and_counts_the_others(
    shop: Sandbox, meter: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METER_MAX_BODY", "1kB")
    ids = []
    for number in range(12):
        shop.advance(hours=1)
        # The first is of the last strategy by name.
        ids.append(shop.insert_job("Lamps" if number else "Tables", items=[{"id": "x" * 2_000}]))
    meter("sync")
    shown = meter("status").out
    assert [job for job in ids if f"lamps: job {job} is unreadable: " in shown] == ids[2:]
    assert ids[0] not in shown
    assert "2 more jobs that are unreadable: see `meter-pipeline jobs list --state unreadable`" in shown
    assert len(meter("status", "--json").document["problems"]) == 12


def test_a_strategy_that_was_deleted_at_meter_is_named_and_its_data_stay(shop: Sandbox, meter: Command) -> None:
    shop.insert_job("Lamps", items=[{"id": "l1"}])
    meter("sync")
    assert "deleted at Meter" not in meter("status").out
    shop.world.delete_strategy(shop.world.find_strategy("Lamps"))  # type: ignore[arg-type]
    meter("sync")
    assert "lamps: deleted at Meter before " in (shown := meter("status").out)
    assert "; the data that was loaded stays" in shown
    assert [found["strategy"] for found in meter("status", "--json").document["deleted"]] == ["lamps"]
    line = "lamps: deleted at Meter: nothing new can be loaded, what was loaded stays"
    assert line in meter("sync", "--strategy", "lamps").err
    assert line not in meter("sync").err
    for name in ("lamps", "Lamps"):
        error = one_line(meter("strategies", "show", name))
        assert f"Meter has the strategy '{name}' no more: what was loaded of it stays in results.lamps" in error


def test_a_name_of_several_strategies_is_refused_with_their_slugs(shop: Sandbox, meter: Command) -> None:
    for number in range(2):
        shop.add_strategy("Lamps", f"https://lamps.example/{number}", items=[{"id": number}])
    meter("sync")
    error = one_line(meter("strategies", "show", "Lamps"))
    assert "several strategies are called 'Lamps': give one of the slugs lamps, lamps_" in error


def test_status_tells_failing_late_and_paused_apart(shop: Sandbox, meter: Command) -> None:
    late, paused = (shop.add_schedule("Books", interval_seconds=3600) for _ in range(2))
    shop.advance(hours=6.5)
    runs = [job for job in shop.world.jobs_by_id.values() if job.schedule_id == late]
    for job in sorted(runs, key=lambda job: job.created_at)[3:]:
        shop.delete_job(job.job_id)
    shop.world.schedules[paused].enabled = False
    failed = shop.insert_job("Books", status="failed", error="no such page", url="https://books.example/old")
    meter("sync")
    document = meter("status", "--json").document
    assert [found["job_id"] for found in document["failing"]] == [failed]
    assert [(found["schedule_id"], found["missed_runs"]) for found in document["late"]] == [(late, 3)]
    assert [found["schedule_id"] for found in document["paused"]] == [paused]
    shown = meter("status").out
    assert f"books: job {failed} failed at Meter: no such page" in shown
    assert f"books: schedule {late} is late: no job since" in shown
    assert f"books: schedule {paused} is paused at Meter" in shown


def test_json_is_one_document_and_nothing_else(meter: Command) -> None:
    done = meter("sync", "--json")
    assert done.document["strategies"]["books"]["accepted"] == 2
    assert done.err == ""
    status = meter("status", "--json").document
    assert status["jobs"] == [{"strategy": "books", "state": "accepted", "jobs": 2, "items": 2}]
    assert status["problems"] == []
    assert meter("publish", "--json").document["jobs"] == 2
    assert meter("query", "select price from results.books order by 1", "--json").document == [
        {"price": 11},
        {"price": 12},
    ]
    assert meter("check", "--json").document["ok"] is True


def test_a_job_that_cannot_be_loaded_is_named_and_the_code_is_1(meter: Command, shop: Sandbox) -> None:
    bad = shop.insert_job("Books", items=[{"title": "Salt Road"}], item_count=7)
    done = meter("sync")
    assert done.code == 1
    assert bad in done.err
    status = meter("status")
    assert status.code == 0
    assert bad in status.out


def test_a_job_is_loaded_again_on_demand(meter: Command) -> None:
    done = meter("sync", "--json").document
    job = done["strategies"]["books"]["latest_job_id"]
    again = meter("sync", "--job", job, "--again", "--json").document
    assert again["strategies"]["books"]["loaded"] == 1
    assert "--job" in one_line(meter("sync", "--again"))


def test_queries_come_as_table_csv_and_json(meter: Command) -> None:
    meter("sync")
    meter("publish")
    sql = "select title, price, null as nothing from results.books order by price"
    assert meter("query", sql, "--csv").out == "title,price,nothing\nTide Tables,11,\nTide Tables,12,\n"
    assert "Tide Tables" in meter("query", sql).out
    assert "exclude each other" in meter("query", sql, "--csv", "--json").document["error"]
    assert "nowhere" in one_line(meter("query", "select * from nowhere"))
    assert "read-only" in one_line(meter("query", "create table t as select 1"))


def test_what_was_scraped_is_never_obeyed_by_a_terminal(meter: Command, shop: Sandbox) -> None:
    hostile = "\x1b[2J\x1b]8;;http://evil.example\x07[red]link\x9b1m\u202e\x7f"
    shop.insert_job("Books", items=[{"title": hostile, "price": 1}])
    shop.insert_job("Books", items=[], item_count=0, status="failed", error=f"{hostile}\nanother line")
    shown = [meter("sync"), meter("publish"), meter("status")]
    sql = "select title, [title] as titles from results.books where price = 1"
    shown += [
        meter("query", sql, *options) for options in ((), ("--csv",), ("--safe-csv",), ("--vertical",), ("--json",))
    ]
    shown += [meter("query", "select error, reason from meter.jobs"), meter("query", f"select '{hostile}'::date")]
    for done in shown:
        assert not set(done.out + done.err) & set("\x1b\x07\x9b\u202e\x7f")
    assert shown[-3].document == [{"title": hostile, "titles": [hostile]}]
    assert r"\x1b[2J\x1b]8;;http://evil.example\x07[red]link\x9b1m\u202e\x7f" in shown[3].out
    assert len(shown[-1].err.splitlines()) == 1


def test_csv_for_spreadsheets_holds_no_formula_and_numbers_stay_numbers(meter: Command) -> None:
    meter("sync")
    meter("publish")
    cells = ["=1+1", "+cmd", "-x", "@sum", "\tx", "＝1", "  =1", "-1.5", "+3", "1,5-", "plain", '=a";b', "-"]
    listed = ", ".join("('" + cell + "')" for cell in cells)
    sql = f"select t as \"=t\", -7 as n, -1.5::decimal(9,2) as d, {{'a': '=1'}} as s from (values {listed}) as v(t)"
    rows = list(csv.reader(StringIO(meter("query", sql, "--safe-csv").out)))
    assert rows[0] == ["'=t", "n", "d", "s"]
    safe = ["'=1+1", "'+cmd", "'-x", "'@sum", "'\tx", "'＝1", "'  =1", "-1.5", "+3", "1,5-", "plain", "'=a\";b", "'-"]
    assert [row[0] for row in rows[1:]] == safe
    assert {tuple(row[1:]) for row in rows[1:]} == {("-7", "-1.50", '{"a": "=1"}')}
    assert [row[0] for row in csv.reader(StringIO(meter("query", sql, "--csv").out))][1:] == cells
    assert "exclude each other" in one_line(meter("query", sql, "--safe-csv", "--vertical"))


def test_a_missing_warehouse_names_the_way_out(meter: Command) -> None:
    assert "meter-pipeline publish" in one_line(meter("query", "select 1"))


def test_check_tells_what_cannot_be_used(meter: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    assert meter("check").code == 0
    monkeypatch.setenv("METER_API_KEY", "sk_live_wrong")
    done = meter("check", "--json")
    assert done.code == 1
    assert [check["name"] for check in done.document["checks"] if not check["ok"]] == ["key"]


def test_check_counts_what_the_first_sync_would_mark_and_marks_nothing(shop: Sandbox, meter: Command) -> None:
    (schedule,) = shop.world.schedules.values()
    for title in ("Salt Road", "Dust"):
        shop.insert_job("Books", items=[{"title": title}], schedule=schedule.schedule_id)

    def said() -> str:
        (detail,) = [
            check["detail"] for check in meter("check", "--json").document["checks"] if check["name"] == "changes"
        ]
        return str(detail)

    assert said().startswith("2 unseen changes of 1 schedule: a sync loads them, then marks them as seen at Meter")
    assert len(schedule.unseen) == 2
    meter("sync")
    assert len(schedule.unseen) == 0
    before = len(shop.log)
    assert said() == "marked as seen at Meter once they are loaded"
    assert not [entry for entry in shop.log[before:] if "/changes" in entry.path]


def test_a_sync_leaves_changes_unseen_when_asked_to_whatever_meter_yaml_says(
    shop: Sandbox, meter: Command, tmp_path: Path
) -> None:
    (schedule,) = shop.world.schedules.values()
    shop.insert_job("Books", items=[{"title": "Salt Road"}], schedule=schedule.schedule_id)
    done = meter("sync", "--no-acknowledge")
    assert (done.code, len(schedule.unseen)) == (0, 1)
    assert "marks them as seen" not in done.err
    (tmp_path / "meter.yaml").write_text("acknowledge: false\n")
    assert "left unseen at Meter" in meter("check").out
    meter("sync")
    assert len(schedule.unseen) == 1
    done = meter("sync", "--acknowledge")
    assert "1 unseen change of 1 schedule: a sync loads them, then marks them" in done.err
    assert len(schedule.unseen) == 0


def test_check_names_misspelt_settings_and_what_meter_yaml_gets_wrong(
    meter: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter("sync")
    monkeypatch.setenv("METER_LAKE_ULR", "s3://bucket")
    (tmp_path / "meter.yaml").write_text("strategies:\n  boks: {key: title}\n")
    done = meter("check", "--json")
    assert done.code == 1
    (wrong,) = [check["detail"] for check in done.document["checks"] if not check["ok"]]
    assert "nothing reads METER_LAKE_ULR: did you mean METER_LAKE_URL?" in wrong
    assert "meter.yaml:2: no strategy has the id, slug or name 'boks': did you mean 'books'?" in wrong


def test_check_and_sync_name_the_fields_of_meter_yaml_that_no_item_has(meter: Command, tmp_path: Path) -> None:
    meter("sync")
    (tmp_path / "meter.yaml").write_text("strategies:\n  books: {key: [titel]}\n")
    wrong = "meter.yaml:2: key: no item of books has a field 'titel': did you mean title?"
    assert wrong in meter("check").out
    done = meter("sync")
    assert wrong in done.err
    assert done.code == 0


@pytest.mark.parametrize("arguments", [("audit",), ("keys",), ("rekey",), ("jobs", "list", "--strategy")])
def test_a_misspelt_strategy_is_answered_with_the_one_that_was_meant(
    meter: Command, arguments: tuple[str, ...]
) -> None:
    meter("sync")
    assert "no strategy 'boks': did you mean 'books'?" in one_line(meter(*arguments, "boks"))
    assert "no strategy 'zoo': see `meter-pipeline" in one_line(meter(*arguments, "zoo"))


def test_check_says_when_large_answers_cannot_be_kept(
    meter: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def found() -> list[str]:
        done = meter("check", "--json")
        (detail,) = [check["detail"] for check in done.document["checks"] if not check["ok"]]
        return [str(done.code), detail]

    monkeypatch.setenv("METER_SPOOL_DIR", "/proc/nothing")
    assert found() == ["1", "/proc/nothing cannot be written: No such file or directory"]
    monkeypatch.setenv("METER_SPOOL_DIR", str(tmp_path / "spool"))
    monkeypatch.setenv("METER_KEEP_FREE", "100000TB")
    assert "there is no room in" in found()[1]
    monkeypatch.delenv("METER_KEEP_FREE")
    assert meter("check").code == 0
    assert not list((tmp_path / "spool").iterdir())


def test_a_listing_without_end_is_one_line_and_a_bound_is_a_setting(
    meter: Command, monkeypatch: pytest.MonkeyPatch, shop: Sandbox
) -> None:
    monkeypatch.setenv("METER_MAX_BODY", "100kB")
    job = shop.insert_job("Books", items=[{"title": "x" * 200_000}])
    assert f"job {job} is unreadable" in (err := meter("sync").err)
    assert "the body is larger than 100 kB; raise METER_MAX_BODY" in " ".join(err.split())
    shop.set_faults(endless_jobs="new")
    assert "the listing does not end" in one_line(meter("sync", "--reconcile"))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("METER_API_KEY", "", "METER_API_KEY is not set"),
        ("METER_API_KEY", "sk_live_wrong", "401"),
        ("METER_BASE_URL", "http://127.0.0.1:9", "METER_BASE_URL"),
        ("METER_BASE_URL", "api.meter.sh", "METER_BASE_URL"),
        ("METER_API_PREFIX", "v9", "METER_API_PREFIX"),
        ("METER_DATA_DIR", "/proc/nothing", "METER_DATA_DIR"),
        ("METER_CONFIG", ".", "METER_CONFIG='.' is a folder"),
        ("METER_DBT_PROJECT", "nowhere", "METER_DBT_PROJECT='nowhere' is not a folder that exists"),
        ("METER_MAX_BODY", "much", "METER_MAX_BODY"),
    ],
)
def test_a_bad_setting_is_one_line(
    meter: Command, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    assert said in one_line(meter("sync"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("sync", "--agian"), "No such option: --agian (Possible options: --again): see `meter-pipeline sync --help`"),
        (("sync", "--since"), "Option '--since' requires an argument: see `meter-pipeline sync --help`"),
        (("query",), "Missing argument 'sql': see `meter-pipeline query --help`"),
        (("audit", "a", "b"), "Got unexpected extra argument(s) (b): see `meter-pipeline audit --help`"),
        (("nope",), "No such command 'nope': see `meter-pipeline --help`"),
        (("jobs", "nope"), "No such command 'nope': see `meter-pipeline jobs --help`"),
        (("dev", "--port", "abc"), "Invalid value for '--port'"),
        (("release",), "meter-pipeline: give the ids of held jobs"),
        (("sync", "--since", "yesterday"), "since 'yesterday'"),
        (("sync", "--strategy", "nope"), "no strategy 'nope'"),
        (("schedules", "create", "Books"), "--every or --cron"),
        (("schedules", "create", "Books", "--every", "5s"), "60 seconds"),
        (("schedules", "update", "x"), "nothing to change"),
        (("schedules", "update", "x", "--every", "1h", "--cron", "0 * * * *"), "either --every or --cron"),
        (("schedules", "update", "x", "--enable", "--disable"), "--enable / --disable is given 2 times"),
        (("publish", "--keep", "1", "--keep", "2"), "--keep is given 2 times, and takes one value"),
        (("jobs", "list"), "there is no ledger yet"),
        (("jobs", "run", "nope"), "no strategy has the id, slug or name 'nope'"),
        (("jobs", "run", "Books", "--parameters", "{"), "is not valid JSON"),
        (("jobs", "show", "0a7d2c7e-2a52-4d3d-8a61-9a8e1b9f4f02"), "404"),
        (("jobs", "run", "Books", "--parameters", '{"a": 1, "a": 2}'), "--parameters: 'a' is there twice"),
        (
            ("jobs", "run", "Books", "--parameters", "@nowhere.json"),
            "--parameters: nowhere.json cannot be read: No such",
        ),
        (("sandbox", "--fault", "nope=1"), "nope"),
        (("sandbox", "--fault", "latency=1", "--fault", "latency=2"), "'latency' is given twice"),
        (("sandbox", "--replay", "nowhere"), "nowhere: no such folder to replay"),
        (("inbox", "--secret-env", "NOWHERE"), "the environment variable NOWHERE is not set"),
    ],
)
def test_a_mistake_is_one_line(meter: Command, arguments: tuple[str, ...], said: str) -> None:
    assert said in one_line(meter(*arguments))


def test_strategies_are_made_refined_and_deleted(meter: Command) -> None:
    made = meter("strategies", "generate", "https://lamps.example/", "all lamps", "--name", "Lamps", "--json").document
    assert meter("strategies", "refine", "Lamps", "prices too").code == 0
    assert {row["name"] for row in meter("strategies", "list", "--json").document} == {"Books", "Lamps"}
    assert meter("strategies", "delete", "Lamps", "--yes", "--json").document == {"deleted": made["strategy_id"]}
    assert "Lamps" not in meter("strategies", "list").out


def test_schedules_are_made_changed_and_deleted(meter: Command) -> None:
    made = meter("schedules", "create", "Books", "--every", "15m", "--json").document
    identifier = made["schedule_id"]
    assert made["interval_seconds"] == 900
    assert "paused" in meter("schedules", "update", identifier, "--disable").out
    assert identifier in meter("schedules", "list").out
    assert meter("schedules", "delete", identifier, "--yes").code == 0
    assert identifier not in meter("schedules", "list").out


def test_intervals_of_schedules_are_printed_in_words(meter: Command) -> None:
    done = meter("schedules", "create", "Books", "--every", "6h")
    identifier = done.out.split()[1]
    assert done.out == f"schedule {identifier} runs every 6 hours\n"
    assert meter("schedules", "update", identifier, "--every", "3600").out.endswith("is enabled, runs every hour\n")
    listed = meter("schedules", "list").out
    assert "every hour" in listed
    assert "every day" in listed
    assert "by cron 0 6 * * *" in meter("schedules", "create", "Books", "--cron", "0 6 * * *").out


def test_text_that_is_not_utf8_is_one_line(meter: Command) -> None:
    # How Python hands over an argument with the byte 0xff.
    for arguments in (("query", "select '\udcff'"), ("jobs", "run", "\udcff"), ("sync", "--strategy", "\udcff")):
        assert "\\udcff" in (said := one_line(meter(*arguments)))
        assert "is not UTF-8" in said


def test_a_fault_of_the_program_leaves_a_traceback_that_no_terminal_obeys() -> None:
    code = (
        "from meter_pipeline import cli\n"
        "@cli.app.command()\n"
        "def break_down():\n"
        "    'Breaks.'\n"
        "    raise RuntimeError('a fault \\x1b[2J')\n"
        "cli.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code, "break-down"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" in done.stderr
    assert "in break_down" in done.stderr
    assert done.stderr.endswith("RuntimeError: a fault \\x1b[2J\n")


def test_jobs_are_run_shown_and_compared(meter: Command) -> None:
    first = meter("jobs", "run", "Books", "--wait", "--json").document
    assert first["status"] == "completed"
    second = meter("jobs", "run", "Books", "--wait", "--json").document
    shown = meter("jobs", "show", first["job_id"], "--json").document
    assert shown["items"] == [{"title": "Tide Tables", "price": 8}]
    assert meter("jobs", "compare", first["job_id"], second["job_id"], "--json").document["content_hash_match"] is True
    assert meter("jobs", "show", first["job_id"]).code == 0


def test_meters_data_does_not_land_in_a_sandboxs_folder(meter: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    origin.write(Path(os.environ["METER_DATA_DIR"]), origin.Origin())
    monkeypatch.setenv("METER_BASE_URL", "https://api.meter.sh")
    assert "holds the sandbox's data" in one_line(meter("sync"))


@pytest.mark.parametrize("command", ["sync", "status"])
def test_commands_with_nothing_new_start_without_what_they_do_not_need(
    shop: Sandbox, meter: Command, command: str
) -> None:
    meter("sync")
    code = (
        "import atexit, sys; from meter_pipeline.cli import main;"
        "heavy = ('dagster', 'pandas', 'duckdb');"
        "atexit.register(lambda: sys.stderr.write(repr([m for m in heavy if sys.modules.get(m)])));"
        "sys.argv.append('--json'); main()"
    )
    done = subprocess.run([sys.executable, "-c", code, command], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "[]"


def test_a_webhook_secret_is_shown_once_and_the_inbox_wants_it(shop: Sandbox, meter: Command) -> None:
    made = meter("schedules", "create", "Books", "--every", "1h", "--webhook", "https://hooks.example/meter")
    assert made.code == 0
    (secret,) = [schedule.webhook_secret for schedule in shop.world.schedules.values() if schedule.webhook_secret]
    assert made.out.count(secret) == 1
    assert "METER_WEBHOOK_SECRET" in made.out
    assert secret not in meter("schedules", "list", "--json").out
    refused = meter("inbox", "--port", "0")
    assert refused.code == 2
    assert refused.err.count("\n") == 1
    assert "METER_WEBHOOK_SECRET" in refused.err


def test_comparing_prints_how_many_pairs_agree(shop: Sandbox, meter: Command) -> None:
    meter("sync")
    assert meter("compare").out.strip() == "1 pairs compared, 1 agree with the items; 0 left"
    assert meter("compare", "--json").document["compared"] == 0


def test_a_sync_counts_changes_and_names_a_schedule_that_cannot_be_read(shop: Sandbox, meter: Command) -> None:
    (schedule,) = shop.world.schedules
    shop.insert_job("Books", items=[{"title": "Salt Road"}], schedule=schedule)
    shop.set_faults(path="/changes", rate_500=1.0)
    done = meter("sync")
    assert done.code == 1
    assert f"books: schedule {schedule}: its changes cannot be read" in done.err
    shop.clear_faults()
    assert "1 new change, 1 acknowledged" in meter("sync").out


@pytest.mark.parametrize("path", ["/jobs/", slow("/schedules$")])
def test_an_interrupted_sync_ends_in_one_line_whatever_it_waits_for_and_the_next_one_finishes(
    shop: Sandbox, meter: Command, path: str
) -> None:
    shop.set_faults(slow=1.0, slow_seconds=120, path=path)
    command = [sys.executable, "-m", "meter_pipeline", "sync"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while not any(entry.fault == "slow" for entry in shop.log) and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        # Far less than the answer would take.
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "interrupted\n")
    last = meter("status", "--json").document["last_sync"]
    assert (last["ended_by"], last["exit_code"], last["problem"]) == ("interrupt", 130, "interrupted")
    shop.clear_faults()
    done = meter("sync", "--json")
    assert (done.code, done.document["jobs"]) == (0, 2)


@pytest.mark.parametrize(
    "arguments", [("query", "selec"), ("jobs", "show", "nope"), ("sync", "--strategy", "nope"), ("release", "nope")]
)
def test_a_mistake_is_one_document_too(meter: Command, arguments: tuple[str, ...]) -> None:
    meter("sync")
    meter("publish")
    done = meter(*arguments, "--json")
    assert done.code == 2
    assert done.err == f"meter-pipeline: {done.document['error']}\n"


def test_an_empty_query_is_one_line(meter: Command) -> None:
    meter("sync")
    meter("publish")
    assert "the query is empty" in one_line(meter("query", " "))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'A=1\nMETER_API_KEY="open\nB=2\n', ".env:2: not a valid setting"),
        (b"\xff\xfe\x00", ".env cannot be read: it is not UTF-8"),
    ],
)
def test_a_damaged_env_file_is_one_line_with_its_place(
    meter: Command, tmp_path: Path, content: bytes, said: str
) -> None:
    (tmp_path / ".env").write_bytes(content)
    assert said in one_line(meter("status"))


def test_nothing_is_deleted_without_a_yes_where_nobody_can_be_asked(shop: Sandbox, meter: Command) -> None:
    assert "add --yes" in one_line(meter("strategies", "delete", "Books"))
    assert [strategy.name for strategy in shop.world.strategies.values()] == ["Books"]


def test_a_key_that_no_item_has_is_one_line(meter: Command) -> None:
    meter("sync")
    assert "no item of books has a field 'isbm': there are title, price" in one_line(
        meter("rekey", "books", "--key", "isbm")
    )
    assert meter("rekey", "books", "--key", "title").code == 0


def test_a_key_of_several_fields_is_given_with_commas_or_by_the_option_again(meter: Command) -> None:
    meter("sync")
    wanted = {"strategy": "books", "key": ["title", "price"], "ignore": [], "duplicates": 0}
    assert meter("rekey", "books", "--key", "title", "--key", "price", "--json").document == wanted
    assert meter("rekey", "books", "--key", "title, price", "--json").document == wanted
    both = meter("rekey", "books", "--key", "title", "--ignore", "price", "--ignore", "title", "--json").document
    assert both["ignore"] == ["price", "title"]
    assert "--key: 'title' is there twice" in one_line(meter("rekey", "books", "--key", "title", "--key", "title"))
    assert "--key, --by-hash and --found exclude each other" in one_line(
        meter("rekey", "books", "--key", "title", "--by-hash")
    )


def test_a_strategy_of_meter_yaml_that_does_not_exist_is_named(meter: Command, tmp_path: Path) -> None:
    (tmp_path / "meter.yaml").write_text("strategies:\n  Boks: {key: title}\n  books: {key: title}\n")
    done = meter("sync")
    assert done.code == 0
    assert "no strategy has the id, slug or name 'Boks': did you mean 'books'?" in done.err
    assert "name 'books'" not in done.err


def test_the_last_sync_is_one_line_of_status(meter: Command) -> None:
    meter("sync")
    last = meter("status").out.splitlines()[-1]
    assert last.startswith("last sync: 20")
    assert "2 jobs and 2 items loaded with" in last


@pytest.mark.parametrize(
    ("variables", "arguments", "cause", "said"),
    [
        ({"METER_BASE_URL": "http://127.0.0.1:9"}, (), "connection", "METER_BASE_URL"),
        ({"METER_API_KEY": ""}, (), "configuration", "METER_API_KEY is not set"),
        ({"METER_API_KEY": "sk_live_wrong"}, (), "configuration", "401"),
        ({"METER_BASE_URL": "api.meter.sh"}, (), "configuration", "METER_BASE_URL"),
        ({"METER_LAKE_URL": "/proc/nothing"}, (), "store", "/proc/nothing"),
        ({}, ("--since", "yesterday"), "configuration", "since 'yesterday'"),
        ({}, ("--again",), "usage", "--again loads jobs again"),
        ({}, ("--strategy", "nope"), "usage", "no strategy 'nope'"),
    ],
)
def test_status_names_what_ended_the_last_sync(
    meter: Command, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], arguments: tuple[str, ...], cause: str,
    said: str,
) -> None:  # fmt: skip
    assert meter("sync").code == 0
    with monkeypatch.context() as wrong:
        for name, value in variables.items():
            wrong.setenv(name, value)
        failed = one_line(meter("sync", *arguments))
    assert said in failed
    last = meter("status").out.splitlines()[-1]
    assert last.startswith("last sync: 20")
    assert f"ended by {cause} (exit code 2): " in last
    assert said in last
    assert meter("status", "--json").document["last_sync"]["ended_by"] == cause
    assert meter("sync").code == 0
    assert "ended by" not in meter("status").out


def test_a_sync_that_ends_before_it_begins_makes_no_ledger(meter: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METER_API_KEY", "")
    assert meter("sync").code == 2
    assert not Path(os.environ["METER_DATA_DIR"]).exists()


def test_jobs_that_failed_at_meter_are_counted_when_they_are_only_listed(shop: Sandbox, meter: Command) -> None:
    shop.insert_job("Books", items=[], status="failed", error="Target answered 503")
    assert meter("sync", "--json").document["strategies"]["books"]["failed"] == 1
    assert "books" not in meter("sync", "--json").document["strategies"]


def test_an_undocumented_status_is_named_by_sync_and_status(shop: Sandbox, meter: Command) -> None:
    odd = shop.insert_job("Books", items=[])
    shop.world.jobs_by_id[odd].extra = {"status": "archived"}
    done = meter("sync")
    assert done.code == 0
    assert "books: 1 job has the unknown status 'archived'" in done.err
    assert f"books: job {odd} has the unknown status 'archived'" in meter("status").out
    (listed,) = meter("status", "--json").document["odd_statuses"]
    assert listed == {"job_id": odd, "strategy": "books", "status": "archived"}


def test_a_row_without_an_id_is_named_by_sync_and_status(shop: Sandbox, meter: Command) -> None:
    odd = shop.insert_job("Books", items=[])
    shop.world.jobs_by_id[odd].extra = {"id": None, "job_id": None}
    done = meter("sync")
    assert done.code == 1
    assert "2 jobs and 2 items loaded" in done.out
    line = "a record is ignored: a row of jobs cannot be used (an object with neither job_id nor id)"
    assert line in done.err
    assert line in meter("status").out


def test_a_damaged_file_of_the_lake_is_named_and_replaced_as_the_line_says(meter: Command, tmp_path: Path) -> None:
    meter("sync")
    meter("publish")
    before = meter("query", "select count(*) from meter.items", "--json").document
    (part,) = (tmp_path / "data/lake/raw").rglob("*.parquet")
    part.write_bytes(part.read_bytes()[:100])
    said = one_line(meter("publish", "--force"))
    assert str(part) in said
    assert "run `meter-pipeline sync --strategy books --again`" in said
    part.unlink()
    assert f"{part} is missing" in one_line(meter("publish", "--force"))
    assert meter("sync", "--strategy", "books", "--again").code == 0
    assert meter("publish").code == 0
    assert meter("query", "select count(*) from meter.items", "--json").document == before


def test_a_damaged_warehouse_is_published_again_also_when_nothing_is_new(meter: Command, tmp_path: Path) -> None:
    meter("sync")
    meter("publish")
    (tmp_path / "data/warehouse.duckdb").write_bytes(b"junk")
    assert "publish it again" in one_line(meter("query", "select 1"))
    assert meter("publish").out.startswith("published ")
    assert meter("query", "select 1").code == 0


def test_a_model_comes_with_a_copy_of_the_shipped_project_where_none_is_yet(meter: Command, tmp_path: Path) -> None:
    meter("sync")
    project = tmp_path / "mine" / "models of mine"
    with closing(Ledger.open(str(tmp_path / "data" / "ledger.sqlite"))) as ledger:
        strategies = ledger.strategies()
    with pytest.raises(ScaffoldError, match="no strategy 'nothing'"):
        write_model(strategies, "nothing", project)
    assert not project.exists()
    write_model(strategies, "books", project)
    assert (project / "models" / "staging" / "results" / "stg_results__books.sql").is_file()
    assert (project / "models" / "marts" / "dim_items.sql").is_file()
    assert not [path for path in project.parent.iterdir() if path != project]
    with pytest.raises(ScaffoldError, match="--force"):
        write_model(strategies, "books", project)
    write_model(strategies, "books", project, force=True)


def test_a_model_is_not_written_into_a_folder_of_something_else(
    meter: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter("sync")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "list.txt").write_text("milk")
    monkeypatch.setenv("METER_DBT_PROJECT", str(tmp_path / "notes"))
    assert "has no dbt_project.yml" in one_line(meter("model", "books"))
    assert [path.name for path in (tmp_path / "notes").iterdir()] == ["list.txt"]

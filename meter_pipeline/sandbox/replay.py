r"""Recorded results, served as Meter's: a folder of JSON Lines, one file per job.

The first line of a file is its header, a JSON object:

    {"strategy": "Country facts", "url": "https://facts.example/all", "completed_at": "2026-03-02T06:00:11Z"}

| key | required | meaning |
|---|---|---|
| `strategy` | yes | name of the strategy; all files with the same name are jobs of the same strategy |
| `url` | yes | the page that was scraped |
| `completed_at` | yes | when the job ended, ISO 8601 (no zone means UTC) |
| `created_at` | no | when it was queued; by default `completed_at` |
| `started_at` | no | when it started; by default `created_at` |
| `job_id` | no | its id; by default made from the strategy and the file's name |
| `schedule` | no | a name; jobs of a strategy with the same name here are runs of the same schedule |
| `status` | no | `completed` (the default) or `failed` |
| `error` | no | why it failed |
| `item_count` | no | the count that the API reports; by default the number of items |
| `parameters` | no | an object: the parameters the job ran with |

Every other line is one item, any JSON value; blank lines are ignored. An item's text is served byte for byte: 30-digit
integers, `NaN`, repeated keys and `\ud800` come out as they went in. Files are named
`*.jsonl` and lie in the folder or in folders below it.

The clock starts at the latest `completed_at`, so that every job is there at once. Where it starts earlier, a job
appears when the clock reaches its `completed_at`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from meter_pipeline.sandbox.clock import parse_instant
from meter_pipeline.sandbox.content import Content, Visit
from meter_pipeline.sandbox.errors import SandboxError
from meter_pipeline.sandbox.records import COMPLETED, FAILED, make_id
from meter_pipeline.sandbox.world import World

_TEXTS = ("strategy", "url", "completed_at", "created_at", "started_at", "job_id", "schedule", "status", "error")
_KEYS = (*_TEXTS, "item_count", "parameters")


@dataclass(frozen=True)
class Recording:
    """A file of a recorded job: its header; the items are read from the file on each call of `content`."""

    path: Path
    header: dict[str, Any]
    completed_at: float

    def content(self) -> Content:
        """The items, as they stand in the file."""
        lines = [line for line in _lines(self.path) if line.strip()]
        return Content(lines[1:], count=self.header.get("item_count"))


@dataclass(frozen=True)
class Playback:
    """The page of a replayed strategy: the latest recording before the visit."""

    recordings: list[Recording]  # oldest first

    def error(self, visit: Visit) -> str | None:
        """Never: a recording is always there."""
        return None

    def content(self, visit: Visit) -> Content:
        """The items of the latest recording of the url, or of any."""
        sound = [recording for recording in self.recordings if recording.header.get("status") != FAILED]
        past = [recording for recording in sound if recording.completed_at <= visit.at] or sound
        same = [recording for recording in past if recording.header["url"] == visit.url]
        return (same or past)[-1].content() if past else Content([])


def read_recordings(folder: Path) -> list[Recording]:
    """Every recording of a folder, in order of completion.

    Raises:
        SandboxError: A file does not have the format; the message names file and line.
    """
    if not folder.is_dir():
        raise SandboxError(f"{folder}: no such folder to replay")
    recordings = [_recording(path) for path in sorted(folder.rglob("*.jsonl"))]
    if not recordings:
        raise SandboxError(f"{folder}: no *.jsonl files to replay")
    return sorted(recordings, key=lambda recording: (recording.completed_at, str(recording.path)))


def replay(world: World, recordings: list[Recording]) -> None:
    """Add the strategies and schedules of the recordings; each job appears when the clock reaches its completion."""
    by_strategy: dict[str, list[Recording]] = {}
    for recording in recordings:
        by_strategy.setdefault(recording.header["strategy"], []).append(recording)
    for name, own in by_strategy.items():
        made_at = min(recording.completed_at for recording in own)
        strategy = world.add_strategy(name, own[0].header["url"], page=Playback(own), created_at=made_at,
                                      description=f"recorded results of {name}")  # fmt: skip
        schedules = _schedules(world, strategy.strategy_id, own)
        for recording in own:
            _appear(world, recording, strategy.strategy_id, schedules.get(recording.header.get("schedule", "")))


def _schedules(world: World, strategy_id: str, recordings: list[Recording]) -> dict[str, str]:
    made: dict[str, str] = {}
    for name in dict.fromkeys(
        recording.header["schedule"] for recording in recordings if recording.header.get("schedule")
    ):
        runs = [recording for recording in recordings if recording.header.get("schedule") == name]
        urls = list(dict.fromkeys(recording.header["url"] for recording in runs))
        times = sorted({recording.completed_at for recording in runs})
        gaps = [later - earlier for earlier, later in pairwise(times)]
        schedule_id = make_id(world.seed, "schedule", strategy_id, name)
        world.add_schedule(
            strategy_id, url=urls[0] if len(urls) == 1 else None, urls=urls if len(urls) > 1 else None,
            interval_seconds=max(60, int(median(gaps))) if gaps else 86400, schedule_id=schedule_id, runs=False,
        )  # fmt: skip
        made[name] = schedule_id
    return made


def _appear(world: World, recording: Recording, strategy_id: str, schedule_id: str | None) -> None:
    header = recording.header

    def insert(_: float) -> None:
        world.insert_job(
            strategy_id, header["url"], recorded=recording,
            schedule=schedule_id if schedule_id in world.schedules else None,
            completed_at=recording.completed_at, created_at=header.get("created_at") or recording.completed_at,
            started_at=header.get("started_at"), status=header.get("status") or COMPLETED, error=header.get("error"),
            job_id=header.get("job_id") or make_id(world.seed, "recording", header["strategy"], recording.path.name),
            parameters=header.get("parameters"),
        )  # fmt: skip

    if recording.completed_at <= world.now:
        insert(world.now)
    else:
        world.expect(recording.completed_at, insert)


def _lines(path: Path) -> list[bytes]:
    return [line.removesuffix(b"\r") for line in path.read_bytes().split(b"\n")]


def _recording(path: Path) -> Recording:
    header: dict[str, Any] | None = None
    completed_at = 0.0
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        value = _value(path, number, line)
        if header is None:
            header = value if isinstance(value, dict) else {}
            try:
                _check_header(header)
                completed_at = parse_instant(header["completed_at"])
                for key in ("created_at", "started_at"):
                    parse_instant(header.get(key) or 0)
            except SandboxError as reason:
                raise SandboxError(f"{path}:{number}: {reason}") from None
    if header is None:
        raise SandboxError(f"{path}:1: the file is empty; its first line is the job's header")
    return Recording(path, header, completed_at)


def _value(path: Path, number: int, line: bytes) -> Any:
    try:
        return json.loads(line.decode("utf-8"))
    except UnicodeDecodeError:
        raise SandboxError(f"{path}:{number}: not UTF-8 text") from None
    except RecursionError:
        return None  # nested deeper than Python reads; served all the same
    except ValueError as reason:
        raise SandboxError(f"{path}:{number}: not JSON: {reason}") from None


def _check_header(header: dict[str, Any]) -> None:
    for key in ("strategy", "url", "completed_at"):
        if not header.get(key):
            raise SandboxError(f"the header has no {key!r}; it must be an object with strategy, url and completed_at")
    for key, value in header.items():
        if key not in _KEYS:
            raise SandboxError(f"the header has an unknown key {key!r}; known are {', '.join(_KEYS)}")
        if key in _TEXTS and value is not None and not isinstance(value, str):
            raise SandboxError(f"{key!r} of the header must be text, not {value!r}")
    if header.get("status") not in (None, COMPLETED, FAILED):
        raise SandboxError(f"'status' of the header must be completed or failed, not {header['status']!r}")
    count, parameters = header.get("item_count"), header.get("parameters")
    if count is not None and (isinstance(count, bool) or not isinstance(count, int)):
        raise SandboxError(f"'item_count' of the header must be a whole number, not {count!r}")
    if parameters is not None and not isinstance(parameters, dict):
        raise SandboxError(f"'parameters' of the header must be an object, not {parameters!r}")

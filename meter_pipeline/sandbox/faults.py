"""The sandbox's switches: what goes wrong, how often, and which of the API's variants is served.

The API's documents leave points open and contradict each other in places; every such point is a switch here, so that
a client can be tested with each variant. Chances depend on the seed, the request and how often it was made before, not
on the order of requests: the same requests meet the same faults, whatever the number of threads.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from meter_pipeline.sandbox.errors import SandboxError
from meter_pipeline.sandbox.pages import noise
from meter_pipeline.text.names import suggest

#: Faults that answer before anything happened, in the order they are drawn.
BEFORE = ("rate_429", "rate_500", "rate_502", "rate_503", "drop_before")
#: Faults that spoil the answer of a request that was carried out.
AFTER = ("drop_after", "error_after", "truncate", "slow", "mix_up", "endless", "bomb")
#: What `all` spreads its rate over.
_ALL = ("rate_429", "rate_500", "rate_502", "rate_503", "drop_before", "truncate", "slow")

_CHOICES = {
    "id_style": ("auto", "id", "typed", "both"),
    "timestamps": ("z", "fraction", "naive", "offset"),
    "envelope": ("", "items", "data", "results", "plural"),
    "results_shape": ("array", "wrapped", "wrapped_list", "object", "nested", "null", "scalar", "scalars"),
    "results_place": ("middle", "first", "last"),
    "marked_key": ("", "marked_seen", "mark_seen", "marked_as_seen"),
    "history_path": ("both", "strategies", "jobs"),
    "compare_form": ("both", "get", "post"),
    "endless_jobs": ("", "new", "again"),
}


@dataclass
class Faults:
    """Every switch with its default. Rates are chances between 0 and 1 per request."""

    # -- faults drawn by chance, on the requests that path and method select
    rate_429: float = 0.0  # with Retry-After
    rate_500: float = 0.0
    rate_502: float = 0.0  # an HTML body, as a proxy sends it
    rate_503: float = 0.0
    drop_before: float = 0.0  # connection closed, nothing was done
    drop_after: float = 0.0  # connection closed, but the request was carried out
    error_after: float = 0.0  # 500, but the request was carried out
    truncate: float = 0.0  # half the body, then the connection is closed
    slow: float = 0.0  # the answer waits for slow_seconds
    mix_up: float = 0.0  # a GET is answered with another resource of its kind, as by a broken cache
    endless: float = 0.0  # the body goes on for ever, as JSON
    bomb: float = 0.0  # the same, compressed a thousand times
    path: str = ""  # regular expression searched in the path: faults and latency hit these requests only
    method: str = ""  # faults hit this method only
    times: int | None = None  # most faults in all; None for no bound
    retry_after: float = 1  # seconds in Retry-After
    slow_seconds: float = 1.0
    latency_ms: float = 0.0  # every answer waits this long
    script: list[str] = field(
        default_factory=list
    )  # kinds of faults for the next requests that path and method select, in order
    fail_jobs: set[str] = field(default_factory=set)  # ids of jobs whose GET always answers 500
    garbage_jobs: set[str] = field(default_factory=set)  # ids of jobs whose GET answers 200 with broken JSON
    rate_limit: int | None = None  # requests per rate_window; adds X-RateLimit headers
    rate_window: float = 1.0  # real seconds

    # -- the API's variants
    no_v1: bool = False
    no_api: bool = False
    id_style: str = "auto"  # auto: as each dialect prints it
    detail_list: bool = False
    delete_204: bool = False
    list_results: bool = False  # rows of the job list carry results
    changes_results: bool = True  # entries of changes carry results
    schedule_ids: bool = True  # job objects carry schedule_id and batch_id
    oldest_first: bool = False  # the list of jobs begins with the oldest
    endless_jobs: str = ""  # the list of jobs never ends: always new jobs, or the same jobs again
    max_limit: int = 100  # a larger limit is lowered without a message
    timestamps: str = "z"
    envelope: str = ""  # lists come inside an object under this key
    results_shape: str = "array"
    results_place: str = "middle"  # where `results` stands among the keys of a job
    history_path: str = "both"  # under /strategies, under /jobs/strategies, or both
    compare_form: str = "both"
    marked_key: str = "marked_seen"
    execute_failed_status: int = 200  # of an execute whose scrape failed
    quota: int = -1  # strategies that may be generated; -1 is no limit

    # -- how the world moves
    poll_steps: int = 2  # GETs until a job that a call created is done, whatever the time; 0: the clock alone decides
    immediate_first_run: bool = False
    insert_between_pages: int = 0  # number of reads of a job list that are each followed by a new job
    change_before_flag: int = 0  # number of previews of changes that are each followed by a new change
    first_is_change: bool = True
    failed_in_changes: bool = False
    filter_flags_hidden: bool = True  # a filtered mark_seen read also marks the entries it hid
    drop_empty: bool = False  # entries a filter left without items are not shown

    # -- webhooks
    webhook_unchanged: bool = True  # runs without changes are sent, too
    webhook_duplicates: float = 0.0
    webhook_reorder: float = 0.0
    webhook_attempts: int = 4
    webhook_backoff: float = 0.2  # real seconds before the second attempt, doubled each time

    def update(self, changes: Mapping[str, Any]) -> None:
        """Set switches by name; `all` spreads a rate evenly over the usual faults.

        Raises:
            SandboxError: A name is unknown or a value invalid; then no switch is changed.
        """
        checked: dict[str, Any] = {}
        for name, value in changes.items():
            if name == "all":
                checked.update({kind: _parse_rate(name, value) / len(_ALL) for kind in _ALL})
            else:
                checked[name] = _parse(name, value)
        for name, value in checked.items():
            setattr(self, name, value)

    def as_dict(self) -> dict[str, Any]:
        """Every switch and its value, ready for JSON."""
        return {
            item.name: sorted(value) if isinstance(value := getattr(self, item.name), set) else value
            for item in dataclasses.fields(self)
        }


def parse_faults(texts: list[str]) -> dict[str, Any]:
    """Parse switches from `name=value` texts of the command line; each name once."""
    switches: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if name.strip() in switches:
            raise SandboxError(f"the switch {name.strip()!r} is given twice: remove one")
        switches[name.strip()] = value.strip() if equals else "true"
    Faults().update(switches)
    return switches


def _parse(name: str, value: Any) -> Any:
    known = {item.name: str(item.type) for item in dataclasses.fields(Faults)}
    if name not in known:
        raise SandboxError(f"no fault is called {name!r}: {suggest(name, known)}")
    kind = known[name]
    if name in BEFORE + AFTER or name in ("webhook_duplicates", "webhook_reorder"):
        return _parse_rate(name, value)
    if name in _CHOICES:
        if value not in _CHOICES[name]:
            raise SandboxError(f"{name} must be one of {', '.join(filter(None, _CHOICES[name]))}, not {value!r}")
        return value
    if kind in ("list[str]", "set[str]"):
        parts = [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else list(value)
        if name == "script" and (wrong := set(parts) - {*BEFORE, *AFTER, "none"}):
            raise SandboxError(f"script accepts {', '.join(BEFORE + AFTER)} or none, not {min(wrong)!r}")
        return parts if kind == "list[str]" else set(parts)
    if kind == "bool":
        return _parse_boolean(name, value)
    if kind == "str":
        return _parse_pattern(name, str(value))
    if "None" in kind and value in (None, "", "none"):
        return None
    return _parse_number(name, value, whole=kind.startswith("int"))


def _parse_rate(name: str, value: Any) -> float:
    rate = float(_parse_number(name, value, whole=False))
    if not 0 <= rate <= 1:
        raise SandboxError(f"{name} must be a rate between 0 and 1, not {value!r}")
    return rate


def _parse_number(name: str, value: Any, *, whole: bool) -> float | int:
    try:
        return int(value) if whole else float(value)
    except (TypeError, ValueError):
        raise SandboxError(f"{name} must be {'a whole number' if whole else 'a number'}, not {value!r}") from None


def _parse_boolean(name: str, value: Any) -> bool:
    words = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    answer = words.get(str(value).lower())
    if answer is None:
        raise SandboxError(f"{name} must be true or false, not {value!r}")
    return answer


def _parse_pattern(name: str, value: str) -> str:
    try:
        re.compile(value)
    except re.error as reason:
        raise SandboxError(f"{name} is not a valid regular expression: {reason}") from None
    return value


class Dice:
    """Decides which fault a request meets."""

    def __init__(self, seed: int, faults: Faults) -> None:
        self._seed = seed
        self._faults = faults
        self._tries: dict[str, int] = {}
        self.injected = 0

    def draw(self, method: str, target: str, path: str) -> str | None:
        """The kind of fault this request meets, or None."""
        faults = self._faults
        rates = [(kind, rate) for kind in BEFORE + AFTER if (rate := getattr(faults, kind))]
        if not rates and not faults.script:
            return None
        if not self.applies(path) or (faults.method and faults.method.upper() != method):
            return None
        if faults.times is not None and self.injected >= faults.times:
            return None
        if faults.script:
            kind = faults.script.pop(0)
            self.injected += kind != "none"
            return None if kind == "none" else kind
        request = f"{method} {target}"
        self._tries[request] = turn = self._tries.get(request, 0) + 1
        chance = noise(self._seed, "fault", request, turn)
        for kind, rate in rates:
            chance -= rate
            if chance < 0:
                self.injected += 1
                return kind
        return None

    def applies(self, path: str) -> bool:
        """Whether faults and latency apply to this path."""
        return not self._faults.path or re.search(self._faults.path, path) is not None

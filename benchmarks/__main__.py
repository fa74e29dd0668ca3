"""``python -m benchmarks``: serves each world, lets each contender load it, checks what arrived, prints the table."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks import account, checks, gate, growth, report, sensing
from benchmarks.account import ACCOUNT
from benchmarks.contenders import CONTENDERS, DLT, DOWNLOAD, FLOOR, TUNED, Contender, environment, imports
from benchmarks.gate import GATE
from benchmarks.growth import GROWTH
from benchmarks.measure import RunFailed, run
from benchmarks.report import Line, Run
from benchmarks.sensing import SENSING
from benchmarks.server import Served
from benchmarks.worlds import QUICK, WORKLOADS, Totals, Workload, write_world

NOTHING_NEW = "nothing-new"
NAMES = (*WORKLOADS, NOTHING_NEW, SENSING, GATE, GROWTH, ACCOUNT)
WARM_UP = Workload("warm-up", 2, 2, 10, "2 strategies x 2 jobs x 10 items")


def main() -> int:
    """Runs what the arguments ask for; 1 when a contender failed or loaded something else than was served."""
    options = _options()
    # So that a stopped benchmark clears up after itself: its folder, its server, the command being measured.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    chosen = [c for c in CONTENDERS if c.name in options.who]
    document: dict[str, Any] = {"machine": _machine(), "contenders": {c.name: c.about for c in chosen}, "workloads": {}}
    print(f"{document['machine']}\n")
    for contender in chosen:
        print(f"{contender.name}: {contender.about}")
    print("peak MB is that of the largest single process; runs of the contenders alternate\n", flush=True)
    with tempfile.TemporaryDirectory(prefix="meter-bench-", dir=options.folder) as temporary:
        try:
            _warm_up(chosen, Path(temporary) / "warm-up", options.timeout)
            for name in options.only:
                place = Path(temporary) / name
                if name == SENSING:
                    document[SENSING] = sensing.measure(place, quick=options.quick)
                elif name == GATE:
                    document[GATE] = gate.measure(
                        place, quick=options.quick, runs=options.runs, timeout=options.timeout
                    )
                elif name == GROWTH:
                    document[GROWTH] = growth.measure(
                        place, quick=options.quick, runs=options.runs, timeout=options.timeout
                    )
                elif name == ACCOUNT:
                    document[ACCOUNT] = account.measure(place, quick=options.quick, timeout=options.timeout)
                else:
                    document["workloads"][name] = _workload(name, chosen, place, options)
        except (RunFailed, checks.LoadDiffers) as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    if options.json:
        options.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=sys.modules["benchmarks"].__doc__)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES), metavar="WORKLOAD", help=str(NAMES))
    names = [c.name for c in CONTENDERS]
    parser.add_argument("--who", nargs="+", choices=names, default=names, metavar="NAME", help=f"of {names}")
    parser.add_argument("--runs", type=int, default=3, help="of each contender; dlt's slow ones do one")
    parser.add_argument("--quick", action="store_true", help="small worlds, one run: does it all work?")
    parser.add_argument("--json", type=Path, help="write the results to this file as well")
    parser.add_argument("--timeout", type=int, default=1800, help="seconds after which a single command is stopped")
    parser.add_argument("--folder", type=Path, help="where to put worlds and loads, if not in the temporary folder")
    options = parser.parse_args()
    if options.runs < 1:
        parser.error("--runs must be 1 or more")
    if options.quick:
        options.runs = 1
    if {DLT, TUNED} & set(options.who) and not _version("dlt"):
        parser.error("dlt is not installed: pip install '.[bench]', or leave it out with --who ours floor download")
    return options


def _machine() -> str:
    load = os.getloadavg()[0]
    text = f"{os.cpu_count()} cores, Python {platform.python_version()}, dlt {_version('dlt')}, "
    text += f"DuckDB {_version('duckdb')}, load average at the start {load:.1f}"
    if load > 0.5 * (os.cpu_count() or 1):
        text += " (the machine is busy: read the CPU columns, not the wall)"
    return text


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _warm_up(chosen: list[Contender], folder: Path, timeout: int) -> None:
    """Lets everyone load a tiny world once, so that no measured run compiles modules or reads them from a cold disk."""
    totals = write_world(WARM_UP, folder / "world")
    with Served(folder / "world") as server:
        for contender in chosen:
            _load(contender, server, folder / contender.name, totals, timeout)


def _workload(name: str, chosen: list[Contender], folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Measures one workload, prints its table, and leaves nothing behind."""
    again = name == NOTHING_NEW
    size = (QUICK if options.quick else WORKLOADS)["small-many" if again else name]
    totals = write_world(size, folder / "world")
    measured = [c for c in chosen if not (again and c.name in (FLOOR, DOWNLOAD)) and not (c.patient and name == "big")]
    lines = [Line(c.name, totals.items) for c in measured]
    once = {c.name for c in chosen if c.patient and not again} | ({TUNED} if name == "big" else set())
    with Served(folder / "world") as server:
        if again:
            for contender in measured:
                _load(contender, server, folder / contender.name, totals, options.timeout)
            lines.append(Line("start-up", 0))
        for number in range(options.runs):
            for line in lines:
                if line.who in once and number > 0:
                    continue
                line.runs.append(_one(line.who, server, folder, totals, options.timeout, again=again))
    title = f"{name}: a second load of it, {size.about}" if again else f"{name}: {size.about}"
    print(report.table(f"{title} ({totals.body_bytes / 1e6:,.0f} MB of bodies)", lines) + "\n", flush=True)
    shutil.rmtree(folder)
    return {
        "about": size.about,
        "totals": vars(totals),
        "lines": [line.as_dict() for line in lines],
        "dlt_over_ours": report.ratios(lines),
        "over_floor": report.over_floor(lines),
    }


def _one(who: str, server: Served, folder: Path, totals: Totals, timeout: int, *, again: bool) -> Run:
    """One measured run: into an empty folder, or, `again`, into the one that is loaded already."""
    contender = next((c for c in CONTENDERS if c.name == who), None)
    if contender is None:
        cost = run(imports(), folder=folder / who, env=environment(server.url, folder / who), timeout=timeout)
        return Run({"imports": cost}, 0)
    if not again:
        shutil.rmtree(folder / who, ignore_errors=True)
    return _load(contender, server, folder / who, totals, timeout)


def _load(contender: Contender, server: Served, folder: Path, totals: Totals, timeout: int) -> Run:
    """Runs a contender's steps and checks what it loaded."""
    server.reset()
    env = environment(server.url, folder)
    steps = {
        name: run(command, folder=folder, env=env, timeout=timeout)
        for name, command in contender.steps(server.url, folder).items()
    }
    counts = server.counts()
    if contender.sums is not None:
        checks.compare(contender.name, totals, contender.sums(folder))
    return Run(steps, sum(number for kind, number in counts.items() if kind != "connections"))


if __name__ == "__main__":
    sys.exit(main())

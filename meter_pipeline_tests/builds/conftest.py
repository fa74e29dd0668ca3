"""Fixtures of what is built: a wheel in an environment of its own, and an empty folder to work in."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

from meter_pipeline_tests.builds.building import build, copy_tree, install, unpack


@dataclass(frozen=True)
class Desk:
    """An environment and a folder to work in, with nothing configured."""

    programs: Path
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a machine on which nothing is configured; how memory is allocated is the Makefile's."""
        allocation = {name: os.environ[name] for name in ("GLIBC_TUNABLES", "PYTHONMALLOC") if name in os.environ}
        home = self.folder.parent / "home"
        return {"PATH": "/usr/bin:/bin", "HOME": str(home), "COLUMNS": "140", **allocation}

    @property
    def command(self) -> str:
        """The `meter-pipeline` that the wheel has installed."""
        return str(self.programs / "meter-pipeline")

    def run(self, *arguments: str, **variables: str) -> str:
        """What a command prints; nothing may go wrong, and nothing be said about it."""
        done = subprocess.run(
            [self.command, *arguments],
            cwd=self.folder, env={**self.environment, **variables}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        return done.stdout

    def installed(self) -> dict[Path, tuple[int, int]]:
        """Size and time of every file of the environment, without what Python compiles."""
        files = (path for path in self.programs.parent.rglob("*") if path.is_file() and path.suffix != ".pyc")
        return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


@pytest.fixture(scope="session")
def make_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], Path]], Path]:
    """Makes something in a folder that all processes of this run share: the first one makes it, the others wait."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent

    def make(name: str, function: Callable[[Path], Path]) -> Path:
        folder, made = shared / name, shared / f"{name}.made"
        with FileLock(shared / f"{name}.lock"):
            if not made.exists():
                # Of a process that failed to make it.
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                made.write_text(str(function(folder)))
            return Path(made.read_text())

    return make


@pytest.fixture(scope="session")
def wheel(make_once: Callable[[str, Callable[[Path], Path]], Path]) -> Path:
    """The wheel of the sdist of the tree."""

    def make(root: Path) -> Path:
        tree = unpack(build(copy_tree(root / "tree"), "sdist", root / "sdist"), root / "unpacked")
        return build(tree, "wheel", root / "dist")

    return make_once("built", make)


@pytest.fixture(scope="session")
def programs(wheel: Path, make_once: Callable[[str, Callable[[Path], Path]], Path]) -> Path:
    """The programs of an environment in which the wheel is installed with all extras."""
    return make_once("all", lambda root: install(wheel, root / "environment", "all"))


@pytest.fixture(scope="module")
def desk(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """The wheel with all extras; nothing has been done yet."""
    return _desk(programs, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def bare_desk(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """The same wheel, installed without any extra."""
    root = tmp_path_factory.mktemp("core")
    return _desk(install(wheel, root / "environment"), root)


def _desk(programs: Path, root: Path) -> Desk:
    for name in ("desk", "home"):
        (root / name).mkdir()
    return Desk(programs, root / "desk")

"""Builds of the package: from a copy of the tree, and a wheel in an environment that has nothing but what it needs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution, distributions, requires
from importlib.util import cache_from_source
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
_OURS = "meter-pipeline"
# What a checkout gathers in use, and what no build of it needs.
_GATHERED = (".git", ".venv", "__pycache__", ".*_cache", ".hypothesis", "data", ".env", "tmp*")


def copy_tree(folder: Path) -> Path:
    """A copy of the repository's files without what Git knows: as an archive of it, unpacked somewhere."""
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*_GATHERED, ".gitignore"))
    return folder


def build(tree: Path, kind: str, out: Path) -> Path:
    """Builds an `sdist` or a `wheel` of a tree into the folder `out`; returns its file."""
    out.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(out)],
        cwd=tree, check=True, capture_output=True,
    )  # fmt: skip
    (built,) = out.glob("*.tar.gz" if kind == "sdist" else "*.whl")
    return built


def unpack(sdist: Path, folder: Path) -> Path:
    """Unpacks an sdist; returns the tree in it."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (tree,) = folder.iterdir()
    return tree


def install(wheel: Path, folder: Path, *extras: str) -> Path:
    """Makes an environment of the wheel and the packages it requires, and of no others; returns its `bin`.

    The required packages are hard links to those that are installed here: what an install of the pinned versions gives,
    in seconds. A package that is missing from the wheel's requirements is missing there.

    Args:
        wheel: The built package.
        folder: Where the environment is made.
        extras: Extras of the package that are installed with it.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True)
    here = Path(sysconfig.get_path("purelib"))
    there = folder / python.parent.parent.joinpath(here.relative_to(sys.prefix)).relative_to(folder)
    (built,) = distributions(name=_OURS, path=[str(there)])
    for name in _find_required(built, frozenset(extras)):
        _link(distribution(name), here, there)
    return python.parent


def _find_required(built: Distribution, extras: frozenset[str]) -> set[str]:
    """The names of all packages that come with a build of ours and some of its extras, without its own."""
    found: set[tuple[str, frozenset[str]]] = set()
    waiting = [(_OURS, extras)]
    while waiting:
        package = waiting.pop()
        if package in found:
            continue
        found.add(package)
        name, chosen = package
        requirements = built.requires if name == _OURS else requires(name)
        for requirement in map(Requirement, requirements or ()):
            marker = requirement.marker
            if not marker or any(marker.evaluate({"extra": extra}) for extra in chosen | {""}):
                waiting.append((canonicalize_name(requirement.name), frozenset(requirement.extras)))
    return {name for name, _ in found} - {_OURS}


def _link(package: Distribution, here: Path, there: Path) -> None:
    for file in _files(package, here):
        target = there / file.relative_to(here)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(file, target)
        except FileExistsError:
            continue
        except OSError:
            shutil.copy2(file, target)


def _files(package: Distribution, here: Path) -> Iterator[Path]:
    """The files of a package below the folder of all packages, compiled ones too."""
    for name in package.files or ():
        file = Path(os.path.normpath(str(package.locate_file(name))))
        if file.is_relative_to(here) and file.is_file():
            yield file
            if file.suffix == ".py" and (compiled := Path(cache_from_source(str(file)))).is_file():
                yield compiled

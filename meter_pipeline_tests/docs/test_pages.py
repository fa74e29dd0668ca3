"""What the pages name exists: files, headings, settings with their defaults."""

from __future__ import annotations

import ast
import re
from dataclasses import fields
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from dotenv import dotenv_values

from meter_pipeline import MeterComponent
from meter_pipeline.config import settings
from meter_pipeline.config.settings import Settings
from meter_pipeline.host.sizes import parse_size
from meter_pipeline.sandbox import KINDS
from meter_pipeline_tests.docs.snippets import PAGES, ROOT

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_PATH = re.compile(r"`((?:[\w.-]+/)+(?:[\w.-]+\.(?:py|sql|yml|yaml|md|toml|txt))?|[\w-]+\.py)`")
# Where paths on the pages begin.
_ROOTS = (ROOT, ROOT / "meter_pipeline", ROOT / "meter_pipeline_tests")
# Written by a make target.
_GENERATED = "docs/cli.md"
_MADE = (_GENERATED, "htmlcov/", "data/")
_README_LINES = 150


def _read(page: Path) -> str:
    return page.read_text("utf-8")


def _headings(page: Path) -> set[str]:
    """Anchors as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", _read(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(_read(page)):
        if re.match(r"https?:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if target == ROOT / _GENERATED:
            assert _GENERATED in _read(ROOT / "Makefile")
            continue
        assert target.exists(), link
        assert not anchor or anchor in _headings(target), link


def test_the_index_leads_to_every_page() -> None:
    linked = {link.partition("#")[0] for link in _LINK.findall(_read(ROOT / "docs" / "index.md"))}
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - linked == {"index.md"}


@pytest.mark.parametrize("name", ["docs/architecture.md", "docs/decisions.md", "docs/glossary.md", "CONTRIBUTING.md"])
def test_paths_of_the_code_exist(name: str) -> None:
    text = re.sub(r"<[^>]+>\.\w+", "", _read(ROOT / name))
    for path in _PATH.findall(text):
        if path.startswith(_MADE):
            continue
        assert any((root / path).exists() for root in _ROOTS), f"{name}: {path}"


def test_the_drawing_of_the_architecture_names_files_that_exist() -> None:
    (drawing,) = re.findall(
        r"## The path of a job\n.*?```mermaid\n(.*?)```", _read(ROOT / "docs/architecture.md"), re.S
    )
    paths = re.findall(r"\b(?:api|sync|store)(?:/\w+)+(?:\.py|/)?", drawing)
    assert len(paths) > 8
    for path in paths:
        assert (ROOT / "meter_pipeline" / path).exists(), path


def test_imports_go_down_the_floors_of_the_architecture_only() -> None:
    (drawing,) = re.findall(r"## The floors\n.*?```text\n(.*?)```", _read(ROOT / "docs/architecture.md"), re.S)
    # What stands before the first wide gap; the rest of a line is a description.
    rows = [re.split(r"  +", line)[0].split() for line in drawing.splitlines()]
    floors = {name.removesuffix("/").removesuffix(".py"): -depth for depth, names in enumerate(rows) for name in names}
    package = ROOT / "meter_pipeline"
    climbing = []
    for path in package.rglob("*.py"):
        room = path.relative_to(package).with_suffix("").parts[0]
        for imported in _imported_rooms(path):
            if room != "__init__" and floors[imported] > floors[room]:
                climbing.append(f"{path.relative_to(ROOT)} imports {imported}")
    assert climbing == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in (ROOT / "meter_pipeline").rglob("*.py")
    }
    imports = {
        module: {name if name in modules else name.rpartition(".")[0] for name in _imported_names(path)}
        for module, path in modules.items()
    }
    TopologicalSorter(imports).prepare()


def _imported_rooms(path: Path) -> set[str]:
    """First names below `meter_pipeline` of all imports of a module."""
    below = {name.split(".")[1] for name in _imported_names(path)}
    return {name for name in below if (ROOT / "meter_pipeline" / name).is_dir() or _is_module(name)}


def _imported_names(path: Path) -> set[str]:
    """Dotted names below `meter_pipeline` of all imports of a module, also of those inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name for name in names if name.startswith("meter_pipeline.")}


def _is_module(name: str) -> bool:
    return (ROOT / "meter_pipeline" / f"{name}.py").is_file()


def test_the_readme_is_short() -> None:
    assert len(_read(ROOT / "README.md").splitlines()) <= _README_LINES


def _rows(page: str) -> dict[str, str]:
    """Setting to default, as a page's tables have them."""
    return dict(re.findall(r"^\| `(METER_\w+)` \| (.*?) \|", _read(ROOT / "docs" / page), re.MULTILINE))


def test_the_page_of_settings_has_every_variable_that_is_read() -> None:
    read = set(re.findall(r'"(METER_[A-Z_]+)"', Path(settings.__file__).read_text("utf-8")))
    assert set(settings.VARIABLES) <= read
    assert set(_rows("settings.md")) == {name for name in read if not name.startswith("METER_DBT_")} | {
        "METER_DBT_PROJECT"
    }


def test_the_page_of_settings_has_the_defaults() -> None:
    rows, defaults = _rows("settings.md"), Settings()
    assert rows["METER_BASE_URL"] == f"`{defaults.base_url}`"
    assert rows["METER_API_PREFIX"] == f"`{defaults.api_prefix}`"
    assert rows["METER_DATA_DIR"] == f"`{defaults.data_dir}`"
    assert f"`{defaults.spool.name}` " in rows["METER_SPOOL_DIR"]
    for name in ("max_body", "max_record", "max_page", "keep_free"):
        assert parse_size(rows[f"METER_{name.upper()}"].strip("`")) == getattr(defaults, name)
    without = {f"METER_{field.name.upper()}" for field in fields(Settings) if getattr(defaults, field.name) is None}
    assert {name for name, default in rows.items() if default == "none"} <= without


def test_the_example_of_an_env_file_names_settings_alone() -> None:
    text = _read(ROOT / ".env.example")
    names = dotenv_values(ROOT / ".env.example").keys() | set(re.findall(r"^# (METER_\w+)=", text, re.MULTILINE))
    assert names <= set(_rows("settings.md"))


def test_the_page_of_dagster_has_every_attribute_of_the_component() -> None:
    text = _read(ROOT / "docs" / "dagster.md")
    table = text[text.index("| attribute |") : text.index("Several accounts are several")]
    assert set(re.findall(r"`(\w+)`", "".join(row.split("|")[1] for row in table.splitlines() if row))) == set(
        MeterComponent.model_fields
    )


def test_every_alteration_of_the_sandbox_is_on_its_page() -> None:
    rows = re.findall(r"^\| `(\w+)`(?: \(field\))? \| (.+) \|$", _read(ROOT / "docs" / "sandbox.md"), re.MULTILINE)
    assert dict(rows) == {kind.name: kind.about for kind in KINDS.values()}

"""What the pages name exists: files, headings, settings with their defaults."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
from dotenv import dotenv_values

from meter_pipeline import MeterComponent
from meter_pipeline.config import settings
from meter_pipeline.config.settings import Settings
from meter_pipeline.host.sizes import parse_size
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

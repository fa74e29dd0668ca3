"""The fenced code blocks of the README and the pages of `docs/`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[2]
# `docs/cli.md` is generated from `--help` and has a test of its own.
PAGES = (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *(page for page in sorted((ROOT / "docs").glob("*.md")) if page.name != "cli.md"),
)
_FENCE = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^\n]+) -->\n)?"
    r"^(?P<indent> *)```(?P<language>[^\n]*)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Snippet:
    """A fenced block.

    Attributes:
        page: Name of the file, relative to the repository.
        line: Line of the opening fence, from 1.
        language: What stands behind the fence; empty when nothing does.
        text: The block without its indentation.
        reason: Why it is not run, None for a block that is.
    """

    page: str
    line: int
    language: str
    text: str
    reason: str | None = None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def read_snippets() -> list[Snippet]:
    """All blocks, page by page from top to bottom."""
    return [snippet for page in PAGES for snippet in parse(page.relative_to(ROOT).as_posix(), page.read_text("utf-8"))]


def parse(page: str, markdown: str) -> Iterator[Snippet]:
    """The blocks of one page."""
    for found in _FENCE.finditer(markdown):
        line = markdown.count("\n", 0, found.start("indent")) + 1
        yield Snippet(page, line, found["language"].strip(), dedent(found["text"]), found["reason"])

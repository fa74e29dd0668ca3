"""Names that are imported on first use: type checkers see them, too."""

from __future__ import annotations

import ast
from pathlib import Path
from types import ModuleType

import pytest

import meter_pipeline
import meter_pipeline.store


@pytest.mark.parametrize("module", [meter_pipeline, meter_pipeline.store], ids=lambda module: module.__name__)
def test_every_public_name_is_imported_where_a_type_checker_finds_it(module: ModuleType) -> None:
    tree = ast.parse(Path(str(module.__file__)).read_text())
    homes = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name in module.__all__
    }
    assert set(homes) == set(module.__all__)
    for name, home in homes.items():
        assert getattr(__import__(str(home), fromlist=[name]), name) is getattr(module, name)

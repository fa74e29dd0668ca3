"""A sandbox's data is named as such on every page, and Meter's is not."""

from __future__ import annotations

from datetime import datetime, timezone

import dagster as dg

from meter_pipeline.config import origin
from meter_pipeline_tests.defs.conftest import Pipeline

_NOTICE = "Made-up data of the sandbox, not of Meter."


def _descriptions(pipeline: Pipeline) -> dict[dg.AssetKey, str]:
    graph = pipeline.defs().resolve_asset_graph()
    return {key: graph.get(key).description or "" for key in graph.get_all_asset_keys()}


def test_every_page_and_materialisation_of_a_sandboxs_data_says_that_it_is_made_up(pipeline: Pipeline) -> None:
    origin.write(pipeline.settings.data_dir, origin.Origin(reached=datetime(2026, 3, 2, tzinfo=timezone.utc)))
    result = pipeline.run()
    events = result.get_asset_materialization_events()
    # Those of strategies that have no asset yet among them.
    assert {"results/books", "meter/jobs", "meter/job_comparisons", "warehouse"} <= {
        event.asset_key.to_user_string() for event in events if event.asset_key
    }
    assert {str(event.materialization.metadata["data origin"].value) for event in events} == {_NOTICE}
    described = _descriptions(pipeline).values()
    assert all(text.endswith(f"\n\n{_NOTICE}") for text in described)
    # The catalog and the graph show how a description begins, and no markdown.
    assert not [text for text in described if text.startswith(("*", _NOTICE))]
    node = pipeline.defs().resolve_asset_graph().get(dg.AssetKey(["results", "books"]))
    assert node.tags["meter/sandbox"] == "made-up-data"


def test_meters_data_has_no_such_note(pipeline: Pipeline) -> None:
    result = pipeline.run()
    assert not any(
        "data origin" in event.materialization.metadata for event in result.get_asset_materialization_events()
    )
    assert not any("Made-up" in text for text in _descriptions(pipeline).values())

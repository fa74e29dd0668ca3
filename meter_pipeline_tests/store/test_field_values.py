"""Values of objects by field are the same as those that each object gives by itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_pipeline.store import field_values
from meter_pipeline.store.field_values import FieldValues

OBJECTS = st.lists(st.dictionaries(st.sampled_from("abcdef"), st.none() | st.integers(0, 3), max_size=6), max_size=8)


@pytest.mark.parametrize("most_cells", [0, 10, 1_000])
@given(objects=OBJECTS)
def test_values_by_field_are_those_of_each_object(most_cells: int, objects: list[dict[str, int | None]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(field_values, "_MOST_CELLS", most_cells)
        values = FieldValues(objects)
        assert list(values.names) == list(dict.fromkeys(name for item in objects for name in item))
        for name in "abcdefg":
            assert list(values[name]) == [item.get(name) for item in objects]
            found = dict(zip(*values.present(name), strict=True))
            assert found.keys() >= {place for place, item in enumerate(objects) if name in item}
            assert all(objects[place].get(name) == value for place, value in found.items())

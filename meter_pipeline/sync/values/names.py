"""Names of the typed columns beside a field."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import count


def choose_names(
    field: str, suffixes: Iterable[str], taken: Collection[str], chosen: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Names of a field's typed columns: `price_amount` and `price_currency` for `price`.

    A name that another column has gets a number behind it. Letters' case makes no difference, as in SQL.

    Args:
        field: Name of the field; the dots of a path become underscores.
        suffixes: Suffixes of the columns, as in `Reading.columns`.
        taken: Names of all other columns: received fields, and typed columns of other fields.
        chosen: Names chosen before, by suffix. They stay, unless a column in `taken` now has the name.

    Returns:
        Names by suffix.
    """
    used = {name.casefold() for name in taken} | {field.casefold()}
    names: dict[str, str] = {}
    base = field.replace(".", "_")
    for suffix in suffixes:
        before = (chosen or {}).get(suffix)
        ended = base.casefold().endswith(suffix)
        wanted = f"{base}_value" if ended else f"{base}_{suffix}"
        candidates = (wanted if number == 1 else f"{wanted}_{number}" for number in count(1))
        name = before if before and before.casefold() not in used else None
        names[suffix] = name or next(name for name in candidates if name.casefold() not in used)
        used.add(names[suffix].casefold())
    return names

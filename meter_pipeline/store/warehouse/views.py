"""SQL of the change feed in the warehouse: numbers in texts, and `meter.item_changes`."""

from __future__ import annotations

from meter_pipeline.text import money


def _quote(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


_AMOUNT, _AMONG_WORDS = _quote(money.AMOUNT), _quote(money.AMOUNT_AMONG_WORDS)
_GROUPINGS = "\n".join(
    f"WHEN {'has_currency AND ' if grouping.needs_currency else ''}regexp_matches(digits, {_quote(grouping.pattern)}) "
    f"THEN replace(replace(digits, '{grouping.mark}', ''), ',', '.')"
    for grouping in money.GROUPINGS
)
_TEXT = (
    "CASE WHEN starts_with(value, '\"') THEN json_extract_string(CASE WHEN json_valid(value) THEN value END, '$') END"
)

# What counts as money is declared in `meter_pipeline.text.money`. `value` is the JSON text of a value.
MACROS = (
    # The text of a JSON text, and NULL for any other value.
    f"CREATE MACRO meter.json_text(value) AS {_TEXT}",
    # An amount's digits with a dot for the decimal mark.
    f"""
    CREATE MACRO meter.plain_digits(digits, has_currency) AS CASE
        WHEN regexp_matches(digits, {_quote(money.LEADING_ZERO)}) AND NOT has_currency THEN NULL
        {_GROUPINGS}
        ELSE replace(digits, ',', '.')
    END
    """,
    f"CREATE MACRO meter.amount(sign, digits, has_currency) AS "
    f"(CASE WHEN sign IN ({', '.join(map(_quote, money.MINUS))}) THEN -1 ELSE 1 END) * TRY_CAST(meter.plain_digits("
    f"regexp_replace(digits, {_quote(money.NOT_DIGITS)}, '', 'g'), has_currency) AS DOUBLE)",
    # Sign, currency, sign, digits, currency.
    f"CREATE MACRO meter.money_part(text, part) AS regexp_extract(text, {_AMOUNT}, part)",
    """
    CREATE MACRO meter.money_alone(text) AS meter.amount(
        meter.money_part(text, 1) || meter.money_part(text, 3),
        nullif(meter.money_part(text, 4), ''),
        meter.money_part(text, 2) || meter.money_part(text, 5) <> ''
    )
    """,
    f"""
    CREATE MACRO meter.money(text) AS
    CASE WHEN length(text) <= {money.MAX_LENGTH} AND regexp_matches(text, '[0-9]') THEN coalesce(
        meter.money_alone(text), meter.money_alone(regexp_extract(text, {_AMONG_WORDS}, 1))
    ) END
    """,
    r"""
    CREATE MACRO meter.number(value) AS CASE
        WHEN regexp_matches(value, '^-?[0-9]') THEN
            CASE WHEN isfinite(TRY_CAST(value AS DOUBLE)) THEN TRY_CAST(value AS DOUBLE) END
        WHEN starts_with(value, '"') THEN meter.money(meter.json_text(value))
    END
    """,
    # The currency of an amount, as it is written; NULL where there is no amount or no currency beyond doubt. It calls
    # no other macro: from a database that the warehouse is attached to, DuckDB does not find macros within a macro.
    f"""
    CREATE MACRO meter.currency(value) AS CASE WHEN length({_TEXT}) <= {money.MAX_LENGTH} THEN nullif(rtrim(
        regexp_extract(
            coalesce(
                nullif(regexp_extract({_TEXT}, {_AMOUNT}, 0), ''), regexp_extract({_TEXT}, {_AMONG_WORDS}, 1)
            ),
            {_quote(money.CURRENCY)}
        ), '.'), '')
    END
    """,
)


def item_changes(rows: str) -> str:
    """The view's query.

    Args:
        rows: A query of the lake's `changes`, with `strategy`.
    """
    return f"""
    SELECT
        strategy, job_id, previous_job_id, schedule_id, url, parameters, item_key, kind, field,
        old_value, new_value, observed_at, old_number, new_number,
        new_number / nullif(old_number, 0) - 1 AS relative_change
    FROM ({rows})
    """  # noqa: S608

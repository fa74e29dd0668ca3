"""SQL of the change feed in the warehouse: numbers in texts, `meter.item_changes`, `meter.item_versions`."""

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
        WHEN regexp_matches(value, '^-?[0-9]') THEN TRY_CAST(value AS DOUBLE)
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
    SELECT *, new_number / nullif(old_number, 0) - 1 AS relative_change
    FROM (
        SELECT
            strategy, job_id, previous_job_id, schedule_id, url, parameters, item_key, kind, field,
            old_value, new_value, observed_at,
            CASE WHEN kind = 'changed' THEN meter.number(old_value) END AS old_number,
            CASE WHEN kind = 'changed' THEN meter.number(new_value) END AS new_number
        FROM ({rows})
    )
    """  # noqa: S608


def item_versions(changes: str, keys: str, items: str) -> str:
    """The view's query: an item's states, from the items of a target's first job and every change since.

    Args:
        changes: A query of the lake's `changes`, with `strategy`.
        keys: A query of all strategies' results: `strategy`, job, item index, key and hash.
        items: A query of the lake's `raw`, with `strategy`.
    """
    return f"""
    WITH accepted AS (
        SELECT
            strategy, job_id, url, parameters, completed_at,
            coalesce(url, '') AS page, coalesce(parameters, '') AS asked,
            row_number() OVER (
                PARTITION BY strategy, coalesce(url, ''), coalesce(parameters, '') ORDER BY completed_at, job_id
            ) AS place,
            last_value(job_id) OVER (
                PARTITION BY strategy, coalesce(url, ''), coalesce(parameters, '') ORDER BY completed_at, job_id
                ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
            ) AS latest_job_id
        FROM meter.jobs
        WHERE state = 'accepted'
    ),
    keyed AS (
        SELECT
            strategy, _meter_job_id AS job_id, _meter_item_index AS item_index, _meter_item_key AS item_key,
            _meter_item_hash AS item_hash
        FROM ({keys})
    ),
    changed AS (
        SELECT DISTINCT strategy, job_id, previous_job_id, item_key, kind FROM ({changes})
    ),
    events AS (
        SELECT accepted.strategy, job_id, NULL AS previous_job_id, item_key, 'added' AS kind
        FROM accepted JOIN keyed USING (strategy, job_id)
        WHERE place = 1
        UNION ALL
        SELECT strategy, job_id, previous_job_id, item_key, kind FROM changed
    ),
    placed AS (
        SELECT
            events.*, accepted.url, accepted.parameters, accepted.completed_at, accepted.latest_job_id,
            lead(accepted.completed_at) OVER following AS next_at,
            lead(events.previous_job_id) OVER following AS last_job_id,
            count(*) FILTER (kind <> 'removed') OVER (following ROWS UNBOUNDED PRECEDING) AS version
        FROM events JOIN accepted USING (strategy, job_id)
        WINDOW following AS (PARTITION BY events.strategy, page, asked, item_key ORDER BY place)
    )
    SELECT
        strategy, url, parameters, item_key, version,
        completed_at AS valid_from, next_at AS valid_to, next_at IS NULL AS is_current,
        job_id AS first_job_id, coalesce(last_job_id, latest_job_id) AS last_job_id,
        item_hash, item
    FROM placed
    JOIN keyed USING (strategy, job_id, item_key)
    JOIN (SELECT strategy, job_id, item_index, item FROM ({items})) USING (strategy, job_id, item_index)
    WHERE kind <> 'removed'
    """  # noqa: S608

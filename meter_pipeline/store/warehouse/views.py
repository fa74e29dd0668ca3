"""SQL of the change feed in the warehouse: numbers in texts, `meter.item_changes`, `meter.item_versions`."""

from __future__ import annotations

# Macros take the JSON text of a value. What counts as money: a number with at most one currency around it, digits in
# groups or not. The last of two different marks is the decimal one; one mark alone groups when it occurs more than
# once, or stands before exactly three digits as a comma, or as a dot in an amount with a currency. Words around it
# ("from £5", "£3.99 each", "€2/kg") do no harm where there is no second number that might be meant, and the currency
# is beyond doubt.
_DOLLARS = r"(?:US|CA|AU|NZ|HK|NT|MX|R|C|A|S)?\$"
_CODES = (
    "AED|AUD|BGN|BRL|CAD|CHF|CLP|CNY|COP|CZK|DKK|EGP|EUR|GBP|HKD|HUF|IDR|ILS|INR|JPY|KRW|MAD|MXN|MYR|NGN|NOK|NZD|PEN|"
    "PHP|PKR|PLN|QAR|RON|RSD|RUB|SAR|SEK|SGD|THB|TRY|TWD|UAH|USD|VND|ZAR"
)
_NAMES = r"kr\.?|zł|Kč|Ft|Fr\.|lei|лв\.?|руб\.?|Rs\.?|円|元"
_CURRENCY = rf"(?:\p{{Sc}}|{_DOLLARS}|[A-Z]{{3}}|{_NAMES})"
_SURE = rf"(?:\p{{Sc}}|{_DOLLARS}|{_CODES}|{_NAMES})"
_SPACE = r"[\s\x{A0}\x{202F}\x{2009}]"
_DIGITS = (
    r"(?:\d+(?:[.,]\d+)?|\d{1,2}(?:,\d{2})+,\d{3}(?:\.\d+)?"
    r"|\d{1,3}(?:[.,'’\x{A0}\x{202F}\x{2009} ]\d{3})+(?:[.,]\d+)?)"
)
_SIGN = "([-−+]?)"
_ROUND = "(?:[,.][-–—])?"
_MONEY = rf"^~*{_SIGN}~*({_CURRENCY}?)~*{_SIGN}({_DIGITS}){_ROUND}~*({_CURRENCY}?){_ROUND}~*$".replace("~", _SPACE)
_WORDS = r"[^\d\p{Sc}]*"
_AMONG_WORDS = (
    rf"^~*(?:[^\d\p{{Sc}}(]{_WORDS}[\s:(])?([-−]?{_SURE}~*{_DIGITS}|[-−]?{_DIGITS}~*{_SURE}){_ROUND}(?:[\s/(),;*]{_WORDS})?$"
).replace("~", _SPACE)
_QUOTED, _QUOTED_AMONG_WORDS = (pattern.replace("'", "''") for pattern in (_MONEY, _AMONG_WORDS))

MACROS = (
    # The text of a JSON text, and NULL for any other value.
    "CREATE MACRO meter.json_text(value) AS CASE WHEN starts_with(value, '\"') "
    "THEN json_extract_string(CASE WHEN json_valid(value) THEN value END, '$') END",
    # An amount's digits with a dot for the decimal mark.
    r"""
    CREATE MACRO meter.plain_digits(digits, has_currency) AS CASE
        WHEN regexp_matches(digits, '^0\d') AND NOT has_currency THEN NULL
        WHEN regexp_matches(digits, '\..*,') THEN replace(replace(digits, '.', ''), ',', '.')
        WHEN regexp_matches(digits, ',.*\.') THEN replace(digits, ',', '')
        WHEN regexp_matches(digits, '^[1-9]\d{0,2}(,\d{3})+$') THEN replace(digits, ',', '')
        WHEN regexp_matches(digits, '^[1-9]\d?(,\d{2})+,\d{3}$') THEN replace(digits, ',', '')
        WHEN regexp_matches(digits, '^[1-9]\d{0,2}(\.\d{3}){2,}$') THEN replace(digits, '.', '')
        WHEN has_currency AND regexp_matches(digits, '^[1-9]\d{0,2}\.\d{3}$') THEN replace(digits, '.', '')
        ELSE replace(digits, ',', '.')
    END
    """,
    "CREATE MACRO meter.amount(sign, digits, has_currency) AS "
    "(CASE WHEN sign IN ('-', '−') THEN -1 ELSE 1 END) * TRY_CAST(meter.plain_digits("
    r"regexp_replace(digits, '[^0-9.,]', '', 'g'), has_currency) AS DOUBLE)",
    # Sign, currency, sign, digits, currency.
    f"CREATE MACRO meter.money_part(text, part) AS regexp_extract(text, '{_QUOTED}', part)",
    """
    CREATE MACRO meter.money_alone(text) AS meter.amount(
        meter.money_part(text, 1) || meter.money_part(text, 3),
        nullif(meter.money_part(text, 4), ''),
        meter.money_part(text, 2) || meter.money_part(text, 5) <> ''
    )
    """,
    rf"""
    CREATE MACRO meter.money(text) AS CASE WHEN length(text) <= 40 AND regexp_matches(text, '\d') THEN coalesce(
        meter.money_alone(text), meter.money_alone(regexp_extract(text, '{_QUOTED_AMONG_WORDS}', 1))
    ) END
    """,
    r"""
    CREATE MACRO meter.number(value) AS CASE
        WHEN regexp_matches(value, '^-?\d') THEN TRY_CAST(value AS DOUBLE)
        WHEN starts_with(value, '"') THEN meter.money(meter.json_text(value))
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

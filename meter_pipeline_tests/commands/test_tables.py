"""Tables as people see them: they fit, no word or number is broken, and what is not shown is named."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from io import StringIO
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from meter_pipeline.commands.tables import Layout, draw_table, format_cell, shorten

ID = "0a7d2c7e-2a52-4d3d-8a61-9a8e1b9f4f02"
BOOK: dict[str, Any] = {
    "_meter_job_id": ID,
    "_meter_url": "https://books.example/new",
    "_meter_item_index": 0,
    "_meter_item_hash": "7be5bd674f1a689b2fe933d985160d0e",
    "title": "The Winter Tables",
    "author": "Goran Ilić",
    "price": "€9.80",
    "stock": 1529877576591609859,
    "link": "https://books.example/new/winter/tables/1",
}


def drawn(names: Sequence[str], rows: Sequence[Sequence[object]], width: int | None, **layout: Any) -> list[str]:
    """The lines of a table."""
    out = StringIO()
    console = Console(file=out, width=width or 10**9, highlight=False)
    draw_table(console, names, rows, Layout(width, full_options=("--csv", "--json", "--vertical"), **layout))
    return out.getvalue().splitlines()


def books(width: int | None, rows: int = 2, **layout: Any) -> list[str]:
    """The lines of a table of results."""
    return drawn(list(BOOK), [list(BOOK.values())] * rows, width, grouped=False, **layout)


def test_decimals_are_shown_without_the_zeros_of_their_columns_scale_beyond_the_cents() -> None:
    shown = [
        format_cell(Decimal(text)) for text in ("9.800000000000", "34.00", "0.123400000000", "-5.000", "7", "1E+3")
    ]
    assert shown == ["9.80", "34.00", "0.1234", "-5.00", "7", "1000"]
    assert format_cell(Decimal("NaN")) == "NaN"


word = st.text(st.characters(categories=["L", "N", "So"]), min_size=1, max_size=60)
value = st.one_of(st.lists(word, max_size=6).map(" ".join), st.integers(), st.decimals(allow_nan=False, places=2))


@st.composite
def tables(draw: Callable[..., Any]) -> tuple[list[str], list[list[object]]]:
    """Names of columns and rows."""
    names = draw(st.lists(st.text("abcxyz", min_size=1, max_size=20), min_size=1, max_size=8, unique=True))
    return names, draw(st.lists(st.lists(value, min_size=len(names), max_size=len(names)), min_size=2, max_size=4))


@given(tables(), st.integers(40, 200))
def test_a_table_fits_the_screen_and_breaks_no_word_and_no_number(
    table: tuple[list[str], list[list[object]]], width: int
) -> None:
    names, rows = table
    lines = drawn(names, rows, width)
    assert max(map(cell_len, lines)) <= width
    body = lines[2 : 2 + len(rows)]
    note = " ".join(" ".join(lines[2 + len(rows) :]).split())
    hidden = re.sub(r";.*", "", note.split("not shown: ")[1]).split(", ") if "not shown" in note else []
    # Words are whole, or they end or begin with an ellipsis; of all columns but the first, numbers are whole.
    there = {word for row in rows for item in row for word in format_cell(item).split()}
    assert all(word in there for line in body for word in line.split() if "…" not in word)
    for place, name in enumerate(names):
        if name in hidden or place == 0 or not all(isinstance(row[place], (int, Decimal)) for row in rows):
            continue
        for row, line in zip(rows, body, strict=True):
            assert format_cell(row[place]) in line
    assert {*hidden, *lines[0].split()} == set(names)


@given(tables())
def test_without_a_screen_every_value_is_there_and_whole(table: tuple[list[str], list[list[object]]]) -> None:
    names, rows = table
    lines = drawn(names, rows, None)
    assert len(lines) == 2 + len(rows)
    assert all(name in lines[0] for name in names)
    for row, line in zip(rows, lines[2:], strict=True):
        assert all(format_cell(item) in line for item in row)


@given(st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" "), max_size=80), st.integers(1, 40))
def test_a_shortened_text_fits_and_shows_that_it_is_shortened(text: str, width: int) -> None:
    short = shorten(text, width)
    assert cell_len(short) <= width
    assert short == text or "…" in short


def test_the_fields_are_shown_before_our_own_columns_and_the_others_are_named() -> None:
    lines = books(100)
    assert lines[0].split() == ["title", "author", "price", "stock", "link"]
    assert "1529877576591609859" in lines[2]
    assert lines[-2:] == [
        "4 columns not shown: _meter_job_id, _meter_url, _meter_item_index, _meter_item_hash; use --csv,",
        "--json or --vertical",
    ]
    assert books(300)[0].split() == list(BOOK)


def test_a_long_address_keeps_both_ends_and_a_sentence_its_words() -> None:
    assert shorten("https://books.example/new/winter/tables/1", 24) == "https://books.ex…ables/1"
    assert shorten("The Winter Tables of Goran", 20) == "The Winter Tables…"
    assert shorten("東京の冬のテーブル", 9) == "東京の冬…"


def test_a_single_record_that_does_not_fit_stands_upright() -> None:
    lines = books(80, rows=1)
    assert lines[0] == f"_meter_job_id      {ID}"
    assert [line.split()[0] for line in lines] == list(BOOK)
    assert books(300, rows=1)[0].split() == list(BOOK)
    assert books(None, rows=1)[0].split() == list(BOOK)


def test_records_stand_upright_on_demand_with_long_text_in_lines_of_whole_words() -> None:
    text = " ".join(["extraordinarily", "long"] * 20)
    lines = drawn(
        ["title", "text"], [["A", text], ["B", '{"a":"1","b":[' + "22,".join([""] * 40) + "2]}"]], 60, vertical=True
    )
    assert [line for line in lines if line.startswith("record")] == ["record 1", "record 2"]
    assert max(map(len, lines)) <= 60
    assert " ".join(line[7:] for line in lines[2:]).startswith(text[:300])
    assert lines[-1] == "some values are shortened; use --csv or --json" or "22,22," in lines[-1]


def test_numbers_stand_below_each_other_and_wide_characters_count_double() -> None:
    rows = [["東京", 1.5, Decimal("12.25"), 1200], ["Rome 👩‍👩‍👧", 10.25, None, 7]]
    assert drawn(["city", "rate", "price", "people"], rows, 80) == [
        "city      rate  price  people",
        "─────────────────────────────",
        "東京      1.5   12.25   1,200",
        "Rome 👩‍👩‍👧  10.25              7",
    ]


def test_times_have_no_fractions_and_are_utc() -> None:
    moment = datetime(2026, 3, 5, 7, 0, 1, 234567, tzinfo=timezone(timedelta(hours=1)))
    assert format_cell(moment) == "2026-03-05 06:00:01"
    assert format_cell(moment.time()) == "07:00:01"
    assert format_cell(float("nan")) == "nan"


def test_a_column_of_sentences_is_folded_at_spaces() -> None:
    lines = drawn(["check", "detail"], [["key", "METER_API_KEY is not set: put it into .env"]], 30, prose=["detail"])
    assert lines[2:] == ["key    METER_API_KEY is not", "       set: put it into .env"]


def test_a_screen_shows_the_first_rows_and_a_pipe_all_of_them() -> None:
    rows = [[number % 10] for number in range(2500)]
    assert drawn(["n"], rows, 80, max_rows=3)[2:] == [
        "0",
        "1",
        "2",
        "2,497 more rows; use --csv, --json or --vertical",
    ]
    assert len(drawn(["n"], rows, None, max_rows=3)) == 2502
    assert drawn(["n"], [], 80)[-1] == "no rows"


def on_a_terminal(columns: int, program: str, **environment: str) -> str:
    """What a program prints on a terminal `columns` wide."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    variables = {name: text for name, text in os.environ.items() if name not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=follower, stdout=follower, stderr=follower,
        env={**variables, "TERM": "xterm-256color", **environment},
    )  # fmt: skip
    os.close(follower)
    shown = b""
    while True:
        try:
            piece = os.read(leader, 4096)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    assert process.wait(60) == 0
    os.close(leader)
    return shown.decode().replace("\r\n", "\n")


_PROGRAM = """
from meter_pipeline.commands.console import print_line, print_table, print_stderr
print_table(["title", "price"], [["x" * 20 + " [red]end[/red]\\x1b]0;title\\x07", 7], ["y" * 20, 8]])
print_line("a sentence of which \\x1b[2J no word is broken by the terminal, ever")
"""


def test_a_terminal_gets_lines_as_wide_as_it_is_and_nothing_of_the_text_is_obeyed() -> None:
    shown = on_a_terminal(40, _PROGRAM)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert max(map(len, plain.splitlines())) <= 40
    assert "\x1b" not in plain
    assert "\x1b]" not in shown
    assert "\x1b[2J" not in shown
    assert "x" * 20 in plain
    assert plain.splitlines()[-2:] == ["a sentence of which \\x1b[2J no word is", "  broken by the terminal, ever"]
    wide = on_a_terminal(40, _PROGRAM, COLUMNS="120")
    assert r"[red]end[/red]\x1b]0;title" in wide


def test_a_terminal_without_colours_gets_none() -> None:
    assert "\x1b" not in on_a_terminal(80, _PROGRAM, TERM="dumb")
    assert not re.search(r"\x1b\[(?:\d+;)*[349]\d", on_a_terminal(80, _PROGRAM, NO_COLOR="1"))

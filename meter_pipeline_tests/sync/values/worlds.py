"""Prices as shops of many places write them, by rules that share nothing with the code that reads them."""

from __future__ import annotations

import random
from collections.abc import Callable
from decimal import Decimal

_SPACES = [" ", "\u00a0", "\u202f"]
_ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")


def _grouped(amount: Decimal, group: str, decimal: str, decimals: int) -> str:
    whole, _, fraction = f"{amount:.{decimals}f}".partition(".")
    groups = []
    while len(whole) > 3:
        groups.insert(0, whole[-3:])
        whole = whole[:-3]
    return group.join([whole, *groups]) + (decimal + fraction if fraction else "")


def _indian(amount: Decimal) -> str:
    whole = str(int(amount))
    head, tail = whole[:-3], whole[-3:]
    groups = [tail]
    while head:
        groups.insert(0, head[-2:])
        head = head[:-2]
    return ",".join(groups)


def _forms(*forms: str) -> Callable[[random.Random, str], str]:
    return lambda random_, number: random_.choice(forms).format(number)


# For each kind of shop: decimals, the number of its amounts, and the forms around it.
_Spell = Callable[[random.Random, Decimal], str]
SPELLINGS: dict[str, tuple[int, _Spell, Callable[[random.Random, str], str]]] = {
    "american": (
        2,
        lambda _, amount: _grouped(amount, ",", ".", 2),
        _forms("${}", "$ {}", "USD {}", "US${}", "{} USD", "${} USD", "from ${}", "Now ${}", "${}/kg", "Price: ${}"),
    ),
    "american whole": (0, lambda _, amount: _grouped(amount, ",", ".", 0), _forms("${}")),
    "british": (
        2,
        lambda _, amount: _grouped(amount, ",", ".", 2),
        _forms("£{}", "GBP {}", "was £9,999.99 now £{}", "£{} inc VAT", "-20% £{}", "£{} each", "&pound;{}"),
    ),
    "german": (
        2,
        lambda _, amount: _grouped(amount, ".", ",", 2),
        _forms("{} €", "{}€", "EUR {}", "€ {}", "ab {} €", "{} EUR", "{} Euro", "{} € inkl. MwSt.", "nur {} €*"),
    ),
    "german whole": (0, lambda _, amount: _grouped(amount, ".", ",", 0), _forms("{},- €", "{},– €", "€ {},-", "{} €")),
    "swiss": (
        2,
        lambda random_, amount: _grouped(amount, random_.choice("'’"), ".", 2),
        _forms("CHF {}", "Fr. {}", "SFr. {}"),
    ),
    "swedish": (
        0,
        lambda random_, amount: _grouped(amount, random_.choice(_SPACES), ",", 0),
        _forms("{}:-", "{} kr", "{} SEK", "{},-", "{},- kr"),
    ),
    "french": (
        2,
        lambda random_, amount: _grouped(amount, random_.choice(_SPACES), ",", 2),
        _forms("{} €", "{}€", "à partir de {} €", "{} € TTC", "{} EUR"),
    ),
    "indian": (0, lambda _, amount: _indian(amount), _forms("₹{}", "Rs. {}", "Rs {}/-", "₹ {}")),
    "japanese": (0, lambda _, amount: _grouped(amount, ",", ".", 0), _forms("¥{}", "{}円", "{}円（税込）", "￥{}")),
    "korean": (0, lambda _, amount: _grouped(amount, ",", ".", 0), _forms("₩{}", "{}원", "{} KRW")),
    "brazilian": (2, lambda _, amount: _grouped(amount, ".", ",", 2), _forms("R$ {}", "R${}", "por R$ {}")),
    "polish": (
        2,
        lambda random_, amount: _grouped(amount, random_.choice(_SPACES), ",", 2),
        _forms("{} zł", "{} PLN", "od {} zł", "{}zł"),
    ),
    "russian": (
        0,
        lambda random_, amount: _grouped(amount, random_.choice(_SPACES), ",", 0),
        _forms("{} ₽", "{} руб.", "от {} ₽", "{} RUB"),
    ),
    "vietnamese": (0, lambda _, amount: _grouped(amount, ".", ",", 0), _forms("{}₫", "{} đ", "{} VND", "{}đ")),
    "indonesian": (0, lambda _, amount: _grouped(amount, ".", ",", 0), _forms("Rp{}", "Rp {}", "IDR {}")),
    "turkish": (2, lambda _, amount: _grouped(amount, ".", ",", 2), _forms("{} TL", "₺{}", "{} ₺")),
    "emirati": (
        2,
        lambda _, amount: _grouped(amount, "٬", "٫", 2).translate(_ARABIC),
        _forms("{} د.إ", "د.إ {}", "{} د.إ.\u200f"),
    ),
    "mexican": (2, lambda _, amount: _grouped(amount, ",", ".", 2), _forms("${} MXN", "MX${}", "$ {}", "MXN {}")),
    "bitcoin": (4, lambda _, amount: _grouped(amount, ",", ".", 4), _forms("${}", "{} USD")),
}


def with_noise(random_: random.Random, text: str) -> str:
    """The text as it comes from pages: with marks that mean nothing."""
    return random_.choice(
        [text] * 10
        + [
            f"{text}*",
            f" {text} \n",
            text.replace("\u00a0", "&nbsp;"),
            f"\u200e{text}",
            f"\u200f{text}\u200f",
            text.replace("\u202f", " "),
            f"\ufeff{text}",
            text.translate({ord(digit): ord(digit) + 0xFEE0 for digit in "0123456789,."}),
        ]
    )


def sample(random_: random.Random, kind: str) -> tuple[str, Decimal]:
    """A price in a kind of shop and its amount."""
    decimals, spell, form = SPELLINGS[kind]
    amount = Decimal(int(10 ** random_.uniform(decimals, 7))).scaleb(-decimals)
    return with_noise(random_, form(random_, spell(random_, amount))), amount

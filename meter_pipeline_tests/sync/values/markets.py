"""Sources of prices: shops of one market each, with its spelling, its words and what else its price field holds.

A source is a field of one site. Its plain prices have one amount; its odd texts have a price among other things and may
be read or left empty, but never read as another amount; its dummies have none.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

_SPACES = (" ", "\u00a0", "\u202f", "&nbsp;", "\u2009")
_DIGITS = {
    "arabic": str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩"),
    "persian": str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹"),
    "wide": str.maketrans("0123456789,.", "０１２３４５６７８９，．"),
}
_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


class Market(NamedTuple):
    """How the prices of a market are written.

    Attributes:
        group: Marks of thousands, any of them; `indian` groups by two digits after the first three.
        decimal: The decimal mark.
        decimals: Digits after it; 0 for whole amounts.
        forms: Texts with `#` for the number.
        codes: The currency of these prices, or the signs that stand for several.
        whole: Forms of whole amounts, beside those of `decimals`.
        range_: Powers of ten of the smallest and the largest amount.
        digits: Name of the digits; empty for 0 to 9.
    """

    group: str
    decimal: str
    decimals: int
    forms: str
    codes: str
    whole: str = ""
    range_: tuple[float, float] = (0.3, 5.5)
    digits: str = ""


MARKETS = {
    "zürich": Market(
        "'’", ".", 2, "CHF #|# CHF|CHF#|Fr. #|ab CHF #|CHF # inkl. MwSt.", "CHF", "CHF #.–|CHF #.-|Fr. #.—|#.– CHF"
    ),
    "mumbai": Market("indian", ".", 2, "₹#|₹ #|Rs. #|Rs.#|INR #|MRP: ₹#|MRP ₹#", "INR Rs", "₹#|Rs #/-", (1, 7)),
    "stockholm": Market(" ", ",", 2, "# kr|# SEK|från # kr|Pris: # kr", "SEK kr", "#:-|#,-|# kr|#:- /st"),
    "köbenhavn": Market(".", ",", 2, "# kr.|kr. #|DKK #|# DKK|fra # kr.|Kr. #", "DKK kr", "#,- kr.|# kr.|#,-|kr. #,-"),
    "oslo": Market(" ", ",", 2, "kr #|# kr|NOK #|fra kr #|kr # inkl. mva", "NOK kr", "kr #,-|#,-|# kr|kr #"),
    "budapest": Market(" .", ",", 0, "# Ft|# HUF|#Ft|# Ft-tól|Bruttó # Ft", "HUF", "", (2.5, 7)),
    "istanbul": Market(".", ",", 2, "# TL|₺#|# ₺|#TL|₺ #|# TRY", "TRY"),
    "hanoi": Market(".,", ",", 0, "# ₫|#₫|#đ|# đ|# VNĐ|# VND|Giá: #đ|Từ #đ", "VND", "", (4, 8.5)),
    "seoul": Market(",", ".", 0, "#원|₩#|₩ #|# 원|KRW #|정가 #원|판매가 #원|#원~", "KRW", "", (2, 7)),
    "tokyo": Market(",", ".", 0, "¥#|￥#|#円|#円 (税込)|#円（税込）|税込 #円|価格：#円|税込#円", "JPY ¥", "", (2, 7)),
    "tokyo wide": Market(",", ".", 0, "#円|￥#|#円（税込）", "JPY ¥", "", (2, 7), "wide"),
    "shanghai": Market(",", ".", 2, "￥#|¥#|#元|¥ #|RMB #|CNY #|售价：¥#|¥#起|现价 ¥#", "CNY ¥ 元"),
    "dubai": Market("٬", "٫", 2, "# د.إ|د.إ #|# د.إ.\u200f|\u200f# د.إ", "AED", "", (0.3, 5.5), "arabic"),
    "dubai latin": Market(",", ".", 2, "AED #|# AED|AED#|د.إ #|Dhs #|AED # inc. VAT", "AED"),
    "riyadh": Market(",", ".", 2, "# ر.س|SAR #.00|# ر.س.|ر.س #|# ريال", "SAR ﷼"),
    "tehran": Market("٬,", "٫", 0, "# تومان|#تومان|# ریال", "تومان ﷼", "", (3.5, 8), "persian"),
    "bangkok": Market(",", ".", 2, "฿#|฿ #|# บาท|THB #|ราคา # บาท|เริ่มต้น ฿#", "THB", "฿#.-|฿#"),
    "praha": Market(" ", ",", 2, "# Kč|# CZK|od # Kč|# Kč s DPH|Kč #|Cena: # Kč|# Kč/ks", "CZK", "#,- Kč|# Kč|#,-"),
    "warszawa": Market(" ", ",", 2, "# zł|# PLN|#zł|od # zł|# zł brutto|Cena: # zł|# zł / szt.", "PLN", "# zł"),
    "sofia": Market(" ", ",.", 2, "# лв.|# лв|от # лв.|Цена: # лв.|# BGN|#лв", "BGN"),
    "kyiv": Market(" ", ",", 2, "# ₴|# грн|# грн.|#₴|від # грн|Ціна: # грн|# UAH|₴#", "UAH", "# ₴|# грн"),
    "moscow": Market(" ", ",", 2, "# ₽|# руб.|#₽|от # ₽|Цена: # руб.|# руб|# р.", "RUB руб", "# ₽|# руб."),
    "bucurești": Market(".", ",", 2, "# lei|# Lei|# RON|de la # lei|#lei|Preț: # lei", "RON lei"),
    "são paulo": Market(
        ".", ",", 2, "R$ #|R$#|R$ # à vista|por R$ #|R$ # no Pix|A partir de R$ #|BRL #", "BRL", "R$ #"
    ),
    "new york": Market(
        ",", ".", 2, "$#|US$#|US $#|$ #|# USD|USD #|USD#|$# USD|$#/mo|From $#|$# each|$#.|MSRP $#|Now: $#|$# per month",
        "USD $", "$#|US$#|$#/month",
    ),
    "sydney": Market(",", ".", 2, "A$#|AU$#|AUD #|AU $#|$# AUD|From A$#|A$# pp|A$# inc. GST", "AUD $", "A$#"),
    "toronto": Market(",", ".", 2, "C$#|CA$#|CAD #|CAD $#|$# CAD|CDN$ #|C$# + tax", "CAD C$ $"),
    "québec": Market(" ", ",", 2, "# $|# $ CA|# $CA|À partir de # $|# $ + taxes", "CAD $"),
    "auckland": Market(",", ".", 2, "NZ$#|NZD #|$# NZD|NZ$# each", "NZD $"),
    "hong kong": Market(",", ".", 2, "HK$#|HKD #|HK$ #|HKD$#|HK$#起", "HKD $", "HK$#"),
    "singapore": Market(",", ".", 2, "S$#|SGD #|S$ #|SGD#|From S$#|S$#/pax", "SGD $"),
    "méxico": Market(",", ".", 2, "MX$#|$# MXN|MXN $#|$#|Desde $#|MXN #", "MXN $"),
    "johannesburg": Market(" ,", ".", 2, "R#|R #|ZAR R#|ZAR #|From R #|R# incl. VAT", "ZAR"),
    "lagos": Market(",", ".", 2, "₦#|₦ #|NGN #|NGN#|₦# each", "NGN", "₦#|₦ #"),
    "nairobi": Market(",", ".", 2, "KSh #|KSh#|Ksh #|KES #|KES#|From KSh #", "KES", "KSh #|Ksh. #"),
    "tel aviv": Market(",", ".", 2, "₪#|# ₪|#₪|\u200f# ₪|# ש\"ח|החל מ-₪#|ILS #|מחיר: ₪#", "ILS"),
    "berlin": Market(
        ".", ",", 2, "# €|#€|€ #|EUR #|# EUR|ab # €|EUR#|# € inkl. MwSt.|# € zzgl. Versand|nur # €|# &euro;|# €*|"
        "# € inkl. MwSt., zzgl. Versandkosten|# €/Monat|jetzt # €", "EUR", "# €|#,- €|€ #,–|#,-",
    ),
    "paris": Market(" ", ",", 2, "# €|#€|dès # €|à partir de # €|# € TTC|# EUR|Prix : # €|# €/mois", "EUR", "# €"),
    "london": Market(
        ",", ".", 2, "£#|£ #|GBP #|£# inc VAT|from £#|&pound;#|£# each|£# pcm|£# pp|Only £#|Only £#!|£# (inc. VAT)",
        "GBP", "£#|£# per month|£# pcm",
    ),
    "dublin": Market(",", ".", 2, "€#|€#/month|From €#|€# incl. VAT|EUR #.00", "EUR", "€#|€# per night"),
    "jakarta": Market(".", ",", 0, "Rp#|Rp #|Rp. #|IDR #|mulai dari Rp#", "IDR", "", (3.5, 8)),
    "santiago": Market(".", ",", 0, "CLP $#|$# CLP|CLP #|CLP$#", "CLP", "", (3, 7)),
    "bogotá": Market(".", ",", 0, "COP #|$# COP|COP $#|COL$ #", "COP", "", (3.5, 8)),
    "buenos aires": Market(".", ",", 2, "$ #|$#|AR$ #|ARS #|Desde $ #", "ARS $"),
    "lima": Market(",", ".", 2, "S/ #|S/#|S/. #|PEN #|Desde S/ #", "PEN"),
    "kuala lumpur": Market(",", ".", 2, "RM#|RM #|MYR #|From RM#|RM# nett", "MYR"),
    "manila": Market(",", ".", 2, "₱#|₱ #|PHP #|Php #", "PHP"),
    "almaty": Market(" ", ",", 0, "# ₸|# тг|от # ₸|# тенге|₸#", "KZT", "", (2.5, 7)),
    "reykjavik": Market(".", ",", 0, "# kr.|# kr|ISK #|# ISK|#,- kr", "ISK kr", "", (2.5, 6)),
    "chain": Market("", ".", 4, "# BTC|BTC #|₿#|₿ #", "BTC", "", (-3, 2)),
}  # fmt: skip
# Prices of something else or among other numbers: `#` is the price, `@` a higher amount in the same spelling.
_ODD = (
    "was @ now #|Was @, Now #|@ #|# (was @)|# statt @|statt @ nur #|# instead of @|-20 % #|# -20%|# (-20 %)|(#)|"
    "(-#)|RRP @ Now #|# Was @|Save 20% #|# incl. 19% VAT|# + free shipping|# & FREE Shipping|#¹|#†|→ #|# ✓|"
    "~~@~~ #|de @ por #"
)
_DUMMIES = (
    "#–@|# - @|# to @|# bis @|12x #|12x de #|3 x #|2 for #|3 für #|Save #|You save #|# off|# Rabatt|# + @ shipping|"
    "spare #|economize #|up to #|bis zu # sparen|+#|~#|<#|ab # bis @|-#–@|# / @|10 × #|# x 24 mois|je 100 g = #"
)
_EMPTY = (
    "Sold out|Price on request|Preis auf Anfrage|Épuisé|Нет в наличии|N/A|-|—||TBD|売り切れ|품절|Coming soon|20% off"
)


# Amounts with a word or letter for their size: the texts with `#` for a number of three digits, by power of ten.
SIZES = {
    3: "€#k|$#K|# Tsd. €|# tys. zł|# тыс. ₽|# тис. грн|# k€|# tkr|# TEUR|Rp# ribu|# พันบาท|# bin TL|# mil €|R$ # mil",
    5: "₹# lakh|₹# lakhs|Rs # lac|₹# L",
    6: "# Mio. €|€ # Mio.|US$ # millones|# млн ₽|# млн грн|# mln zł|# mkr|# MDKK|£#m|$#M|# M€|# Mkr|# millions €|"
    "# milyon TL|Rp # juta|# triệu đồng|₩#백만|# mil. Kč|# milioni €|kr # mill.|€#mn|$#MM|# εκατ. €|# miljoonaa €",
    4: "#万円|#萬元|#만원|#万元",
    7: "₹# crore|₹#Cr|Rs. # crores",
    8: "#億円|#亿元|#억원",
    9: "# Mrd. €|# млрд ₽|# mld zł|$#bn|$#B|$# billion|# milliards €|# miliardi €|R$ # bilhões|# tỷ đồng|# mld. Kč",
    12: "# billones €|£#tn|$# trillion|R$ # trilhões|€ # Bio.",
}
# Words with several sizes: *billion* is 10^9 in English and 10^12 elsewhere, `mil` a thousand or a million.
OPEN_SIZES = "# billions €|# bn kr|₺#B|Rp#M|# mil Kč|# B€"


def write_number(random_: random.Random, market: Market, amount: Decimal, group: str | None = None) -> str:
    """The digits of an amount, with the marks of a market."""
    whole, _, fraction = f"{amount:f}".partition(".")
    mark = (group if group is not None else random_.choice(market.group)) if market.group not in ("", "indian") else ""
    if market.group == "indian":
        whole = _group_by_two(whole)
    elif mark:
        mark = random_.choice(_SPACES) if mark == " " else mark
        parts = [whole[max(0, end - 3) : end] for end in range(len(whole), 0, -3)]
        whole = mark.join(reversed(parts))
    text = whole + (random_.choice(market.decimal) + fraction if fraction else "")
    return text.translate(_DIGITS[market.digits]) if market.digits else text


def _group_by_two(whole: str) -> str:
    head, tail = whole[:-3], whole[-3:]
    parts = [head[max(0, end - 2) : end] for end in range(len(head), 0, -2)]
    return ",".join([*reversed(parts), tail]) if head else tail


def _draw_amount(random_: random.Random, market: Market, decimals: int) -> Decimal:
    amount = 10 ** random_.uniform(*market.range_)
    smallest = 1 if market.decimals <= 2 else 0
    return max(Decimal(int(amount * 10**decimals)).scaleb(-decimals), Decimal(smallest))


def disguise(random_: random.Random, text: str) -> str:
    """The text with marks that pages leave in it and that mean nothing."""
    return random_.choice(
        [text] * 9
        + [
            f"  {text}\n",
            f"\u200e{text}\u200e",
            f"\u200f{text}",
            f"\u2066{text}\u2069",
            f"\ufeff{text}\u200b",
            text.replace(" ", "\u00a0"),
            text.replace(" ", "\u202f"),
            text.replace("$", "&#36;").replace("€", "&#8364;").replace("£", "&pound;").replace("¥", "&yen;"),
            f"{text} *",
        ]
    )


class Row(NamedTuple):
    """A text of a source: its amounts (none for a dummy), and whether it is a plain price."""

    text: str
    amount: Decimal | None
    plain: bool
    codes: frozenset[str]


class Shop:
    """A site of one market: it writes with few forms, always the same, and one mark of thousands."""

    def __init__(self, random_: random.Random, name: str) -> None:
        self._random, self._market = random_, MARKETS[name]
        forms, whole = self._market.forms.split("|"), [form for form in self._market.whole.split("|") if form]
        self._forms = random_.sample(forms, min(len(forms), random_.randint(1, 4)))
        self._whole = random_.sample(whole, min(len(whole), random_.randint(0, 2)))
        self._group = random_.choice(self._market.group or " ")
        self._codes = frozenset(self._market.codes.split())

    def _write(self, amount: Decimal) -> str:
        return write_number(self._random, self._market, amount, self._group)

    def price(self) -> Row:
        """A plain price."""
        random_, market = self._random, self._market
        whole = bool(self._whole) and random_.random() < 0.4
        form = random_.choice(self._whole if whole else self._forms)
        decimals = 0 if whole or ".00" in form else market.decimals
        amount = _draw_amount(random_, market, decimals)
        return Row(disguise(random_, form.replace("#", self._write(amount))), amount, True, self._codes)

    def _bare(self, amount: Decimal) -> str:
        return self._forms[0].replace("#", self._write(amount))

    def odd(self) -> Row:
        """A text with a price among other things."""
        amount = _draw_amount(self._random, self._market, self._market.decimals)
        higher = amount + self._random.randint(1, 999)
        form = self._random.choice(_ODD.split("|"))
        text = form.replace("#", self._bare(amount)).replace("@", self._bare(higher))
        # Parentheses are a minus or nothing.
        return Row(text, amount if not form.startswith("(-") else -amount, False, self._codes)

    def split(self) -> Row:
        """A price whose cents have lost their mark."""
        amount = _draw_amount(self._random, self._market, 2)
        whole, _, cents = f"{amount:.2f}".partition(".")
        written = self._random.choice([f"{whole} {cents}", whole + cents.translate(_RAISED), f"{whole}\n{cents}"])
        return Row(self._forms[0].replace("#", written), amount, False, self._codes)

    def dummy(self) -> Row:
        """A text without one price."""
        random_ = self._random
        if random_.random() < 0.3:
            return Row(random_.choice(_EMPTY.split("|")), None, False, frozenset())
        amount = _draw_amount(random_, self._market, self._market.decimals)
        form = random_.choice(_DUMMIES.split("|"))
        text = form.replace("#", self._bare(amount)).replace("@", self._bare(amount + random_.randint(1, 999)))
        return Row(text, None, False, frozenset())


def open_source(random_: random.Random, names: list[str], size: int) -> Iterator[Row]:
    """The texts of a source whose prices come from shops of these markets."""
    shops = [Shop(random_, name) for name in names]
    noise = random_.choice([0, 0.05, 0.15])
    for _ in range(size):
        shop = random_.choice(shops)
        if random_.random() >= noise:
            yield shop.price()
        else:
            yield random_.choice([shop.odd, shop.odd, shop.split, shop.dummy])()

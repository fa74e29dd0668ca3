"""Names of fields that usually identify an item; they break ties, and decide nothing by themselves."""

from __future__ import annotations

from meter_pipeline.store.columns import snake

# The last word of a field's name counts; the best ones first.
_NAMES = (
    "id", "uuid", "guid", "sku", "isbn", "isbn13", "ean", "gtin", "upc", "asin", "mpn", "doi", "key", "code", "slug",
    "handle", "url", "link", "permalink", "href", "uri", "number", "no",
)  # fmt: skip
# Words of fields that identify a part of an item, or the scrape, and not the item.
_PARTS = frozenset({"image", "img", "thumbnail", "photo", "picture", "icon", "session", "request", "scrape", "seller"})


def rank_name(name: str) -> int:
    """Higher for better names of a key; 0 for a name that suggests none."""
    words = snake(name).split("_")
    if _PARTS & set(words):
        return 0
    word = words[-1]
    return len(_NAMES) - _NAMES.index(word) if word in _NAMES else 0

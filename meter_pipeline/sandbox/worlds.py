"""The worlds by name: their strategies, pages and schedules."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from meter_pipeline.sandbox import listings
from meter_pipeline.sandbox.breaking import breakingshop, flakyshop, oddpages
from meter_pipeline.sandbox.errors import SandboxError
from meter_pipeline.sandbox.pages import BookPage, HeadlinePage, PostingPage, SectionPage
from meter_pipeline.sandbox.world import World


def bookshop(world: World) -> None:
    """Books whose prices move and that sometimes sell out; one strategy has an output schema."""
    site = "https://books.example"
    new = world.add_strategy("New books", f"{site}/new", page=BookPage(world.seed),
                             description="title, author, price and availability of new books")  # fmt: skip
    world.add_schedule(new.strategy_id, interval_seconds=3600)
    shelves = world.add_strategy("Book shelves", f"{site}/poetry", page=BookPage(world.seed, books=25),
                                 description="the books of each shelf")  # fmt: skip
    world.add_schedule(shelves.strategy_id, cron_expression="0 */6 * * *",
                       urls=[f"{site}/poetry", f"{site}/travel", f"{site}/cooking"])  # fmt: skip
    schema = {"isbn": "string", "title": "string", "author": "string", "price": "number", "stock": "integer",
              "available": "boolean", "formats": "array"}  # fmt: skip
    stock = world.add_strategy("Book stock", f"{site}/stock", page=BookPage(world.seed, typed=True),
                               description="price and stock of every book", output_schema=schema)  # fmt: skip
    world.add_schedule(stock.strategy_id, interval_seconds=7200)


def jobboard(world: World) -> None:
    """Postings that come and go, nested, scraped late at busy hours; and the same from an API, wrapped in an object."""
    board = world.add_strategy("Job board", "https://jobs.example/all", page=PostingPage(world.seed),
                               description="open positions with company, place, tags and salary")  # fmt: skip
    world.add_schedule(board.strategy_id, cron_expression="15 * * * *", queue_seconds=40 * 60)
    feed = world.add_strategy(
        "Job board feed", "https://jobs.example/api/postings", page=PostingPage(world.seed, wrapped=True),
        description="the board's own feed", scraper_type="api", api_parameters={"region": "eu", "page_size": 50},
    )  # fmt: skip
    world.add_schedule(feed.strategy_id, cron_expression="30 6,18 * * *", parameters={"region": "eu"})


def newsroom(world: World) -> None:
    """Sections of two pages that are rewritten, and the newest headlines."""
    site = "https://news.example"
    sections = world.add_strategy("Newsroom sections", f"{site}/city", page=SectionPage(world.seed),
                                  scraper_type="content")  # fmt: skip
    world.add_schedule(sections.strategy_id, urls=[f"{site}/city", f"{site}/culture"], interval_seconds=3 * 3600)
    headlines = world.add_strategy("Newsroom headlines", f"{site}/latest", page=HeadlinePage(world.seed),
                                   description="the newest headlines")  # fmt: skip
    world.add_schedule(headlines.strategy_id, interval_seconds=1800)


WORLDS: dict[str, Callable[[World], None]] = {
    "bookshop": bookshop, "jobboard": jobboard, "newsroom": newsroom, "flakyshop": flakyshop,
    "breakingshop": breakingshop, "oddpages": oddpages, "sliding": listings.sliding, "variants": listings.variants,
    "currencies": listings.currencies, "products": listings.products, "promoted": listings.promoted,
    "wrapped": listings.wrapped,
}  # fmt: skip
#: Served where no world is named.
DEFAULT_WORLDS = ("bookshop", "jobboard", "newsroom", "flakyshop")
#: Served beside the demo and the Dagster UI.
DEMO_WORLDS = ("bookshop", "jobboard", "flakyshop", "variants", "currencies", "products", "sliding")


def add_worlds(world: World, names: Sequence[str]) -> None:
    """Add the strategies and schedules of the named worlds.

    Raises:
        SandboxError: A name is not that of a world.
    """
    for name in names:
        if name not in WORLDS:
            raise SandboxError(f"no world is called {name!r}; choose from {', '.join(WORLDS)}")
        WORLDS[name](world)

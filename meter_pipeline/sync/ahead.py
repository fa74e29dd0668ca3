"""Calls in threads, a few ahead of the consumer."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def run_ahead(
    call: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int,
    *,
    name: str,
    depth: int | None = None,
    discard: Callable[[Result], None] | None = None,
) -> Generator[tuple[Item, Result], None, None]:
    """Calls `call` for each item in threads and yields each item with its result, in the order of the items.

    Items are drawn in the consumer's thread, one for each result that it takes, so `items` may depend on what the
    consumer has seen: once it ends, the calls already started are yielded and no other call is made.

    Args:
        call: Runs in a thread. An exception that it raises reaches the consumer in the item's turn and ends the run.
        items: What to call it with.
        workers: Threads.
        name: Prefix of the threads' names.
        depth: Most calls started and not yet yielded; as many as threads by default.
        discard: Releases the result of a call that was started and that the consumer never took.
    """
    most = max(workers if depth is None else depth, 1)
    started: deque[tuple[Item, Future[Result]]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix=name) as pool:
        try:
            for item in items:
                started.append((item, pool.submit(call, item)))
                if len(started) >= most:
                    item, future = started.popleft()
                    yield item, future.result()
            while started:
                item, future = started.popleft()
                yield item, future.result()
        finally:
            for _, future in started:
                if not future.cancel() and discard is not None:
                    future.add_done_callback(_discard_result(discard))


def _discard_result(discard: Callable[[Result], None]) -> Callable[[Future[Result]], None]:
    def discard_result(future: Future[Result]) -> None:
        if not future.cancelled() and future.exception() is None:
            discard(future.result())

    return discard_result

"""Views of files, read in threads ahead of the model that takes them; needs NumPy and OpenCV, never Keras."""

import itertools
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypedDict, TypeVar

from keras_actrec.data._batches import Item, View, naming
from keras_actrec.data._opencv import opencv
from keras_actrec.data.manifest import Record
from keras_actrec.errors import UserError

_PATIENCE = 1.0  # seconds
Thing = TypeVar("Thing")


@dataclass(frozen=True)
class Part:
    """Some of a file's views.

    Attributes:
        number: of the item.
        record: the item's.
        views: pairs of array and mask, in order.
        last: whether these are the last ones.
        error: why no more of the file can be read: what was seen of it before counts for nothing.
        seconds: that reading took.
    """

    number: int
    record: Record
    views: list[View]
    last: bool
    error: UserError | None
    seconds: float


class ReadOptions(TypedDict):
    """Arguments of `read_ahead`."""

    size: int
    ahead: int
    workers: int


def read_ahead(
    source: Any, items: Iterable[Item], *, size: int, ahead: int, workers: int
) -> Iterator[Part | None]:
    """Reads the views of items in threads, item by item, each in parts.

    Only one part of an item is in memory, or being made, besides the one that was given last: neither many
    items nor long ones need more memory.

    Args:
        source: whose `views(item)` gives pairs of array and mask.
        items: in which order.
        size: most views of a part, at least 1.
        ahead: number of items that are read at a time.
        workers: number of threads; 0 reads when asked.

    Yields:
        The parts of the first item in order, those of the second, and so on. `None` says that the next part
        is late: who waits for more may use the time.
    """
    pool = None
    if workers:
        pool = ThreadPoolExecutor(workers)
        opencv().setNumThreads(0)  # the files are what runs in parallel; nested threads slow it down

    def ask(number: int, item: Item, views: Iterator[View]) -> "Future[Part]":
        if pool is not None:
            return pool.submit(_part, number, item, views, size)
        future: Future[Part] = Future()
        future.set_result(_part(number, item, views, size))
        return future

    coming = enumerate(items)
    asked: deque[tuple[int, Item, Iterator[View], Future[Part]]] = deque()
    try:
        while True:
            for number, item in itertools.islice(coming, max(ahead - len(asked), 0)):
                views = source.views(item)
                asked.append((number, item, views, ask(number, item, views)))
            if not asked:
                return
            number, item, views, future = asked.popleft()
            while not _is_done(future):
                yield None
            part = future.result()
            if not part.last:
                asked.appendleft((number, item, views, ask(number, item, views)))
            yield part
    finally:
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)


def one_ahead(items: Iterator[Thing]) -> Iterator[Thing]:
    """The same items; while the caller has one, a thread makes the next."""
    nothing: Any = object()
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, nothing)
        while (item := coming.result()) is not nothing:
            coming = pool.submit(next, items, nothing)
            yield item


def _is_done(future: "Future[Part]") -> bool:
    try:
        future.result(timeout=_PATIENCE)
    except TimeoutError:
        return False
    return True


def _part(number: int, item: Item, views: Iterator[View], size: int) -> Part:
    """The next views of an item."""
    start = time.perf_counter()
    found: list[View] = []
    error = None
    try:
        with naming(item):
            found += itertools.islice(views, size)
    except UserError as raised:
        error = raised
    last = error is not None or len(found) < size
    return Part(number, item[0], found, last, error, time.perf_counter() - start)

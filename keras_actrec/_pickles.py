"""Pickles from outside, followed step by step.

A pickle is a program: it names Python objects and calls them. Python does not run it here: the only steps
that there are make containers and plain values, and what a reader lists besides. A file that names anything
else is refused, and that is not even looked up.
"""

import io
import math
import os
import pickletools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np

from keras_actrec._types import PathLike

STEPS = 1_000_000  # of a pickle; a tensor takes about twenty, an array thirty
_BYTES_A_STEP = 16  # of a file with more steps than that, and of texts that are made bytes
_CODES = frozenset(
    f"{kind}{size}" for kind, sizes in (("f", "248"), ("iu", "1248")) for kind in kind for size in sizes
)
_MOST_AXES = 64  # as NumPy
_PLAIN = (str, bytes, int, float, type(None))  # and bool: what is the key of a dict


class RefusedError(Exception):
    """The pickle is readable but asks for more than its reader gives, or holds something else."""


class DamagedError(Exception):
    """The parts of a file contradict each other."""


class Named:
    """What a permitted name stands for: something to call if `make` is given, else a mark."""

    __slots__ = ("name", "make")

    def __init__(self, name: str, make: Callable[..., Any] | None = None) -> None:
        self.name = name
        self.make = make


def named(makers: Mapping[str, Callable[..., Any] | None]) -> dict[str, Named]:
    """What `Steps.names` takes, from names to functions."""
    return {name: Named(name, make) for name, make in makers.items()}


class Steps:
    """Follows pickles, and builds what `names` make, containers and plain values and nothing else.

    Args:
        most: steps of all pickles together.

    Attributes:
        names: what a pickle may name, as `"module.name"`.
        needs: what it is read for, in words for errors.
        advice: what to do about one that names more.
    """

    names: Mapping[str, Named] = {}
    needs = "plain values"
    advice = "save these alone"

    def __init__(self, most: int = STEPS) -> None:
        self._most = self._left = most

    def build(self, made: Any, state: Any) -> None:
        """What the state of an object changes.

        Raises:
            RefusedError: for an object that has none.
        """
        raise RefusedError(f"its pickle changes {named_value(made)}")

    def persistent(self, about: Any) -> Any:
        """What lies outside of the pickle.

        Raises:
            RefusedError: where nothing does.
        """
        raise RefusedError(f"its pickle points to something outside of it; {self.advice}")

    def load(self, stream: io.BytesIO) -> Any:
        """The object of the pickle at which the stream is, which is then behind it."""
        stack = _Stack()
        for step, argument, _ in pickletools.genops(stream):
            name, value = step.name, cast(Any, argument)
            self.spend(1)
            if name == "STOP":
                return stack.pop()
            if name in _VALUES:
                stack.append(_VALUES[name](value))
            elif name in _MOVES:
                _MOVES[name](stack, value)
            else:
                self._make(stack, name, value)
        raise DamagedError("its pickle has no end")

    def _make(self, stack: "_Stack", name: str, value: Any) -> None:
        """Do a step that names or makes an object, or refuse it."""
        if name == "GLOBAL":
            stack.append(self._global(*value.split(" ", 1)))
        elif name == "STACK_GLOBAL":
            stack.append(self._global(of_kind(stack.pop(-2), str), of_kind(stack.pop(), str)))
        elif name == "INST":
            self._global(*value.split(" ", 1))
            raise RefusedError(f"its pickle makes an object in a way that {self.needs} do not need")
        elif name == "REDUCE":
            arguments = of_kind(stack.pop(), tuple)
            stack.append(self._call(stack.pop(), arguments))
        elif name == "BUILD":
            state = stack.pop()
            self.build(stack[-1], state)
        elif name in ("BINPERSID", "PERSID"):
            stack.append(self.persistent(stack.pop() if name == "BINPERSID" else value))
        else:
            raise RefusedError(f"its pickle has the step {name}, which {self.needs} do not need")

    def spend(self, steps: int) -> None:
        """Count steps, up to the most."""
        self._left -= steps
        if self._left < 0:
            raise RefusedError(f"its pickle has more than {self._most} steps; {self.advice}")

    def _global(self, module: str, name: str) -> Named:
        try:
            return self.names[f"{module}.{name}"]
        except KeyError:
            raise RefusedError(
                f"it names {short(f'{module}.{name}')}, which {self.needs} do not need and which could run "
                f"code; {self.advice}"
            ) from None

    def _call(self, called: Any, arguments: tuple[Any, ...]) -> Any:
        if not isinstance(called, Named) or called.make is None:
            raise RefusedError(f"its pickle calls {named_value(called)}")
        self.spend(sum(len(each) for each in arguments if isinstance(each, (list, tuple, dict))))
        self.spend(sum(len(each) // _BYTES_A_STEP for each in arguments if isinstance(each, (str, bytes))))
        return called.make(*arguments)


class _Stack(list[Any]):
    """What a pickle has made and not yet put into something, with its marks, and what it will take again."""

    def __init__(self) -> None:
        super().__init__()
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def mark(self) -> None:
        self._marks.append(len(self))

    def since_mark(self) -> list[Any]:
        """Take off what lies above the last mark, and the mark."""
        place = self._marks.pop()
        taken = self[place:]
        del self[place:]
        return taken

    def remember(self, number: int | None = None) -> None:
        """Keep what lies on top as a number, by default the next one."""
        self._memo[len(self._memo) if number is None else number] = self[-1]

    def recall(self, number: int) -> None:
        self.append(self._memo[number])

    def last(self, count: int) -> tuple[Any, ...]:
        """Take off what lies on top, in the order in which it came."""
        return tuple(reversed([self.pop() for _ in range(count)]))

    def extend_list(self, values: Iterable[Any]) -> None:
        """Put values into the list that lies on top."""
        of_kind(self[-1], list).extend(values)

    def set_items(self, values: Sequence[Any]) -> None:
        """Put keys and values, in turn, into the dict that lies on top."""
        for key, value in zip(values[::2], values[1::2], strict=True):
            set_item(of_kind(self[-1], dict), key, value)

    def start_dict(self) -> None:
        """Put what lies above the last mark into a dict."""
        values = self.since_mark()
        self.append({})
        self.set_items(values)


# Steps that put a plain value or an empty container on the stack.
_VALUES: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(
        (
            *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
            *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
            *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
        ),
        lambda value: value,
    ),
    **dict.fromkeys(  # of Python 2, here as Latin-1
        ("STRING", "BINSTRING", "SHORT_BINSTRING"), lambda value: value.encode("latin-1").decode("utf-8")
    ),
    "NONE": lambda _: None,
    "NEWTRUE": lambda _: True,
    "NEWFALSE": lambda _: False,
    "EMPTY_LIST": lambda _: [],
    "EMPTY_DICT": lambda _: {},
    "EMPTY_TUPLE": lambda _: (),
}
# Steps that move what is on it, into containers above all, or do nothing.
_MOVES: dict[str, Callable[[_Stack, Any], Any]] = {
    **dict.fromkeys(("PROTO", "FRAME"), lambda stack, value: None),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _Stack.remember),
    "MEMOIZE": lambda stack, _: stack.remember(),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Stack.recall),
    "MARK": lambda stack, _: stack.mark(),
    "POP_MARK": lambda stack, _: stack.since_mark(),
    "POP": lambda stack, _: stack.pop(),
    "TUPLE": lambda stack, _: stack.append(tuple(stack.since_mark())),
    "TUPLE1": lambda stack, _: stack.append(stack.last(1)),
    "TUPLE2": lambda stack, _: stack.append(stack.last(2)),
    "TUPLE3": lambda stack, _: stack.append(stack.last(3)),
    "LIST": lambda stack, _: stack.append(stack.since_mark()),
    "APPEND": lambda stack, _: stack.extend_list(stack.last(1)),
    "APPENDS": lambda stack, _: stack.extend_list(stack.since_mark()),
    "DICT": lambda stack, _: stack.start_dict(),
    "SETITEM": lambda stack, _: stack.set_items(stack.last(2)),
    "SETITEMS": lambda stack, _: stack.set_items(stack.since_mark()),
}


def of_kind(value: Any, kind: type) -> Any:
    """A value, if it is of a kind."""
    if not isinstance(value, kind):
        raise DamagedError(f"its pickle takes {named_value(value)} for a {kind.__name__}")
    return value


def set_item(made: dict[Any, Any], key: Any, value: Any) -> None:
    """Sets an item. Tuples in tuples are no keys: their hash may take for ever."""
    if not isinstance(key, _PLAIN) and not (
        isinstance(key, tuple) and all(isinstance(k, _PLAIN) for k in key)
    ):
        raise DamagedError(f"{named_value(key)} is the key of a dict")
    made[key] = value


def ordered(made: Any, pairs: Any = ()) -> Any:
    """A dict of a kind, with the items of pairs."""
    for key, value in pairs:
        set_item(made, key, value)
    return made


def named_value(value: object) -> str:
    """What a message calls something that a pickle has made."""
    return value.name if isinstance(value, Named) else f"a {type(value).__name__.lower().lstrip('_')}"


def short(name: object) -> str:
    """A name as a message has it."""
    text = repr(name)
    return text if len(text) <= 80 else f"{text[:77]}..."


# ---- arrays of NumPy, which are pickled as a call and their bytes


class _Kind:
    """The type of an array's elements."""

    __slots__ = ("dtype",)

    def __init__(self, code: Any, *unused: Any) -> None:  # then: align, copy
        if code == "b1" or code in _CODES:
            self.dtype = np.dtype(code)
        else:
            raise RefusedError(f"its arrays are of the type {short(code)}; save numbers")

    def of(self, content: Any, shape: Any, *, fortran: bool = False) -> np.ndarray:
        """The array that bytes are, without a copy."""
        if not isinstance(content, (bytes, bytearray)) or not isinstance(shape, tuple):
            raise DamagedError("an array is described wrongly")
        if len(shape) > _MOST_AXES or not all(type(each) is int and each >= 0 for each in shape):
            raise DamagedError("an array is described wrongly")
        if math.prod(shape) * self.dtype.itemsize != len(content):
            raise DamagedError(f"an array of shape {short(shape)} has {len(content)} bytes")
        return np.frombuffer(content, self.dtype).reshape(shape, order="F" if fortran else "C")


class _Array:
    """An array before its state says what it is."""

    __slots__ = ("values",)

    def __init__(self, *unused: Any) -> None:  # of `_reconstruct`: class, shape, type
        self.values: np.ndarray | None = None


def _encoded(text: Any, encoding: Any) -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise DamagedError("bytes are described wrongly")
    return text.encode("latin-1")


def _scalar(kind: Any, content: Any) -> int | float | bool:
    return of_kind(kind, _Kind).of(content, ()).item()


def _from_buffer(content: Any, kind: Any, shape: Any, order: Any) -> np.ndarray:
    return of_kind(kind, _Kind).of(content, shape, fortran=order == "F")


class _Arrays(Steps):
    needs = "arrays of numbers"
    advice = "save arrays, numbers, texts, lists and dicts alone"
    names = named(
        {
            "_codecs.encode": _encoded,
            "__builtin__.bytes": lambda: b"",
            "collections.OrderedDict": lambda pairs=(): ordered({}, pairs),
            "numpy.ndarray": None,
            "numpy.dtype": _Kind,
            **{
                f"numpy.{core}.{name}": make
                for core in ("core", "_core")
                for name, make in (
                    ("multiarray._reconstruct", _Array),
                    ("multiarray.scalar", _scalar),
                    ("numeric._frombuffer", _from_buffer),
                )
            },
        }
    )

    def build(self, made: Any, state: Any) -> None:
        """The byte order of a type, and the elements of an array."""
        state = of_kind(state, tuple)
        if isinstance(made, _Kind):
            if state[1] not in ("<", ">", "|", "="):
                raise DamagedError("a type is described wrongly")
            made.dtype = made.dtype.newbyteorder(state[1])
        elif isinstance(made, _Array):
            _, shape, kind, fortran, content = state
            made.values = of_kind(kind, _Kind).of(content, shape, fortran=fortran is True)
        else:
            super().build(made, state)


def read_plain(path: PathLike) -> Any:
    """What a pickle of arrays of numbers, numbers, texts, lists, tuples and dicts holds.

    It cannot run anything, and takes a few times as much memory as the file has bytes. Arrays are read-only.

    Raises:
        RefusedError: for one that names anything else.
        Exception: for one that is damaged, whatever is met first.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        return _settled(_Arrays(STEPS + size // _BYTES_A_STEP).load(io.BytesIO(file.read())))


def _settled(root: Any) -> Any:
    """The same with arrays in place of what stood for them. Containers may be shared, and hold themselves."""
    seen: set[int] = set()
    todo = [root]
    while todo:
        each = todo.pop()
        if id(each) in seen or not isinstance(each, (list, dict)):
            continue
        seen.add(id(each))
        for key, value in each.items() if isinstance(each, dict) else enumerate(each):
            if isinstance(value, _Array):
                each[key] = value.values
            else:
                todo.append(value)
    return root.values if isinstance(root, _Array) else root

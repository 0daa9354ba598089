"""The error for what the person at the keyboard can mend."""

from typing import Any

from keras_actrec._text import printable

_MOST = 2000  # characters of a message


class UserError(ValueError):
    """A wrong argument, file, recipe or installation that the person can put right.

    The message is one line that names the thing and the fix. The command line prints it as `error: <message>`
    and exits with status 1; in Python it is an ordinary `ValueError`. Names from outside stand in it without
    characters that could steer a terminal, and shortened where they have thousands of characters.
    """

    # Keras writes the arguments of a layer's call below an error of it, unless the error has this.
    _keras_call_info_injected = True

    def __str__(self) -> str:
        text = printable(super().__str__())
        return text if len(text) <= _MOST else f"{text[: _MOST - 500]}…{text[-499:]}"


class MisfitError(UserError):
    """Arguments that do not go together.

    Args:
        line: the message.
        *pairs: pairs of names: what the first one holds does not fit the choice that the second one is.
    """

    def __init__(self, line: str, *pairs: tuple[str, str]):
        super().__init__(line)
        self.pairs = pairs


class DiskFullError(UserError):
    """There is no room for a file: the disk, a quota, or the largest size of a file. What was there stays.

    Args:
        path: the file.
        again: what the same command does when there is room.
    """

    def __init__(self, path: object, again: str = "goes on"):
        super().__init__(
            f"{path} cannot be written, the disk is full: make room, and the same command {again}"
        )
        self.path, self.again = path, again

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.again), self.__dict__

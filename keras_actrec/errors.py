"""The error for what the person at the keyboard can mend."""

from keras_actrec._text import printable

_MOST = 2000  # characters of a message


class UserError(ValueError):
    """A wrong argument, file, recipe or installation that the person can put right.

    The message is one line that names the thing and the fix. The command line prints it as `error: <message>`
    and exits with status 1; in Python it is an ordinary `ValueError`. It names what comes from outside, and
    has no character that could steer a terminal, and of a name of many thousand characters not all.
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

"""The error for what the person at the keyboard can mend."""


class UserError(ValueError):
    """A wrong argument, file, recipe or installation that the person can put right.

    The message is one line that names the thing and the fix. The command line prints it as `error: <message>`
    and exits with status 1; in Python it is an ordinary `ValueError`.
    """


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
        self.path = path

"""The known name that somebody may have meant."""

import difflib
from collections.abc import Iterable

_MOST = 80  # letters of a name


def did_you_mean(
    name: object, known: Iterable[str], *, count: int = 1, prefix: str = "", otherwise: str | None = None
) -> str:
    """What an error says of a name that is not known: `did you mean 'a', 'b' or 'c'?`.

    Near are names that differ in few letters, then those that begin with what was given; upper and lower
    case are the same.

    Args:
        name: what was given.
        known: the names that are known.
        count: most names to give.
        prefix: what the names that are given begin with.
        otherwise: what is said where no name is near; by default `there are:` and all names, of long ones
            the beginning.

    Returns:
        The phrase, without a full stop.
    """
    known = [str(each) for each in known]
    spelled = {each.casefold(): each for each in known}
    given = str(name).casefold()
    near = difflib.get_close_matches(given, spelled, n=count)
    if len(given) > 2:
        near += [each for each in spelled if each.startswith(given) and each not in near]
    if near:
        *most, last = [repr(_short(prefix + spelled[each])) for each in near[:count]]
        return f"did you mean {', '.join(most)} or {last}?" if most else f"did you mean {last}?"
    return f"there are: {', '.join(map(_short, known)) or 'none'}" if otherwise is None else otherwise


def _short(name: str) -> str:
    return name if len(name) <= _MOST else f"{name[:_MOST]}…"

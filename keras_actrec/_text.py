"""Names of files, classes and tensors as text: what comes from outside steers no terminal and no page."""

import os
import shlex

# Not printable by Unicode's word, but harmless, and parts of names in many scripts and of emoji: two wide
# spaces and the two joiners.
_HARMLESS = frozenset("\u00a0\u3000\u200c\u200d")


def printable(name: object) -> str:
    r"""A name on one line, in characters that only show themselves.

    Escape sequences, line breaks, marks that turn the direction of writing and what UTF-8 does not have are
    written as in a Python string, such as `\x1b`.
    """
    text = str(name)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in _HARMLESS else ascii(c)[1:-1] for c in text)


def shown(value: object, most: int = 80) -> str:
    """A value that was received, as Python writes it, or so much of it."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of more than 4300 digits, or many levels of lists
        return f"a huge {type(value).__name__}"
    return text if len(text) <= most else f"{text[:most]}…"


def command(*words: object) -> str:
    """A command of ours that works when it is pasted into a shell, whatever the names in it are."""
    return " ".join(["keras-actrec", *(_quoted(str(word)) for word in words)])


def _quoted(word: str) -> str:
    if word.isprintable():
        return shlex.quote(word)
    written = (
        c if c.isprintable() and c not in "'\\" else "".join(f"\\x{byte:02x}" for byte in os.fsencode(c))
        for c in word
    )
    return f"$'{''.join(written)}'"

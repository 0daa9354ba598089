"""Names in pictures: which of them can be drawn, and with which fonts."""

import unicodedata
from collections.abc import Callable, Iterable

from keras_actrec._text import printable


def lettering(
    names: Iterable[str], otherwise: Callable[[int], str], most: int = 32
) -> tuple[list[str], list[str]]:
    """What to draw for names, whatever their script.

    Args:
        names: of classes, files, values.
        otherwise: what stands for the n-th name where no installed font has all its characters.
        most: characters of a name that are drawn.

    Returns:
        A text for each name, and the families of fonts that have their characters.
    """
    from matplotlib import __version_info__, font_manager

    names = [unicodedata.normalize("NFC", printable(name)) for name in names]
    texts = [name if len(name) <= most else name[: most - 1] + "…" for name in names]
    default = font_manager.get_font(font_manager.findfont(font_manager.FontProperties()))
    missing = {c for text in texts for c in text if not default.get_char_index(ord(c)) and not c.isspace()}
    families = ["sans-serif"]
    for font in font_manager.fontManager.ttflist:
        # Of the last resort every character is the same box.
        if not missing or font.name.startswith("Last Resort"):
            continue
        charmap = font_manager.get_font(font.fname)
        if found := {c for c in missing if charmap.get_char_index(ord(c))}:
            families.append(font.name)
            missing -= found
    if __version_info__ < (3, 11):  # which puts letter after letter, from left to right
        missing |= {c for text in texts for c in text if is_shaped(c)}
    return [
        otherwise(number) if missing.intersection(text) else text for number, text in enumerate(texts)
    ], families


def is_shaped(c: str) -> bool:
    """Whether a character is written from right to left, or joins the one beside it."""
    return unicodedata.bidirectional(c) in ("R", "AL") or unicodedata.category(c) in ("Mn", "Mc")

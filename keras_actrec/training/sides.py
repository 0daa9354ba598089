"""Classes that are each other's mirror image, by their names."""

import re
from collections.abc import Sequence

from keras_actrec.errors import UserError
from keras_actrec.training.tables import Recipe

# A word and the one that a mirror shows in its place.
_PAIRS = (
    ("left", "right"),
    ("leftward", "rightward"),
    ("leftwards", "rightwards"),
    ("lefthand", "righthand"),
    ("l", "r"),
    ("clockwise", "counterclockwise"),
)
_MIRRORED = {one: other for pair in _PAIRS for one, other in (pair, pair[::-1])}
_SPELLINGS = {"anticlockwise": "counterclockwise", "ccw": "counterclockwise", "cw": "clockwise"}
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


def mirrored_classes(names: Sequence[str]) -> list[list[int]]:
    """Pairs of class ids whose names differ in left and right, l and r, or the sense of turning alone.

    Words may be written in any case, joined (`turnLeft`) or apart. A name that is one letter has no side.

    Args:
        names: of the classes, in their order.

    Returns:
        The pairs, each id once, in order.
    """
    words = [_words(name) for name in names]
    ids = {each: number for number, each in reversed(list(enumerate(words)))}
    pairs = []
    for number, each in enumerate(words):
        other = ids.get(tuple(_MIRRORED.get(word, word) for word in each), number)
        if ids[each] == number < other:
            pairs.append([number, other])
    return pairs


def check_sides(recipe: Recipe, names: Sequence[str]) -> None:
    """Refuse to show classes in a mirror that it turns into each other, and that keep their labels.

    Args:
        recipe: what is trained.
        names: of the classes, in their order.

    Raises:
        UserError: for such a recipe; it names the pair and what to set.
    """
    clip, skeleton = recipe.clip, recipe.skeleton
    mirroring = clip or skeleton
    swap = [list(pair) for pair in mirroring.swap] if mirroring else []
    swapped = {frozenset(pair) for pair in swap}
    pairs = [pair for pair in mirrored_classes(names) if frozenset(pair) not in swapped]
    if not pairs:
        return
    one, other = (names[number] for number in pairs[0])
    what = f"a mirror turns the classes {one!r} and {other!r} into each other"
    taken = {number for pair in pairs for number in pair}
    swaps = [pair for pair in swap if not taken & set(pair)] + pairs
    if clip and clip.flip:
        raise UserError(f"{what}: set clip.flip=false, or clip.swap={swaps}, which swaps their labels")
    if clip and clip.transform.has_mirrored_crops:
        fewer = "1" if clip.crop == "none" else "1 or 3"
        words = f"half of {clip.num_crops} crops are mirrored: set clip.num_crops={fewer}"
        raise UserError(f"{what}, and {words}")
    if skeleton and skeleton.mirror:
        raise UserError(f"{what}: leave skeleton.mirror out, or set skeleton.swap={swaps}")


def _words(name: str) -> tuple[str, ...]:
    found = [word.lower() for word in _WORD.findall(name)]
    text = " ".join(_SPELLINGS.get(word, word) for word in found)
    text = re.sub(r"\b(counter|anti) clockwise\b", "counterclockwise", text)
    # A letter alone, as of an alphabet of signs, has no side.
    return tuple(text.split()) if len(text) > 1 else (f"the letter {name}",)

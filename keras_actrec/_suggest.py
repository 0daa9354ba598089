"""What a name that is not known was meant to be."""

import difflib


def did_you_mean(name, known):
    """`did you mean 'x'?`, or, where no name is near, `there are: x, y`."""
    near = difflib.get_close_matches(str(name), list(known), n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(known))}"

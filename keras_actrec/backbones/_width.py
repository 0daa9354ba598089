"""Channel numbers of narrower and wider networks."""


def scaled(channels: int, width: float) -> int:
    """`channels` times `width`, as a multiple of 8 and at least 8."""
    return max(8, round(channels * width / 8) * 8)

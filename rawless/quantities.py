"""Numbers in sentences: with their noun, and bytes in the unit that suits them."""


def counted(count: int, noun: str) -> str:
    """Return a number with its noun, as in 1 row and 2,000 rows."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def format_bytes(size: float) -> str:
    """Return a size to three digits in the unit that suits it, as in 1.5 GB."""
    for unit, name in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "KB")):
        if size >= 0.9995 * unit:  # from which on three digits are 1.00
            return f"{float(f'{size / unit:.3g}'):,g} {name}"
    return f"{round(size)} bytes"

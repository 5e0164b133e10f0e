"""Text that others wrote, made fit to be shown."""


def counted(count: int, noun: str) -> str:
    """``1 cell``, ``2 cells``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def printable(text: str, longest: int | None = None) -> str:
    r"""Text as a terminal may be given it, up to ``longest`` characters of it.

    Line ends stay. Whatever else moves the cursor, changes colours, reverses the reading or cannot be encoded is shown
    as its escape.

    >>> printable("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    if longest is not None and len(text) > longest:
        text = f"{text[:longest]}…"
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each == "\n" else ascii(each)[1:-1] for each in text)

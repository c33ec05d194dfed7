"""fathom chat."""


def chat() -> None:
    """Chat in the terminal."""

"""What a child of the nursery does in its tests; imports next to nothing."""

import os
from multiprocessing.connection import Connection


def tell(pipe: Connection) -> None:
    """The parent of this process, and what it finds in its environment."""
    pipe.send((os.getppid(), os.environ.get("FATHOM_TOLD")))

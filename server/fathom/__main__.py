"""The `fathom` command. Kept light: vLLM's child processes import this module again, first of all."""

import multiprocessing

from fathom.engine.plugin import end_with_parent

if multiprocessing.parent_process():
    end_with_parent()


def main() -> None:
    from fathom.cli import app

    app()


if __name__ == "__main__":
    main()

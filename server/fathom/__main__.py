"""The `fathom` command. Kept light: vLLM's child processes import this module again."""


def main() -> None:
    from fathom.cli import app

    app()


if __name__ == "__main__":
    main()

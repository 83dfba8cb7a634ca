"""``python -m memo``: the command line."""

from memo.cli import main

if __name__ == "__main__":
    main()

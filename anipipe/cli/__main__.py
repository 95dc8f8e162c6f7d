"""`python -m anipipe.cli`."""

from anipipe.cli import main

if __name__ == "__main__":
    main()

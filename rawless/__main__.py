"""`python -m rawless`: the command line."""

from rawless.cli.main import main

if __name__ == "__main__":
    main()

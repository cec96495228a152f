"""Run the command line with `python -m rawless`."""

from rawless.cli.main import main

if __name__ == "__main__":
    main()

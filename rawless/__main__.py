"""`python -m rawless`: the command line."""

from rawless.main import main

if __name__ == "__main__":
    main()

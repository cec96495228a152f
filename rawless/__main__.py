"""Run the command line, as `rawless` or `python -m rawless`. Ctrl-C ends it without a traceback from the beginning."""

from rawless.cli.interrupts import end, end_on_interrupt, raise_on_interrupt


def main() -> None:
    """Run the command line and exit."""
    end_on_interrupt()
    from rawless.cli.main import main as run_command

    try:
        raise_on_interrupt()
        run_command()
    except KeyboardInterrupt:
        end()
    finally:
        end_on_interrupt()


if __name__ == "__main__":
    main()

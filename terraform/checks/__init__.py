"""Checks of the deployment that need no cloud; `python -m terraform.checks` runs them, and so does `make check`."""

"""Checks of the privacy promises from outside, against everything that a run leaves behind."""

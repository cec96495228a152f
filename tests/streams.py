"""What the streams of many tests share."""

ANY_ID = {"pattern": "[A-Za-z0-9_-]{1,64}"}
"""A rule for event ids under which tests can use readable ones."""

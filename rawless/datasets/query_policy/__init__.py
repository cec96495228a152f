"""Restrict the SQL of labels and rules: checks of its tokens and its syntax tree, before any query is sent."""

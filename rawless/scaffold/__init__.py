"""Writes the first files of a project: a stream, a dataset with its label, a head and a service, each with comments.

What they contain is asked for, or proposed after a look at a file or folder. No content reaches these files: names of
columns do, and values only if they are few, short and plain, as `rawless.scaffold.facts` says.
"""

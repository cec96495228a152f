"""The console: one local web page over the warehouse, which reads and never writes.

`access` decides which requests are answered, `app` names the pages, `reads` reads their parts, and the module named as
a page returns what it shows.
"""

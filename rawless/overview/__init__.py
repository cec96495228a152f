"""What a warehouse contains, as rows for a screen or a page: streams, datasets, heads and audits.

Nothing here writes, or reads a vector or an attribute.
"""

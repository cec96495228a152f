"""What a warehouse contains, as rows for a screen or a page: streams, datasets, heads and audits.

Nothing here writes, reads a vector or an attribute, or imports numpy, pandas or torch.
"""

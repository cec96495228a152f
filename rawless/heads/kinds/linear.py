"""Linear heads: softmax regression for classes, linear regression for numbers."""

from rawless.heads.feed_forward import FeedForwardKind, FeedForwardSpec


class Linear(FeedForwardKind[FeedForwardSpec]):
    """A feed-forward head without hidden layers; it has no options of its own."""

    spec_type = FeedForwardSpec

    def hidden(self, spec: FeedForwardSpec) -> tuple[int, ...]:
        """Return no widths."""
        return ()


KIND = Linear()

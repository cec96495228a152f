"""Linear heads: softmax regression for classes, linear regression for numbers."""

from rawless.heads.feed_forward import FeedForwardKind
from rawless.heads.spec import HeadSpec


class Linear(FeedForwardKind[HeadSpec]):
    """A feed-forward head without hidden layers; it has no options of its own."""

    spec_type = HeadSpec

    def hidden(self, spec: HeadSpec) -> tuple[int, ...]:
        """Return no widths."""
        return ()


KIND = Linear()

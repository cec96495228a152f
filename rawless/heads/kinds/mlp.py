"""Multilayer perceptrons: feed-forward heads with hidden layers, for classes or numbers."""

from rawless.heads.feed_forward import FeedForwardKind, FeedForwardSpec
from rawless.heads.spec import Widths


class MlpSpec(FeedForwardSpec):
    """A multilayer perceptron to train."""

    hidden: Widths = (128,)
    """Widths of the hidden layers."""


class Mlp(FeedForwardKind[MlpSpec]):
    """A feed-forward head with hidden layers."""

    spec_type = MlpSpec

    def hidden(self, spec: MlpSpec) -> tuple[int, ...]:
        """Return the widths that the spec declares."""
        return spec.hidden


KIND = Mlp()

"""Building networks whose weights have a shape and a type, but take neither memory nor time."""

from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_MAKERS = (torch.empty, torch.zeros, torch.ones)
"""What torch and torchvision make weights and statistics of; tables are made of ranges."""


class WithoutValues(TorchFunctionMode):
    """While it is entered, tensors that would be empty, zeros or ones have no values.

    Unlike with `torch.device("meta")`, builders may compute with numbers in tensors, and tables keep their values.
    """

    def __torch_function__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), options: dict[str, Any] | None = None
    ) -> Any:
        """Call the function, for a tensor without values if it makes one on no device in particular."""
        options = dict(options or {})
        if function in _MAKERS and options.get("device") is None:
            options["device"] = "meta"
        return function(*arguments, **options)

"""`Raw`, the wrapper of content that must not leave the process by accident."""

from typing import Generic, NoReturn, TypeVar

T_co = TypeVar("T_co", covariant=True)


class Raw(Generic[T_co]):
    """Wraps content, which only `reveal()` returns.

    Its repr is redacted, so that log lines and errors that quote it reveal nothing. Every operation that would turn
    it into text or bytes, or distinguish two contents, raises TypeError: str, format, bytes, JSON, pickle, copy and
    hash. Two wrappers are equal only if they are the same object.
    """

    __slots__ = ("_value",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, value: T_co) -> None:
        self._value = value

    def reveal(self) -> T_co:
        """Return the content. Call this only inside `guarded`, and keep the result there."""
        return self._value

    def __repr__(self) -> str:
        return "Raw(redacted)"

    def __str__(self) -> NoReturn:
        raise TypeError("Raw refuses to become text")

    def __format__(self, spec: str) -> NoReturn:
        raise TypeError("Raw refuses to become text")

    def __bytes__(self) -> NoReturn:
        raise TypeError("Raw refuses to become bytes")

    def __getstate__(self) -> NoReturn:  # what jsonpickle reads, which Beam depends on
        raise TypeError("Raw refuses to be pickled or copied")

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("Raw refuses to be pickled or copied")

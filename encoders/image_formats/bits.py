"""Reading numbers of bits, as the headers of compressed video write them."""

from rawless.privacy import Reason, Rejected

_MAX_PREFIX = 32


class Bits:
    """The bits of a header, the highest of each byte first. Raises Rejected when the header ends before."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def number(self, length: int) -> int:
        """Return the number in the next bits."""
        self._left -= length
        if self._left < 0:
            raise Rejected(Reason.UNDECODABLE_IMAGE)
        return self._value >> self._left & (1 << length) - 1

    def flag(self) -> bool:
        """Return whether the next bit is set."""
        return bool(self.number(1))

    def counted(self) -> int:
        """Return an Exp-Golomb number: as many zeros as its bits that follow a one."""
        zeros = 0
        while not self.flag():
            zeros += 1
            if zeros > _MAX_PREFIX:
                raise Rejected(Reason.UNDECODABLE_IMAGE)
        return (1 << zeros) - 1 + self.number(zeros)

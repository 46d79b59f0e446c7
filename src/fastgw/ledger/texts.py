"""Decides how millions of short texts are kept by number: their bytes one after the other, no object for each."""

from array import array


class Texts:
    """Text by number from 0, "" where none was put; up to 255 bytes each."""

    def __init__(self) -> None:
        self.bytes = bytearray()
        self.starts = array("Q")
        self.lengths = bytearray()

    def put(self, number: int, text: str) -> None:
        """Keep a text; room of one that it replaces is not used again. Raises ValueError for a longer one."""
        raw = text.encode()
        if number < len(self.lengths) and self.get(number) == text:
            return
        missing = number + 1 - len(self.lengths)
        if missing > 0:
            self.starts.extend([0] * missing)
            self.lengths.extend(bytes(missing))
        self.lengths[number] = len(raw)
        self.starts[number] = len(self.bytes)
        self.bytes += raw

    def get(self, number: int) -> str:
        if number >= len(self.lengths):
            return ""
        start = self.starts[number]
        return self.bytes[start : start + self.lengths[number]].decode()

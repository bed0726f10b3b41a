"""Pauses between rounds of attempts (R2)."""

_MIN = 0.025
_MAX = 0.5


class Backoff:
    """A pause that doubles with each use."""

    def __init__(self, first: float = _MIN, longest: float = _MAX) -> None:
        self._first = first
        self._longest = longest
        self._next = first

    def next(self) -> float:
        """Returns the pause to make now, in seconds."""
        pause = self._next
        self._next = min(2 * pause, self._longest)
        return pause

    def reset(self) -> None:
        self._next = self._first

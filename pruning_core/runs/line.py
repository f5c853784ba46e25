"""Who waits for one device, in the order in which they will be taken."""

from __future__ import annotations

from collections import deque


class Line:
    """Owners take turns, each with their own runs in order; what nobody asked for comes after all of them."""

    def __init__(self) -> None:
        self._asked: dict[str, deque[str]] = {}  # in the order of whose turn it is
        self._unasked: deque[str] = deque()

    def add(self, job_id: str, owner: str, unasked: bool = False) -> None:
        """A newcomer waits for one run of everybody else, however many those have."""
        if unasked:
            self._unasked.append(job_id)
        else:
            self._asked.setdefault(owner, deque()).append(job_id)

    def take(self) -> str:
        """The next one, which leaves. Raises IndexError when nobody waits."""
        owner = next(iter(self._asked), None)
        if owner is None:
            return self._unasked.popleft()
        own = self._asked.pop(owner)
        taken = own.popleft()
        if own:
            self._asked[owner] = own  # behind the others
        return taken

    def remove(self, job_id: str) -> None:
        """Nothing happens when it does not wait."""
        for owner, own in list(self._asked.items()):
            if job_id in own:
                own.remove(job_id)
                if not own:
                    del self._asked[owner]
        if job_id in self._unasked:
            self._unasked.remove(job_id)

    def order(self) -> list[str]:
        """All that wait, as they will be taken if nobody comes or goes."""
        rounds = max(map(len, self._asked.values()), default=0)
        turns = [own[n] for n in range(rounds) for own in self._asked.values() if n < len(own)]
        return [*turns, *self._unasked]

    def of(self, owner: str) -> int:
        """How many this owner asked for."""
        return len(self._asked.get(owner, ()))

    def __len__(self) -> int:
        return sum(map(len, self._asked.values())) + len(self._unasked)

"""What this process has seen of targets and conversations, for the next plan: how fast targets are, and who was asked last.

Rule: all of it may be lost; it makes answers faster and cheaper, not right or wrong. Limits: bounded in number; the oldest goes.
"""

from math import inf

from routing.plan.plan import Attempt
from routing.routes.speed import Speed

CONVERSATIONS_MAX = 65_536
TARGETS_MAX = 4_096


class Observed:
    """Speeds by the id of the model; targets by route and conversation."""

    def __init__(self) -> None:
        self.first_token_s: dict[str, float] = {}
        self._speeds: dict[str, Speed] = {}
        self._kept: dict[tuple[str, str], tuple[str, float]] = {}

    def answered(self, attempt: Attempt, first_token_s: float, now_s: float) -> None:
        """An answer of this target has begun, so many seconds after it was asked."""
        model_id = attempt.model.id if attempt.model.is_listed else attempt.provider.name
        known = self._speeds.get(model_id)
        if known is None and len(self._speeds) >= TARGETS_MAX:
            self._speeds.clear()
            self.first_token_s.clear()
        speed = Speed(first_token_s, now_s) if known is None else known.after(first_token_s, now_s)
        self._speeds[model_id] = speed
        self.first_token_s[model_id] = speed.first_token_s

    def kept(self, route_id: str, conversation: str, now_s: float) -> str:
        """The target that a conversation stays with; empty when there is none."""
        target, until_s = self._kept.get((route_id, conversation), ("", -inf))
        return target if now_s < until_s else ""

    def keep(self, route_id: str, conversation: str, target: str, until_s: float) -> None:
        """The conversation was sent there, and stays until then."""
        key = (route_id, conversation)
        self._kept.pop(key, None)
        if len(self._kept) >= CONVERSATIONS_MAX:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = (target, until_s)

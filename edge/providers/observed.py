"""What this process has seen of targets and conversations, for the next plan: how fast targets are, and who was asked last.

Rule: all of it may be lost; it makes answers faster and cheaper, not right or wrong. Limits: bounded in number; the oldest goes.
"""

from math import inf
from time import monotonic

from routing.failures.failure import Failure
from routing.plan.plan import Attempt
from routing.plan.storm import Storm, is_refusal_of_load, may_repeat_now, shed_failure
from routing.routes.speed import Speed

CONVERSATIONS_MAX = 65_536
TARGETS_MAX = 4_096


class Observed:
    """Speeds by the id of the model; targets by route and conversation."""

    def __init__(self) -> None:
        self.first_token_s: dict[str, float] = {}
        self._speeds: dict[str, Speed] = {}
        self._kept: dict[tuple[str, str], tuple[str, float]] = {}
        self._asking: dict[str, int] = {}
        self._repeating: dict[str, int] = {}
        self._storms: dict[str, tuple[Storm, Failure]] = {}

    def ask(self, provider: str) -> None:
        """A request is under way to this provider, until `told`."""
        self._asking[provider] = self._asking.get(provider, 0) + 1

    def told(self, provider: str) -> None:
        """It has begun to answer, or failed."""
        self._asking[provider] -= 1

    def begin_repeat(self, attempt: Attempt) -> bool:
        """Whether the same may be asked again now; it then is, until `end_repeat`."""
        provider = attempt.provider.name
        repeating = self._repeating.get(provider, 0)
        if not may_repeat_now(self._asking.get(provider, 0), repeating, attempt.policy.retry_budget):
            return False
        self._repeating[provider] = repeating + 1
        return True

    def end_repeat(self, attempt: Attempt) -> None:
        self._repeating[attempt.provider.name] -= 1

    def shed(self, attempt: Attempt, roll: float) -> Failure | None:
        """What a request to this target fails with unsent, because most of the last ones were refused; None: send it."""
        if not self._storms:
            return None
        storm = self._storms.get(attempt.scopes.target)
        if storm is None:
            return None
        # What is not sent counts as asked: so the part that is sent follows the part that is accepted.
        now_s = monotonic()
        if roll < storm[0].shed(now_s):
            self._storms[attempt.scopes.target] = (storm[0].after(now_s, accepted=False), storm[1])
            return shed_failure(storm[1])
        return None

    def count(self, attempt: Attempt, failure: Failure | None, now_s: float, began_s: float) -> None:
        """An attempt that began at `began_s` was accepted (None), or refused; other failures say nothing of its load.

        Refusals of what was under way together are one: a burst of one account is no storm for the others.
        """
        scope = attempt.scopes.target
        known = self._storms.get(scope)
        if failure is not None and is_refusal_of_load(failure):
            if known is not None and began_s < known[0].at_s:
                return
            if known is None and len(self._storms) >= TARGETS_MAX:
                self._storms.clear()
            storm = Storm(0.0, 0.0, now_s) if known is None else known[0]
            self._storms[scope] = (storm.after(now_s, accepted=False), failure)
        elif failure is None and known is not None:
            storm = known[0].after(now_s, accepted=True)
            if storm.is_over:
                del self._storms[scope]
            else:
                self._storms[scope] = (storm, known[1])

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

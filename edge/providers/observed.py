"""What this process has seen of targets and conversations, for the next plan: how fast targets are, and who was asked last.

Rule: all of it may be lost; it makes answers faster and cheaper, not right or wrong. Limits: bounded in number; the oldest goes.
Rule: a storm is one account's: whoever is refused is held back, and nobody beside it.
"""

from collections import defaultdict
from math import inf
from time import monotonic

import msgspec

from routing.failures.failure import Failure
from routing.plan.plan import Attempt
from routing.plan.storm import HALF_LIFE_S, Storm, is_refusal_of_load, may_repeat_now, shed_failure
from routing.routes.speed import Speed

CONVERSATIONS_MAX = 65_536
TARGETS_MAX = 4_096


class AccountStorm(msgspec.Struct, frozen=True):
    """What one account is refused by one target: the storm, when its first refusal was heard (monotonic), and the last one."""

    storm: Storm
    since_s: float
    last: Failure


class Observed:
    """Speeds by the id of the model; targets by route and conversation."""

    def __init__(self) -> None:
        self.first_token_s: dict[str, float] = {}
        self._speeds: dict[str, Speed] = {}
        self._kept: dict[tuple[str, str], tuple[str, float]] = {}
        self._asking: defaultdict[str, int] = defaultdict(int)
        self._repeating: dict[str, int] = {}
        self._storms: dict[tuple[str, str], AccountStorm] = {}
        """By target and account."""
        self.has_storms = False
        """Whether any account is held back anywhere: if not, nobody's request is looked at for it."""

    def begin_wait(self, provider: str) -> None:
        """A request is under way to this provider, until `end_wait`."""
        self._asking[provider] += 1

    def end_wait(self, provider: str) -> None:
        """It has begun to answer, or failed."""
        self._asking[provider] -= 1

    def begin_repeat(self, attempt: Attempt) -> bool:
        """Whether the same may be asked again now; it then is, until `end_repeat`."""
        provider = attempt.provider.name
        repeating = self._repeating.get(provider, 0)
        if not may_repeat_now(self._asking[provider], repeating, attempt.policy.retry_budget):
            return False
        self._repeating[provider] = repeating + 1
        return True

    def end_repeat(self, attempt: Attempt) -> None:
        self._repeating[attempt.provider.name] -= 1

    def shed(self, attempt: Attempt, account: str, roll: float) -> Failure | None:
        """What an account's request to this target fails with unsent, because most of its last were refused; None: send it."""
        at = (attempt.scopes.target, account)
        known = self._storms.get(at)
        if known is None:
            return None
        # What is not sent counts as asked: so the part that is sent follows the part that is accepted.
        now_s = monotonic()
        if roll < known.storm.shed(now_s):
            self._storms[at] = AccountStorm(known.storm.after(now_s, accepted=False), known.since_s, known.last)
            return shed_failure(known.last)
        return None

    def count(self, attempt: Attempt, account: str, failure: Failure | None, now_s: float, began_s: float) -> None:
        """An attempt that began at `began_s` was accepted (None), or refused; other failures say nothing of its load.

        What was under way when the first refusal was heard is one with it: who sent a burst could not know better.
        """
        at = (attempt.scopes.target, account)
        known = self._storms.get(at)
        if failure is not None and is_refusal_of_load(failure):
            storm, since_s = Storm(0.0, 0.0, now_s), now_s
            if known is not None and now_s - known.storm.at_s <= HALF_LIFE_S:
                storm, since_s = known.storm, known.since_s
                if began_s < since_s:
                    return
            elif len(self._storms) >= TARGETS_MAX:
                self._storms.clear()
            self._storms[at] = AccountStorm(storm.after(now_s, accepted=False), since_s, failure)
            self.has_storms = True
        elif failure is None and known is not None:
            storm = known.storm.after(now_s, accepted=True)
            if storm.is_over:
                del self._storms[at]
                self.has_storms = bool(self._storms)
            else:
                self._storms[at] = AccountStorm(storm, known.since_s, known.last)

    def answered(self, attempt: Attempt, first_token_s: float, now_s: float) -> None:
        """An answer of this target has begun, so many seconds after it was asked."""
        model = attempt.model
        model_id = model.id if model.is_listed else attempt.provider.name
        known = self._speeds.get(model_id)
        if known is not None and known.is_fresh(first_token_s, now_s):
            return
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

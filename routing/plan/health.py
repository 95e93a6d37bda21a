"""Health of a provider, of one of its keys, or of one model behind one key: breaker and cool-down, as values.

Rule: only what was the provider's own doing counts, and what a caller's content can bring about (a 500, a crash, a time-out, a
403) closes nothing for others: it closes the target to the account whose requests fail, to all only when several see it.
Rule: failures that were in flight together are one. A failure whose attempt began before the last counted one ended tells
nothing new. Rule: a wait that a provider states is taken as said, without doubling.
Rule: what could not be reached closes the provider; a refused or exhausted key closes the key; what answered badly closes that
model behind that key, since models of one provider fail apart.
Strategy: a few failures in a row open it for a time that doubles with each further one; then one trial at a time decides. A
success heals at once, if its attempt began after the last failure: an older one tells of a time before. What was closed is then
given its requests back little by little (`routing.routes.restoration`). Where a policy has a `failure_rate`, a share of failures
within a window opens it like so many in a row. The mapping of healths holds only what is not well, or was not lately: an empty
mapping, the usual case, costs nothing.
Limits: times are seconds on the caller's monotonic clock; each process has its own view. A health remembers at most FAILURES_MAX
accounts, since by then it is open to all.
"""

from collections.abc import Mapping
from typing import Final, Literal, assert_never

import msgspec

from routing.failures.cause import ABOUT_ACCOUNT, ABOUT_KEY, Cause
from routing.failures.failure import Failure, Kind, Sent, Source
from routing.plan.window import EVERYBODY, Window
from routing.routes.restoration import Restoration, accounts_kept_out
from routing.routes.route import Breaker

FAILURES_MAX: Final = 5
"""So many failures in a row open the breaker."""
ACCOUNT_FAILURES_MAX: Final = 3
"""So many of them may be one account's for the others to be kept out too; so it takes two accounts."""
KEY_COOL_DOWN_S: Final = 60.0
KEY_COOL_DOWN_S_MAX: Final = 900.0
"""A rejected key is seldom accepted a minute later."""
EXHAUSTED_S: Final = 900.0
"""An exhausted key rests so long where no date is named."""
EXHAUSTED_S_MAX: Final = 31 * 86_400.0
LIMITED_S_MAX: Final = 3_600.0
"""A longer wait is not believed at once: after an hour it is asked again."""
TRIAL_S: Final = 10.0
"""A trial that has not ended by then makes room for the next."""

BREAKER: Final = Breaker()
"""Where no policy says otherwise."""
COOL_DOWN_S: Final = BREAKER.cool_down_s
COOL_DOWN_S_MAX: Final = BREAKER.cool_down_s_max

NOT_PASSIVE: Final = ABOUT_ACCOUNT | {Cause.MODEL_GONE, Cause.MODEL_UNKNOWN, Cause.RATE_LIMITED}

Changes = tuple[tuple[str, "Health | None"], ...]
"""Scope → its new health, None when it is well again: what to write into the mapping."""


class Scopes(msgspec.Struct, frozen=True):
    """Whose health one attempt depends on, from the widest to the narrowest."""

    provider: str
    key: str
    """A key by its value (a digest), so that another key in the same place is another scope."""
    target: str
    """One model behind one key. All unlisted models of a provider share one, so that callers cannot make up new ones."""
    is_listed: bool = True

    @property
    def all(self) -> tuple[str, str, str]:
        return self.provider, self.key, self.target


class Health(msgspec.Struct, frozen=True):
    """`failures` in a row so far, those in flight together counted once; closed to requests until `open_until_s`.

    `accounts` are the accounts and how many of the failures in a row each had, while all of them could be their content's doing;
    None once one was not. `cause` is the last failure's; the last new one ended at `failed_s`. `needs_trial`: when the time is
    over, one request tries before the others follow; not so after a wait that the provider stated.
    """

    failures: int = 0
    open_until_s: float = 0.0
    cause: Cause | None = None
    failed_s: float = float("-inf")
    accounts: tuple[tuple[str, int], ...] | None = None
    needs_trial: bool = True
    is_proved: bool = False
    """A trial at no cost went well, so a caller's request may be the next."""
    breaker: Breaker = BREAKER
    next_free_s: float = 0.0
    """No trial at no cost before that."""
    window: Window | None = None
    """What is counted for the policy's `failure_rate`."""
    restoration: Restoration | None = None
    """It was closed, and is given its requests back."""

    @property
    def kept_out(self) -> tuple[str, ...] | None:
        """The accounts whose requests are kept out while it is open; None: all are."""
        own_max = max(min(ACCOUNT_FAILURES_MAX, self.breaker.failures - 1), 1)
        return accounts_kept_out(self.accounts, self.breaker.failures, own_max)

    def concerns(self, account: str) -> bool:
        """Whether an account's requests are kept out while it is open."""
        return (kept_out := self.kept_out) is None or account in kept_out

    def is_open(self, now_s: float, account: str = "") -> bool:
        """Whether nothing of the account's may be sent there now."""
        return now_s < self.open_until_s and self.concerns(account)

    @property
    def is_passive(self) -> bool:
        """Whether it is closed for failures alone: nobody has said that it will not serve, nor for how long."""
        return self.needs_trial and self.cause not in NOT_PASSIVE

    def gives_way(self, now_s: float, roll: float, account: str = "") -> bool:
        """Whether it has just come back, and this request of the account's is not among those that it is given already."""
        return self.restoration is not None and self.restoration.gives_way(now_s, roll, account)

    def is_restored(self, now_s: float) -> bool:
        """Whether it is given all of its requests again, and nothing else is known of it."""
        is_back = self.restoration is not None and self.restoration.is_over(now_s)
        return is_back and not self.failures and not self.open_until_s and self.window is None

    def is_half_open(self, now_s: float, account: str = "") -> bool:
        """Whether it was open and the next request is a trial."""
        return self.needs_trial and 0 < self.open_until_s <= now_s and self.concerns(account)

    def after_trial(self, now_s: float) -> "Health":
        """A trial has begun: others wait for its end, but not for ever."""
        return msgspec.structs.replace(self, open_until_s=now_s + TRIAL_S, is_proved=False)

    def is_due(self, now_s: float) -> bool:
        """Whether a trial at no cost should be made."""
        return self.needs_trial and not self.is_proved and 0 < self.open_until_s <= now_s and self.next_free_s <= now_s

    def after_free_trial(self, now_s: float, *, went_well: bool) -> "Health":
        """It was asked at no cost. One that did not go well closes nothing: who has nothing else may still try."""
        again_s = now_s + (KEY_COOL_DOWN_S if self.cause in ABOUT_KEY else TRIAL_S)
        return msgspec.structs.replace(self, is_proved=went_well, next_free_s=again_s)

    def after_failure(self, failure: Failure, now_s: float, began_s: float = float("inf"), account: str = "") -> "Health":
        """One more failure, which this scope is to blame for (see `blamed`), of an attempt that began at `began_s`."""
        is_new = began_s > self.failed_s
        # A wait of nothing is none: who says that for ever is failing.
        is_limit = failure.is_answer and failure.cause is Cause.RATE_LIMITED and bool(failure.retry_after_s)
        counts = is_new and not is_limit
        failures = self.failures + counts
        accounts = self._accounts_after(failure, account, counts=counts)
        window = self.window if is_limit else self._window_after(account, now_s, failure)
        opened_to = self._opened_to(window, account, now_s)
        if opened_to != "nobody":
            failures = max(failures, self.breaker.failures)
            accounts, window = None if opened_to == "all" else ((account, failures),), None
        cause = failure.cause if failure.is_answer else None
        failed_s = now_s if is_new else self.failed_s
        known = Health(failures, self.open_until_s, cause, failed_s, accounts, breaker=self.breaker, restoration=self.restoration)
        after = msgspec.structs.replace(known, needs_trial=not is_limit, window=window)
        until_s = now_s + after._cool_s(failure, is_new=is_new or opened_to != "nobody")
        return msgspec.structs.replace(after, open_until_s=until_s) if until_s > max(now_s, self.open_until_s) else after

    def after_success(self, now_s: float, began_s: float, account: str) -> "Health | None":
        """An attempt that began at `began_s` has ended well: None, it is well again."""
        window = self.window
        if window is not None:
            window = None if window.is_over(now_s, self.breaker.window_s) else window.after(account, failed=False)
        if began_s <= self.failed_s:
            return self if window is self.window else msgspec.structs.replace(self, window=window)
        if self.open_until_s:
            window = None  # what was closed has had its trial, so what was counted is of a time before
        restoration = self._restoration_at(now_s)
        if window is None and restoration is None:
            return None
        if not self.failures and not self.open_until_s and (window, restoration) == (self.window, self.restoration):
            return self
        return Health(failed_s=self.failed_s, accounts=(), breaker=self.breaker, window=window, restoration=restoration)

    def _restoration_at(self, now_s: float) -> Restoration | None:
        """How it comes back with a success now. A wait that was stated is over with its end: by then all may come."""
        if self.open_until_s and self.needs_trial and (kept_out := self.kept_out) != ():
            return Restoration(now_s, kept_out)
        return None if self.restoration is None or self.restoration.is_over(now_s) else self.restoration

    def _window_after(self, account: str, now_s: float, failure: Failure) -> Window | None:
        if self.breaker.failure_rate is None:
            return None
        window = self.window
        if window is None or window.is_over(now_s, self.breaker.window_s):
            window = Window(now_s)
        return window.after(account if may_be_content(failure) else EVERYBODY, failed=True)

    def _opened_to(self, window: Window | None, account: str, now_s: float) -> Literal["nobody", "account", "all"]:
        """Whom the share of failures keeps out from now on, who is not kept out already."""
        rate = self.breaker.failure_rate
        if window is None or rate is None or self.is_open(now_s, account):
            return "nobody"
        if window.is_failing_all(rate):
            return "all"
        return "account" if window.is_failing(account, rate) else "nobody"

    def _accounts_after(self, failure: Failure, account: str, *, counts: bool) -> tuple[tuple[str, int], ...] | None:
        if self.accounts is None or not may_be_content(failure):
            return None
        known = dict(self.accounts)
        if account in known or len(known) < FAILURES_MAX:
            known[account] = known.get(account, 0) + (counts or account not in known)
        return tuple(known.items())

    def _cool_s(self, failure: Failure, *, is_new: bool) -> float:
        """How long it is closed from now."""
        stated_s = failure.retry_after_s or 0.0
        if failure.is_answer and failure.cause is Cause.EXHAUSTED:
            return min(max(stated_s, EXHAUSTED_S), EXHAUSTED_S_MAX)
        if failure.is_answer and failure.cause is Cause.RATE_LIMITED and stated_s:
            return min(stated_s, LIMITED_S_MAX)
        if not is_new:
            return 0.0
        if failure.is_answer and failure.cause is Cause.CREDENTIALS:
            return _doubled(KEY_COOL_DOWN_S, self.failures - 1, KEY_COOL_DOWN_S_MAX)
        breaker = self.breaker
        if self.failures >= breaker.failures:
            longest_s = breaker.cool_down_s_max
            return max(_doubled(breaker.cool_down_s, self.failures - breaker.failures, longest_s), min(stated_s, longest_s))
        return 0.0


_WELL: Final = Health(accounts=())


def _doubled(base_s: float, times: int, max_s: float) -> float:
    return min(base_s * (1 << min(max(times, 0), 20)), max_s)


def may_be_content(failure: Failure) -> bool:
    """Whether what one caller sent can have brought this about: its own trouble, until others have it too."""
    if failure.is_answer:
        return failure.cause not in (*ABOUT_KEY, Cause.RATE_LIMITED, Cause.OVERLOADED)
    return failure.sent is not Sent.NOTHING


def blamed(scopes: Scopes, failure: Failure) -> str | None:
    """The scope whose doing the failure was; None when it was nobody's there."""
    if failure.source is not Source.UPSTREAM:
        return None
    match failure.kind:
        case Kind.STATUS | Kind.STREAM_ERROR:
            return _blamed_for_cause(scopes, failure.cause)
        case Kind.CONNECT | Kind.TLS | Kind.TIMEOUT_CONNECT:
            return scopes.provider
        case Kind.TIMEOUT_FIRST_BYTE | Kind.TIMEOUT_IDLE | Kind.BROKEN | Kind.PROTOCOL | Kind.TRUNCATED:
            return scopes.target
        case Kind.TIMEOUT_TOTAL | Kind.TOO_LARGE | Kind.ABORTED | Kind.INTERNAL | Kind.JOURNAL:
            return None
    assert_never(failure.kind)


def _blamed_for_cause(scopes: Scopes, cause: Cause) -> str | None:
    match cause:
        case Cause.CREDENTIALS | Cause.EXHAUSTED:
            return scopes.key
        case Cause.FORBIDDEN | Cause.RATE_LIMITED | Cause.OVERLOADED | Cause.UNAVAILABLE | Cause.TIMED_OUT:
            return scopes.target
        case Cause.MODEL_GONE | Cause.MODEL_UNKNOWN:
            return scopes.target if scopes.is_listed else None
        case Cause.UNAFFORDABLE | Cause.UNEXPECTED:
            return None
        case Cause.TOO_LONG | Cause.TOO_LARGE | Cause.UNSUPPORTED | Cause.MODERATED | Cause.INVALID:
            return None
    assert_never(cause)


def begin(health: Mapping[str, Health], scopes: Scopes, now_s: float, account: str = "") -> Changes:
    """What to note when an attempt is sent: a half-open scope now has its trial."""
    known = ((scope, health.get(scope)) for scope in scopes.all)
    return tuple(
        (scope, each.after_trial(now_s)) for scope, each in known if each is not None and each.is_half_open(now_s, account)
    )


def end(
    health: Mapping[str, Health],
    scopes: Scopes,
    failure: Failure | None,
    now_s: float,
    began_s: float = float("inf"),
    account: str = "",
    breaker: Breaker = BREAKER,
) -> Changes:
    """What to note when an attempt that began at `began_s` has ended, well (None) or not.

    A failure that blames nobody changes nothing: a trial that ends so is repeated once its time is over.
    """
    if failure is None:
        known = [(scope, each) for scope in scopes.all if (each := health.get(scope)) is not None]
        after = [(scope, each, each.after_success(now_s, began_s, account)) for scope, each in known]
        return tuple((scope, healed) for scope, each, healed in after if healed is not each)
    scope = blamed(scopes, failure)
    if scope is None:
        return ()
    known_health = health.get(scope, _WELL)
    if known_health.breaker is not breaker:
        known_health = msgspec.structs.replace(known_health, breaker=breaker)
    return ((scope, known_health.after_failure(failure, now_s, began_s, account)),)

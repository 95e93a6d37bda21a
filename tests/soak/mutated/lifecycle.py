"""Mistakes in what is released, ended and heard, and in what an edge keeps of a limit."""

from tests.soak.mutated.mutation import Mutation

_RELAY = "tests/edge/relay/test_relay.py"
_BODY = "tests/edge/relay/test_body.py"
_BATCH = "tests/edge/test_write_batch.py"
_LIMITS = "tests/edge/limits/test_limits.py"
_SHARES = "tests/edge/limits/test_shares.py"

MUTATIONS = (
    Mutation(
        "edge/process.py",
        "            finally:\n",
        "            except ZeroDivisionError:\n                raise\n            else:\n",
        "tests/edge/test_process.py",
    ),
    Mutation(
        "edge/relay/context.py",
        'begins an answer wait, too."""\n        self.sent_s = self.sending_since_s = monotonic()',
        'begins an answer wait, too."""\n        self.sent_s = monotonic()',
        _RELAY,
    ),
    Mutation(
        "edge/relay/response/whole.py",
        "context.begin_sending()",
        "pass",
        _RELAY,
    ),
    # Lifecycle: what is released, ended and heard.
    Mutation("edge/relay/body.py", "self.held_bytes -= size", "pass", _BODY),
    Mutation("edge/relay/body.py", "self.held_requests -= 1", "pass", _BODY),
    Mutation("edge/relay/relay.py", "self._in_flight.leave(context)", "pass", "tests/edge/relay/test_lifecycle.py"),
    Mutation("edge/node.py", "if not await self.credit.drain():", "if False:", "tests/edge/test_node.py"),
    Mutation(
        "edge/relay/context.py",
        "        if self.cancel_reason is not None:\n            return\n        self.cancel_reason = reason",
        "        self.cancel_reason = reason",
        "tests/edge/relay/test_lifecycle.py",
    ),
    Mutation("edge/relay/context.py", "            self.exchange.poke()\n        elif", "            pass\n        elif", _RELAY),
    Mutation("edge/relay/context.py", "        elif caller.is_gone:\n            self.leave()\n", "", _BATCH),
    Mutation(
        "edge/relay/watchdog.py", "if now_s - context.sending_since_s > self._limits.now.reader_timeout_s:", "if False:", _RELAY
    ),
    Mutation("edge/relay/watchdog.py", "elif now_s - context.heard_s > context.silence_s_max:", "elif False:", _RELAY),
    Mutation("edge/relay/watchdog.py", "if late_s > PAUSE_S:", "if False:", "tests/edge/relay/test_watchdog.py"),
    Mutation("edge/limits/overload.py", "min(late_s, LATE_MAX * lag_max_s)", "late_s", _BODY),
    # Limits: what an edge keeps of them, and whom they count for.
    Mutation("edge/limits/claim.py", "            self.debits.clear()\n", "", _LIMITS),
    Mutation("edge/limits/claim.py", "            self.settle(0, 0)\n", "            pass\n", _LIMITS),
    Mutation("edge/limits/claim.py", "scope.concurrent.release(self)", "pass", _LIMITS),
    Mutation("edge/limits/claim.py", "self.limiter.take(self, scope, self.tokens, monotonic())", "pass", _LIMITS),
    Mutation(
        "edge/limits/limiter.py",
        "tuple(scopes), header_sources_of(scopes))",
        "tuple(scopes), header_sources_of([*scopes, *self._providers.values()]))",
        _LIMITS,
    ),
    Mutation("edge/providers/table.py", "        self.limits.now = config.limits\n", "", "tests/edge/limits/test_live.py"),
    Mutation("edge/limits/permits.py", "max(share.ceiling, len(self.holders))", "share.ceiling", _SHARES),
    Mutation("edge/limits/permits.py", "            self.permits = running\n", "            pass\n", _SHARES),
    Mutation("edge/limits/permits.py", "max(min(self.permits, want), running)", "self.permits", _SHARES),
    Mutation("edge/limits/permits.py", "is_away and not self.is_hard and", "is_away and", _SHARES),
    Mutation("edge/limits/permits.py", "max(self.limit // self.nodes, 1)", "self.limit", _SHARES),
    Mutation(
        "edge/limits/quota.py",
        "delta = -min(-delta, self._slots[slot % SLOTS] if slot != now else self.spent - self._start)",
        "pass",
        _SHARES,
    ),
    Mutation("edge/limits/quota.py", "limit = max(self.limit // self.nodes, 1)", "limit = self.limit", _SHARES),
    Mutation("edge/limits/quota.py", "self.ceiling = min(self.ceiling, self.spent + want)", "pass", _SHARES),
    Mutation("edge/limits/quota.py", "is_away and not self.is_hard and", "is_away and", _SHARES),
)

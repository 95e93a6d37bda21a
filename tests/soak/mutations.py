"""Mistakes in money, bytes and lifecycle, each of which the tests have to catch: a line of the product replaced by a wrong one.

Rule: a mutation is caught when a test fails; a test that cannot be collected, or a line that is not there any more, is a fault of
this list. Strategy: the tests that are near are named, so that all of it takes minutes; `--count N` tries the first N.
"""

import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.soak.report import Report

ROOT = Path(__file__).parents[2]
ENV = os.environ | {"TOLLWAY_TEST_HANG_S": "60"}
"""A mistake that makes a test hang is caught when the run ends for it."""
FAILED = 1
"""pytest's exit status when tests ran, and failed."""


class Mutation(NamedTuple):
    """In `path`, `right` stands once and becomes `wrong`; `tests` have to notice."""

    path: str
    right: str
    wrong: str
    tests: str


_LEASE, _PRICING = "tests/usage/test_lease.py", "tests/usage/test_pricing.py"
_LEDGER, _INGEST = "tests/collector/ledger/test_ledger.py", "tests/collector/ingest/test_ingest.py"
_LEASING, _CREDIT = "tests/collector/leasing/test_leasing.py", "tests/edge/credit/test_credit.py"
_RELAY, _FIRST = "tests/edge/relay/test_relay.py", "tests/edge/relay/test_first_event.py"
_BODY, _NAMES = "tests/edge/relay/test_body.py", "tests/edge/relay/test_idempotency.py"
_BATCH, _JOURNAL = "tests/edge/test_write_batch.py", "tests/edge/journal/test_journal.py"
_LIMITS, _SHARES = "tests/edge/limits/test_limits.py", "tests/edge/limits/test_shares.py"
_BOUNDS, _SSE = "tests/routing/metering/test_claims.py", "tests/routing/wire/test_sse.py"

MUTATIONS = (
    # Money: what a lease, a price and the ledger are.
    Mutation("usage/lease.py", "self.held_nano - hold_nano,", "self.held_nano,", _LEASE),
    Mutation("usage/lease.py", "self.held_nano + amount_nano,", "self.held_nano,", _LEASE),
    Mutation("usage/lease.py", "self.settled_nano + leased_part(hold_nano, cost_nano)", "self.settled_nano + cost_nano", _LEASE),
    Mutation("usage/lease.py", "self.settled_nano - leased_part(hold_nano, cost_nano)", "self.settled_nano - cost_nano", _LEASE),
    Mutation("usage/lease.py", "self.granted_nano - amount_nano,", "self.granted_nano,", _LEASE),
    Mutation("usage/lease.py", "return now_s < self.admit_until_s", "return True", f"{_LEASE} {_CREDIT}"),
    Mutation(
        "usage/lease.py",
        "            max(self.admit_until_s, admit_until_s),",
        "            admit_until_s,",
        f"{_LEASE} {_CREDIT}",
    ),
    Mutation(
        "usage/pricing.py",
        "return -(-cost_pico(tokens, rates) // PICO_PER_NANO)",
        "return cost_pico(tokens, rates) // PICO_PER_NANO",
        _PRICING,
    ),
    Mutation("usage/pricing.py", "kinds.sort(reverse=True)", "kinds.sort()", _PRICING),
    Mutation("usage/pricing.py", "taken = count if count < whole else whole", "taken = count", _PRICING),
    Mutation(
        "usage/pricing.py",
        "fixed = rates.request + searches_max * rates.search",
        "fixed = rates.request",
        f"{_PRICING} tests/routing/plan/test_reserve.py",
    ),
    Mutation(
        "collector/ledger/ledger.py",
        '(LEASED, REVENUE): (("spent_nano", 1), ("settled_nano", 1)),',
        '(LEASED, REVENUE): (("spent_nano", 1),),',
        _LEDGER,
    ),
    Mutation(
        "collector/ledger/ledger.py",
        '(LEASED, AVAILABLE): (("available_nano", 1), ("returned_nano", 1)),',
        '(LEASED, AVAILABLE): (("available_nano", 1),),',
        _LEDGER,
    ),
    Mutation("collector/ledger/ledger.py", "leased_nano = min(leased_nano, open_nano)", "leased_nano = leased_nano", _LEDGER),
    Mutation(
        "collector/ledger/ledger.py",
        "returned_nano = min(amount_nano, open_nano)",
        "returned_nano = amount_nano",
        f"{_LEDGER} {_LEASING}",
    ),
    Mutation(
        "collector/ledger/ledger.py",
        "taken_nano = min(cost_nano, available_nano)",
        "taken_nano = cost_nano",
        f"{_LEDGER} {_INGEST}",
    ),
    Mutation(
        "collector/ledger/ledger.py",
        "taken_nano = min(amount_nano, available_nano)",
        "taken_nano = amount_nano",
        f"{_LEDGER} tests/collector/api/test_account.py",
    ),
    # Money: what the collector gives, and books once.
    Mutation(
        "collector/leasing/leasing.py",
        "if repeated is not None or message.want_nano == 0",
        "if message.want_nano == 0",
        f"{_LEASING} tests/collector/test_wrong_variants.py",
    ),
    Mutation("collector/leasing/leasing.py", "if acked_through < message.final_seq:", "if False:", _LEASING),
    Mutation("collector/leasing/leasing.py", 'if state != "open":', "if False:", _LEASING),
    Mutation(
        "collector/ingest/ingest.py",
        "return [record for record in by_id.values() if record.gen_id in new], number",
        "return accepted, number",
        _INGEST,
    ),
    Mutation(
        "collector/ingest/ingest.py",
        "available[account] -= sum(entry.amount_nano for entry in made if entry.debit == AVAILABLE)",
        "pass",
        f"{_INGEST} {_LEDGER}",
    ),
    # Money: what an Idempotency-Key buys once.
    Mutation(
        "edge/relay/idempotency.py",
        "entry = self._running[entry_id] = _Entry(entry_id, account, fingerprint, gen_id)",
        "entry = _Entry(entry_id, account, fingerprint, gen_id)",
        _NAMES,
    ),
    Mutation("edge/relay/idempotency.py", 'digest.encode() + b"\\n" + name', 'account.encode() + b"\\n" + name', _NAMES),
    Mutation("edge/relay/idempotency.py", "if known.fingerprint != fingerprint:", "if False:", _NAMES),
    Mutation(
        "edge/relay/generation.py",
        'self.has_bought = end_reason == "completed" or bill.cost_nano > 0',
        'self.has_bought = end_reason == "completed"',
        _NAMES,
    ),
    # Money: what an edge spends.
    Mutation(
        "edge/credit/wallet.py",
        "if now_s >= lease.admit_until_s or amount_nano > lease.granted_nano - lease.settled_nano - lease.held_nano:",
        "if now_s >= lease.admit_until_s:",
        _CREDIT,
    ),
    Mutation(
        "edge/credit/wallet.py",
        "if self.ask is None or granted.grant_id != self.ask.grant_id or granted.purse != self.purse:",
        "if granted.purse != self.purse:",
        _CREDIT,
    ),
    Mutation("edge/credit/wallet.py", "self.lease = self.lease.after_return(amount_nano)", "pass", _CREDIT),
    Mutation(
        "edge/credit/wallet.py",
        "grant_id = self.ask.grant_id if self.ask is not None else proposed_id",
        "grant_id = proposed_id",
        _CREDIT,
    ),
    Mutation(
        "edge/relay/generation.py",
        "books.credit.settle(intent.purse, self.hold_nano, bill.cost_nano)",
        "books.credit.settle(intent.purse, self.hold_nano, 0)",
        "tests/edge/relay/test_lifecycle.py",
    ),
    Mutation("edge/relay/generation.py", "        if self.is_settled:\n            return\n", "", f"{_RELAY} {_FIRST}"),
    Mutation(
        "edge/relay/generation.py",
        "        self.consumed = Consumed.NOTHING\n",
        "",
        f"{_RELAY} {_FIRST} tests/edge/relay/test_failover.py",
    ),
    Mutation("edge/relay/generation.py", "        self.consumed = Consumed.PROMPT\n", "", f"{_RELAY} {_FIRST}"),
    Mutation("routing/metering/bounds.py", "elif prompt > bounds.prompt_ceiling:", "elif False:", _BOUNDS),
    Mutation(
        "routing/metering/bounds.py",
        "elif completion > max(bounds.completion_ceiling(parts.reasoning), ours.completion):",
        "elif False:",
        _BOUNDS,
    ),
    Mutation("routing/metering/bounds.py", "searches=min(parts.searches, searches_max),", "searches=parts.searches,", _BOUNDS),
    # Order: no request before its intent, no end of an answer before its settlement.
    Mutation("edge/write_batch.py", "refusal = self.commit()", 'refusal = ""', _BATCH),
    Mutation("edge/write_batch.py", "if refusal and request is not None:", "if False:", _BATCH),
    Mutation(
        "edge/downstream/connection.py",
        "self.server.write_batch.write(self.transport, data)",
        "self.transport.write(data)",
        "tests/e2e/test_money_order.py",
    ),
    Mutation(
        "edge/relay/attempts.py",
        "if problem := generation.books.journal.order.before_request(resolved.upstream.write_batch):",
        "if problem := generation.books.journal.failure:",
        _RELAY,
    ),
    Mutation("edge/write_batch.py", "if not self.takes_answers:", "if False:", _BATCH),
    Mutation("edge/write_batch.py", 'return "" if through is self else self.commit()', 'return ""', _BATCH),
    Mutation("edge/journal/syncer.py", "        self.order.settlement()\n", "", f"{_BATCH} {_JOURNAL}"),
    Mutation("edge/journal/syncer.py", "        return self.order.line()\n", '        return ""\n', f"{_BATCH} {_JOURNAL}"),
    Mutation(
        "edge/journal/syncer.py",
        "        self._waiting += settled\n        return self.failure",
        "        return self.failure",
        f"{_BATCH} {_JOURNAL}",
    ),
    Mutation(
        "edge/journal/syncer.py",
        "return self._syncs and (self._log.durable_position < position or self.shippable_seq < seq)",
        "return False",
        f"{_JOURNAL} {_BATCH}",
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
    # Bytes: what goes out is what came in.
    Mutation("routing/wire/sse.py", 'if lines and lines[-1][-1:] != b"\\n":', "if False:", _SSE),
    Mutation("routing/wire/sse.py", 'data = b"".join((*self.pieces, data))', "pass", _SSE),
    Mutation(
        "edge/relay/stream.py",
        "await self._finish(sent + rewrite.fail(refusal_of(failure, generation.attempt.provider.name)))",
        "await self._finish(sent)",
        f"{_RELAY} {_FIRST}",
    ),
    # Reading: the right place, count and price of what came. Once acted out beside the code, now made in it.
    Mutation(
        "routing/wire/members.py",
        "places[name] = (key.end(), key.end() + len(value))",
        "places[name] = (text.find(value), text.find(value) + len(value))",
        "tests/routing/wire/test_members.py",
    ),
    Mutation("routing/wire/sse.py", 'lines[-1][-1:] != b"\\n":', 'lines[-1][-1:] not in b"\\r\\n":', _SSE),
    Mutation(
        "routing/metering/bill.py",
        "dollars(bill.cost_nano).encode()",
        "b'%r' % (bill.cost_nano / 1e9)",
        "tests/routing/metering/test_meter.py",
    ),
    Mutation("routing/metering/bounds.py", "if ours.since_claim > completion // 8 + 4:", "if False:", _BOUNDS),
    Mutation(
        "routing/metering/meter.py",
        "if claim is None or (self._claim is not None and claim.is_empty):",
        "if claim is None:",
        "tests/routing/metering/test_meter.py",
    ),
    Mutation(
        "routing/dialects/counts.py",
        "of_prompt, of_completion = 0, max(gap, 0)",
        "of_prompt, of_completion = 0, 0",
        "tests/routing/dialects/test_openai.py",
    ),
    Mutation(
        "routing/plan/reserve.py",
        "(asked if bound is None or asked < bound else bound) * choices + extra",
        "(asked if bound is None or asked < bound else bound) + extra",
        "tests/routing/plan/test_reserve.py",
    ),
    Mutation(
        "routing/plan/reserve.py",
        "completion_max = own_cap * choices + extra",
        "completion_max = own_cap + extra",
        "tests/routing/plan/test_reserve.py",
    ),
    Mutation(
        "routing/plan/reserve.py",
        "min(own_cap, COMPLETION_TOKENS_MIN) * choices + extra",
        "min(own_cap, COMPLETION_TOKENS_MIN) + extra",
        "tests/routing/plan/test_reserve.py",
    ),
    Mutation(
        "routing/plan/reserve.py",
        "extra = options.extra_completion * choices",
        "extra = options.extra_completion",
        "tests/routing/plan/test_reserve.py",
    ),
    Mutation(
        "routing/table/tariff.py",
        "cost_nano(tokens, self.resolve(tokens.prompt, served)) <= hold_nano:",
        "True:",
        "tests/routing/table/test_tariff.py",
    ),
    Mutation(
        "usage/pricing.py",
        "return -(-cost_pico(tokens, rates) // PICO_PER_NANO)",
        "return int(-(-cost_pico(tokens, rates) / 1e12 * 1e9 // 1))",
        _PRICING,
    ),
    Mutation(
        "edge/relay/whole.py",
        'generation.settle("completed", exchange.status, monotonic())',
        'context.task.get_loop().call_soon(generation.settle, "completed", exchange.status, monotonic())',
        _RELAY,
    ),
    Mutation(
        "edge/relay/stream.py",
        '        self._settle("cancelled" if self.context.has_left else "completed")\n        await self._finish(sent)\n',
        '        await self._finish(sent)\n        self._settle("cancelled" if self.context.has_left else "completed")\n',
        _RELAY,
    ),
    # Limits: what an edge keeps of them, and whom they count for.
    Mutation("edge/limits/claim.py", "            self.debits.clear()\n", "", _LIMITS),
    Mutation("edge/limits/claim.py", "            self.settle(0, 0)\n", "            pass\n", _LIMITS),
    Mutation("edge/limits/claim.py", "scope.concurrent.give_back(self)", "pass", _LIMITS),
    Mutation("edge/limits/claim.py", "self.limiter.take(self, scope, self.tokens, monotonic())", "pass", _LIMITS),
    Mutation(
        "edge/limits/claim.py", "own = [scope for scope in scopes if not scope.is_providers]", "own = list(scopes)", _LIMITS
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


def apply(tree: Path, mutation: Mutation) -> str:
    """Make the mistake in `tree`; the text before it."""
    path = tree / mutation.path
    text = path.read_text()
    assert text.count(mutation.right) == 1, f"{mutation.path}: {mutation.right!r} is there {text.count(mutation.right)} times"
    path.write_text(text.replace(mutation.right, mutation.wrong))
    return text


def is_caught(tree: Path, mutation: Mutation) -> bool:
    """Whether a named test fails with the mistake in."""
    text = apply(tree, mutation)
    try:
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-x",
            "-q",
            "-p",
            "no:cacheprovider",
            "-o",
            "timeout=20",
            *mutation.tests.split(),
        ]
        done = subprocess.run(command, cwd=tree, env=ENV, capture_output=True, text=True, timeout=600, check=False)
    finally:
        (tree / mutation.path).write_text(text)
    assert done.returncode in (0, FAILED), f"{mutation.path}: the tests did not run:\n{done.stdout[-2_000:]}"
    return done.returncode == FAILED


def soak(report: Report, seed: int, count: int) -> None:
    """The first `count` mutations, in an order of the seed's; each has to be caught."""
    chosen = list(MUTATIONS)
    random.Random(seed).shuffle(chosen)
    survived = []
    with tempfile.TemporaryDirectory(prefix="tollway-mutations-") as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(
            ROOT, tree, ignore=shutil.ignore_patterns(".git", ".venv*", "__pycache__", "node_modules", ".mypy_cache", "out")
        )
        for mutation in chosen[:count]:
            caught = is_caught(tree, mutation)
            report.say("caught" if caught else "SURVIVED", f"{mutation.path}: {mutation.wrong.strip()[:80]!r}")
            if not caught:
                survived.append(mutation)
    assert not survived, survived
    report.say("mutations", f"{len(chosen[:count])}, each caught")

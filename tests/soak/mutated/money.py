"""Mistakes in what credit, a price and the books are, and in the order in which they are written."""

from tests.soak.mutated.mutation import Mutation

_LEASE = "tests/usage/test_lease.py"
_PRICING = "tests/usage/test_pricing.py"
_LEDGER = "tests/collector/ledger/test_ledger.py"
_INGEST = "tests/collector/ingest/test_ingest.py"
_LEASING = "tests/collector/leasing/test_leasing.py"
_CREDIT = "tests/edge/credit/test_credit.py"
_RELAY = "tests/edge/relay/test_relay.py"
_FIRST = "tests/edge/relay/test_first_event.py"
_NAMES = "tests/edge/relay/test_idempotency.py"
_SHARED = "tests/edge/workers/test_names.py"
_FAILOVER = "tests/routing/failures/test_failover.py"
_BATCH = "tests/edge/test_write_batch.py"
_MUTATED_RECORDINGS = "tests/routing/translate/test_mutated_recordings.py"
_JOURNAL = "tests/edge/journal/test_journal.py"
_BOUNDS = "tests/routing/metering/test_claims.py"

MUTATIONS = (
    # Money: what a record, a lease, a price and the ledger are.
    Mutation(
        "edge/journal/files/line.py",
        ' or line[:8] != b"%08x" % crc32(json)',
        "",
        "tests/edge/journal/files/test_line.py",
    ),
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
    Mutation("usage/pricing.py", "cost += taken * rate", "cost += -(-taken * rate // 1000) * 1000", _PRICING),
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
    Mutation("collector/accounts/keys.py", "return [row[0] for row in rows] or [key_id]", "return [key_id]", _LEASING),
    Mutation(
        "collector/leasing/leasing.py",
        "sum(open_nano(tx, key.account, purse) for purse in purses_within(tx, key))",
        "open_nano(tx, key.account, key.purse)",
        _LEASING,
    ),
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
        f"{_LEDGER} tests/collector/api/account/test_account.py",
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
        "entry = self._running[entry_id] = IdempotencyEntry(entry_id, account, fingerprint, gen_id)",
        "entry = IdempotencyEntry(entry_id, account, fingerprint, gen_id)",
        _NAMES,
    ),
    Mutation("edge/workers/names.py", "os.O_RDWR | os.O_CREAT | os.O_EXCL |", "os.O_RDWR | os.O_CREAT |", _SHARED),
    Mutation("edge/workers/names.py", "os.utime(lock)", "pass", _SHARED),
    Mutation("edge/workers/names.py", "_locked(fd, fcntl.LOCK_EX) and not _is_other(fd, path)", "True", _SHARED),
    Mutation("routing/failures/failover.py", "return failure.sent is not Sent.NOTHING", "return False", _FAILOVER),
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
        "accounting.credit.settle(intent.purse, self.hold_nano, bill.cost_nano)",
        "accounting.credit.settle(intent.purse, self.hold_nano, 0)",
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
        "if problem := generation.accounting.journal.order.before_request(resolved.upstream.write_batch):",
        "if problem := generation.accounting.journal.failure:",
        _RELAY,
    ),
    Mutation("edge/write_batch.py", "if not self.takes_answers:", "if False:", _BATCH),
    Mutation("edge/write_batch.py", 'return "" if through is self else self.commit()', 'return ""', _RELAY),
    Mutation("edge/relay/attempts.py", "raise AttemptFailed(unaskable(invalid)) from invalid", "raise", "tests/test_newcomer.py"),
    Mutation(
        "edge/relay/generation.py",
        "        self.intent = None  # another model is tried next, and more may be held from now on\n",
        "",
        "tests/edge/relay/test_failover.py tests/edge/relay/test_targets.py",
    ),
    Mutation(
        "edge/journal/journal.py",
        'assert record.seq == seq, f"a record numbered {record.seq} where {seq} comes next"',
        "pass",
        _JOURNAL,
    ),
    Mutation(
        "routing/rewrite/responses.py",
        "            self._count_item(bytes(event.item))\n",
        "",
        "tests/routing/rewrite/test_passthrough_streams.py",
    ),
    Mutation(
        "routing/translate/chat_on_messages/stream.py",
        "(self._conclude() if self._stop else self._tell())",
        '(self._conclude() if self._stop else b"")',
        _MUTATED_RECORDINGS,
    ),
    Mutation(
        "routing/translate/chat_on_gemini/stream.py",
        "            return sent + self._tell()\n",
        "            return sent\n",
        _MUTATED_RECORDINGS,
    ),
    Mutation(
        "routing/translate/chat_on_cohere/stream.py",
        "return self._told(delta.usage) + self._fail(bytes(delta.error))",
        "return self._fail(bytes(delta.error))",
        _MUTATED_RECORDINGS,
    ),
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
)

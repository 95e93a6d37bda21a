"""Mistakes in what goes out for what came in, and in what is read, counted and priced of it."""

from tests.soak.mutated.mutation import Mutation

_PRICING = "tests/usage/test_pricing.py"
_RELAY = "tests/edge/relay/test_relay.py"
_FIRST = "tests/edge/relay/test_first_event.py"
_BOUNDS = "tests/routing/metering/test_claims.py"
_FORMATS = "tests/routing/dialects/test_chat_usage.py"
_ODD = "tests/routing/rewrite/test_odd_answers.py"
_SSE = "tests/routing/wire/test_sse.py"
_SURFACES = "tests/edge/relay/test_surfaces.py::test_prompt_that_is_streamed_back_uses_up_no_credit"

MUTATIONS = (
    # Bytes: what goes out is what came in.
    Mutation("routing/wire/sse.py", 'if lines and lines[-1][-1:] != b"\\n":', "if False:", _SSE),
    Mutation("routing/wire/sse.py", 'data = b"".join((*self.pieces, data))', "pass", _SSE),
    Mutation(
        "edge/relay/response/stream.py",
        "await self._finish(sent + told, generation.metadata(failure.reason))",
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
    Mutation("edge/relay/response/stream.py", "meter.written_bytes // 6", "meter.text_bytes // 6", _SURFACES),
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
    Mutation("routing/rewrite/named_events.py", "            self._drop_half()\n", "            pass\n", _ODD),
    Mutation(
        "routing/rewrite/named_events.py",
        "elif len(payloads) > 1 and is_half(lines) and _are_objects(payloads):",
        "elif False:",
        _ODD,
    ),
    Mutation(
        "routing/rewrite/chat/event_rewrite.py",
        "self._resolve(is_cut=bool(rest))",
        "self._resolve()",
        "tests/routing/rewrite/chat/test_provider_streams.py",
    ),
    Mutation(
        "routing/dialects/chat_usage.py",
        "told = prompt, completion, max(total or 0, prompt + completion)",
        "told = prompt, completion, prompt + completion",
        _FORMATS,
    ),
    Mutation("routing/dialects/claim.py", "return own if count(own) or other is None else other", "return own", _FORMATS),
    Mutation(
        "routing/dialects/counts.py",
        "        completion += parts.reasoning if parts.reasoning > completion else 0\n",
        "",
        _FORMATS,
    ),
    Mutation(
        "routing/dialects/gemini.py", "if value and (name not in _WHOLES or count(value)):", "if value is not None:", _FORMATS
    ),
    Mutation("routing/metering/bounds.py", "        elif of_completion > completion:\n", "        elif False:\n", _FORMATS),
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
        "edge/relay/response/whole.py",
        'generation.settle("completed", ANSWERED, monotonic())',
        'context.task.get_loop().call_soon(generation.settle, "completed", exchange.status, monotonic())',
        _RELAY,
    ),
    Mutation(
        "edge/relay/response/stream.py",
        '        self._settle("cancelled" if self.context.has_left else "completed")\n'
        "        await self._finish(sent, self.generation.metadata())\n",
        "        await self._finish(sent, self.generation.metadata())\n"
        '        self._settle("cancelled" if self.context.has_left else "completed")\n',
        _RELAY,
    ),
)

"""`Idempotency-Key` on paid requests: what a key of ours has under way or has bought, so that it does not buy it twice.

Rule: a name is taken before anything is held, and given back only if nothing was bought; so of requests with one name and one
body at once, one is carried out. Rule: what is kept is only ever told to the API key that bought it, and an account's answers
push out none but its own.
Limits: one process's memory. Another edge and the next start know nothing of it (docs/api.md says so); the workers of one machine
do, by `edge.workers.names`.
"""

import hashlib
import re
from collections import OrderedDict
from typing import Final

import msgspec

from routing.plan.refusal import Denied, Refusal
from routing.surfaces import CallerRequest

Headers = list[tuple[bytes, bytes]]

KEPT_S: Final = 600.0
ANSWER_BYTES_MAX: Final = 1 << 20
ACCOUNT_BYTES_MAX: Final = 4 << 20
TOTAL_BYTES_MAX: Final = 64 << 20
ACCOUNT_NAMES_MAX: Final = 4_096
TOTAL_NAMES_MAX: Final = 65_536
"""A name takes about half a kilobyte, beside its answer."""

REPLAYED: Final = (b"idempotency-replayed", b"true")
_NAME: Final = re.compile(rb"[\x20-\x7e]{1,255}\Z")
_BOUNDARY: Final = re.compile(rb'multipart/form-data\s*;.*?boundary="?([^\s;,"]+)', re.IGNORECASE)


class KeptAnswer(msgspec.Struct, frozen=True):
    """A whole answer as it went out, without what its head told of that moment."""

    status: int
    headers: Headers
    body: bytes

    @property
    def size(self) -> int:
        return len(self.body) + sum(len(name) + len(value) for name, value in self.headers)


class IdempotencyEntry(msgspec.Struct, eq=False):
    """A name: `id` is the digest of an API key and a name. `answer` is None where only the fact is kept."""

    id: bytes
    account: str
    fingerprint: bytes
    gen_id: str
    ended_s: float = 0.0
    answer: KeptAnswer | None = None


class _AccountAnswers(msgspec.Struct, eq=False):
    """What is kept for one account, the oldest first."""

    ended: OrderedDict[bytes, IdempotencyEntry]
    answered: OrderedDict[bytes, IdempotencyEntry]
    answer_bytes: int = 0


def fingerprint_of(call: CallerRequest, body: bytes) -> bytes:
    """What makes two requests the same: path, query and body. A form's boundary, which clients draw anew for each try, is left
    out."""
    content_type = next((value for name, value in call.headers if name == b"content-type"), b"")
    boundary = _BOUNDARY.match(content_type)
    if boundary is not None:
        body = body.replace(b"--" + boundary[1], b"--")
    return hashlib.sha256(b"%b\n%b\n%b" % (call.path.encode(), call.query, hashlib.sha256(body).digest())).digest()


class IdempotencyKeys:
    """The names in use. Owner of all of it; times are seconds of `time.monotonic`."""

    def __init__(self, total_bytes_max: int = TOTAL_BYTES_MAX) -> None:
        self._running: dict[bytes, IdempotencyEntry] = {}
        self._ended: OrderedDict[bytes, IdempotencyEntry] = OrderedDict()
        """In the order in which they ended. Not a dict, whose first entry takes long to find once many before it were deleted."""
        self._by_account: dict[str, _AccountAnswers] = {}
        self._total_bytes_max = total_bytes_max
        self.answer_bytes = 0

    def __len__(self) -> int:
        return len(self._running) + len(self._ended)

    def claim(
        self, digest: str, account: str, name: bytes, fingerprint: bytes, gen_id: str, now_s: float
    ) -> "IdempotencyClaim | KeptAnswer":
        """The right to carry out what `name` stands for, or what it has bought already. `digest` is the API key's. Denied."""
        if not _NAME.match(name):
            message = "the header Idempotency-Key must have 1 to 255 printable ASCII characters"
            raise Denied(Refusal(400, "invalid_idempotency_key", message, param="Idempotency-Key"))
        self._forget_expired(now_s)
        entry_id = hashlib.sha256(digest.encode() + b"\n" + name).digest()
        running = self._running.get(entry_id)
        known = running or self._ended.get(entry_id)
        if known is None:
            entry = self._running[entry_id] = IdempotencyEntry(entry_id, account, fingerprint, gen_id)
            return IdempotencyClaim(self, entry)
        if known.fingerprint != fingerprint:
            raise Denied(reused(), gen_id=known.gen_id)
        if running is not None:
            raise Denied(in_progress(), gen_id=known.gen_id)
        if known.answer is None:
            raise Denied(completed(known.gen_id), gen_id=known.gen_id)
        return known.answer

    def end(self, entry: IdempotencyEntry, answer: KeptAnswer | None, now_s: float) -> None:
        """It has bought something: `answer`, or what is not kept. Only the first end counts."""
        if not self._is_running(entry):
            return
        del self._running[entry.id]
        entry.ended_s = now_s
        answers = self._by_account.setdefault(entry.account, _AccountAnswers(OrderedDict(), OrderedDict()))
        self._ended[entry.id] = answers.ended[entry.id] = entry
        if answer is not None:
            self._keep(answers, entry, answer)
        if len(answers.ended) > ACCOUNT_NAMES_MAX:
            self._forget(next(iter(answers.ended.values())))
        if len(self._ended) > TOTAL_NAMES_MAX:
            self._forget(next(iter(self._ended.values())))

    def free(self, entry: IdempotencyEntry) -> None:
        """It has bought nothing: the name is as if it had not been used."""
        if self._is_running(entry):
            del self._running[entry.id]

    def _is_running(self, entry: IdempotencyEntry) -> bool:
        """Once it has ended, its name may be forgotten, and another request's, while its answer still goes out."""
        return self._running.get(entry.id) is entry

    def _keep(self, answers: _AccountAnswers, entry: IdempotencyEntry, answer: KeptAnswer) -> None:
        size = answer.size
        if size > ANSWER_BYTES_MAX:
            return
        while answers.answered and answers.answer_bytes + size > ACCOUNT_BYTES_MAX:
            self._drop_answer(answers, next(iter(answers.answered.values())))
        if self.answer_bytes + size > self._total_bytes_max:
            return
        entry.answer = answer
        answers.answered[entry.id] = entry
        answers.answer_bytes += size
        self.answer_bytes += size

    def _drop_answer(self, answers: _AccountAnswers, entry: IdempotencyEntry) -> None:
        if entry.answer is None:
            return
        del answers.answered[entry.id]
        answers.answer_bytes -= entry.answer.size
        self.answer_bytes -= entry.answer.size
        entry.answer = None

    def _forget(self, entry: IdempotencyEntry) -> None:
        answers = self._by_account[entry.account]
        self._drop_answer(answers, entry)
        del self._ended[entry.id], answers.ended[entry.id]
        if not answers.ended:
            del self._by_account[entry.account]

    def _forget_expired(self, now_s: float) -> None:
        while self._ended:
            oldest = next(iter(self._ended.values()))
            if now_s - oldest.ended_s < KEPT_S:
                return
            self._forget(oldest)


class IdempotencyClaim:
    """One request that has taken its name. `keep` or `spend` when something was bought, and `end` in any case."""

    __slots__ = ("_keys", "entry")

    def __init__(self, keys: IdempotencyKeys, entry: IdempotencyEntry) -> None:
        self._keys = keys
        self.entry = entry

    def keep(self, status: int, headers: Headers, body: bytes, now_s: float) -> None:
        """This whole answer was bought."""
        self._keys.end(self.entry, KeptAnswer(status, list(headers), body), now_s)

    def spend(self, now_s: float) -> None:
        """Something was bought that is not kept."""
        self._keys.end(self.entry, None, now_s)

    def end(self) -> None:
        """The request is over. What has bought nothing may be tried again."""
        self._keys.free(self.entry)


def reused() -> Refusal:
    message = (
        "this Idempotency-Key was used for another request: send a new key with a new request, and the same body with a retry"
    )
    return Refusal(422, "idempotency_key_reused", message, param="Idempotency-Key", is_hopeless=True)


def in_progress() -> Refusal:
    message = "the first request with this Idempotency-Key is still under way; nothing was bought twice, ask again for its answer"
    return Refusal(409, "idempotency_in_progress", message, retry_after_s=1.0)


def completed(gen_id: str) -> Refusal:
    message = (
        f"the request with this Idempotency-Key was carried out as {gen_id}, and its answer is not kept here (streams, large"
        f" answers, those cut short and another worker's are not): GET /generation?id={gen_id} tells what it cost;"
        " to buy it again, send a new key"
    )
    return Refusal(
        409, "idempotency_completed", message, param="Idempotency-Key", metadata={"generation_id": gen_id}, is_hopeless=True
    )

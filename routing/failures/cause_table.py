"""The cause of an error answer, from its codes, its words and its status.

Strategy: three looks, from the sure to the vague: a code that means one thing, words that mean one thing, the status. A new
provider is a new row. Sources: the providers' error pages and their users' reports.
Rule: words that close a key for everybody are believed only where the message begins with them: what follows may be what a
caller wrote, repeated to us, and no caller may close a key. Words about one request may stand anywhere, since they close nothing.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Final

from routing.failures.cause import ABOUT_ACCOUNT, Cause, cause_of_status
from routing.failures.cause_codes import CODES, KINDS


def _words(rows: Mapping[Cause, tuple[str, ...]], before: str = "") -> Callable[[], re.Pattern[str]]:
    """One pattern; the name of the group that matched is the cause's. `~` stands for a few words that quote nobody.

    Compiled with the first error that is read: that takes milliseconds, which a start should not."""

    @cache
    def pattern() -> re.Pattern[str]:
        groups = (f"(?P<{cause.value}>{'|'.join(phrases)})" for cause, phrases in rows.items())
        return re.compile(before + f"(?:{'|'.join(groups)})".replace("~", r"[^\"'`:]{0,80}"), re.IGNORECASE | re.DOTALL)

    return pattern


_HINTS: Final = _words(
    {
        Cause.EXHAUSTED: (
            r"insufficient(?:quota|balance|credit|fund)|(?:balance|credits?|budget|prepaid)\w*(?:exhaust|deplet|exceed|toolow|usedup)",
            r"(?:billing|spend|spending|usage|monthly|daily|key|credit)(?:hard|cap)?limit|paymentrequired|overdue|arrear",
        ),
        Cause.CREDENTIALS: (
            r"(?:invalid|incorrect|expired|missing|revoked|disabled|unknown|bad)(?:api)?key|apikey\w*(?:invalid|expired|revoked|notvalid)",
            r"authentication(?:error|failed|failure|required)|(?:account|organi[sz]ation)(?:is)?(?:disabled|suspended|deactivated)",
        ),
        Cause.TOO_LONG: (
            r"context(?:length|window|size|limit|overflow)|(?:prompt|input)\w*toolong|toomany(?:input|prompt)tokens",
        ),
        Cause.MODERATED: (
            r"content(?:policy|filter|moderat|safety|violat|blocked)|policyviolation|moderat|guardrail|responsibleai|blocklist",
            r"(?:prohibited|sensitive|inappropriate|harmful|unsafe|flagged)(?:content|text|input|prompt|image)|safety|flagged",
        ),
        Cause.OVERLOADED: (r"overload|(?:at|no|over|out)?capacity|busy",),
        Cause.MODEL_UNKNOWN: (
            r"(?:model|deployment)\w*(?:notfound|notexist|unavailable|deprecated|retired|gone|decommission|notopen)|(?:no|unknown)such?model",
        ),
        Cause.UNSUPPORTED: (r"unsupported|notsupported|unknownparam|unrecognizedparam",),
        Cause.TIMED_OUT: (r"time[d]?out",),
    }
)
"""What codes that stand in no row have in common, in lower case and without anything but letters and digits."""

_ABOUT_US: Final = _words(
    {
        Cause.UNAFFORDABLE: (r"this request requires more credits", r"~can only afford \d", r"预扣费额度失败"),
        Cause.EXHAUSTED: (
            r"your (?:api )?credit balance is too low",
            r"your (?:account )?balance is (?:too low|insufficient|not enough)",
            r"you(?: have|'ve)? (?:reached|exceeded|hit) your (?:specified|current|monthly|daily|account|organi[sz]ation|plan|"
            r"usage|spend|included|assigned|api|token plan)\b(?!(?:'s)? (?:request |token )?(?:rate|concurren))",
            r"(?:insufficient|not enough) (?:account )?(?:balance|credits?|funds|quota)",
            r"(?:billing|spending|spend|monthly|budget|usage|key|credit) ~\b(?:limits?|quota)\b~"
            r"\b(?:reached|exceeded|exhausted|used up)",
            r"(?:usage|spend(?:ing)?) limits?\b~\b(?:reached|exceeded)",
            r"~\busage limits?\b~\bregain access on",
            r"~\b(?:used all (?:available|your)|run out of) credits",
            r"~\bbudget (?:limit )?has been exceeded|you do not have enough credits?|please (?:top up|recharge|add credits)",
            r"用户?额度不足|额度已用",
            r"~\b(?:reached|exceeded) (?:its|your|the) monthly spend(?:ing)? (?:limit|cap)",
            r"your (?:\w+ )?credits? (?:is|are|has been|have been) (?:depleted|exhausted|used up)|out of call volume quota",
            r"access denied, please make sure (?:that )?your account is in good standing",
            r"account\b~\bsuspended, possibly due to reaching",
            r"your account\b~\bsuspended, please check your plan",
            r"you are using a trial key",
            r"out of credits|no credits? (?:left|remaining)",
            r"too many tokens per day",
            r"余额不足|您的(?:账户|账号)(?![^。，]{0,12}(?:速率|频率|并发|限流))|账户(?:已欠费|余额)|账号(?:已欠费|余额)",
        ),
        Cause.CREDENTIALS: (
            r"(?:incorrect|invalid|expired|missing|wrong|unknown|no) (?:or \w+ )?(?:api[ _-]?key|x-api-key|subscription key)\b",
            r"missing or invalid authorization header",
            r"api[ _-]?key (?:not valid|not found|expired|invalid|is (?:invalid|missing|expired|disabled)|has (?:expired|been))",
            r"(?:this|your|the) (?:api key|organi[sz]ation|workspace|account|project|key) (?:has been|is|was)\b~"
            r"\b(?:disabled|restricted|suspended|deactivated|revoked|invalid|expired|terminated|leaked|banned|blocked)",
            r"organi[sz]ation has been (?:restricted|disabled)",
            r"this credential is only authorized",
            r"access denied due to invalid subscription key",
            r"the security token included in the request is",
            r"authentication fails\b|invalid authentication\b|login fail|unauthori[sz]ed\b",
        ),
        Cause.FORBIDDEN: (
            r"user location is not supported",
            r"country, region, or territory not supported",
            r"you don't have access to the model|model access is denied",
            r"your organi[sz]ation must be verified",
        ),
        Cause.MODEL_UNKNOWN: (
            r"the (?:provided )?model identifier is invalid",
            r"invocation of model id\b.*on-demand throughput isn.t supported",
            r"no endpoints found for",
            r"this model (?:version )?has reached the end of its life|this model is marked by provider as",
            r"models?[/ ][`'\"]?[^\s`'\"]{1,200}[`'\"]? (?:is )?(?:not found|does not exist)|模型不存在",
        ),
        Cause.RATE_LIMITED: (r"(?:request )?rate limits? (?:exceeded|reached)|too many requests",),
        Cause.OVERLOADED: (
            r"overloaded\b|(?:the |this )?(?:model|engine|server|service) is (?:\w+ )?(?:overloaded|busy|at capacity)",
            r"该模型当前访问量过大",
        ),
        Cause.TIMED_OUT: (r"(?:the |upstream )?request time(?:d )?out",),
    },
    before=r"\W{0,16}(?:error\W{1,16})?",
)
"""Words about our account, about the model or the moment, at the beginning of a message."""

_ABOUT_REQUEST: Final = _words(
    {
        Cause.TOO_LONG: (
            r"context[ _-]?(?:length|window|size|limit|too long)|maximum context",
            r"(?:prompt|input|message|conversation|request)s? (?:is |are )?too long",
            r"exceeds? the (?:model's |available |maximum )?context",
            r"(?:input|prompt) tokens?\b.{0,60}\bexceed|token count\b.{0,60}\bexceeds",
            r"exceeds? the maximum (?:number of )?(?:allowed )?(?:input )?tokens|maximum number of tokens allowed",
            r"(?:reduce|shorten) the length of|max_new_tokens`? must be|too many (?:input )?tokens\b|maximum prompt length",
            r"(?:input|prompt) (?:length|characters)\b.{0,60}\b(?:exceed|should be)",
            r"max(?:imum)? (?:allowed )?input (?:length|tokens|char)|token limit exceeded|exceed(?:s|ed) .{0,20}token limit",
            r"\b(?:prompt|input|request) exceed(?:s|ed) (?:the )?(?:model |max)",
            r"上下文|过长|超长|超过.{0,12}长度|context shift is disabled|\Atoken limit\Z",
        ),
        Cause.TOO_LARGE: (
            r"(?:payload|body|entity|request) (?:is )?too large",
            r"larger than the maximum request|\bexceeds \d{1,9}(?:\.\d{1,3})? ?[kmg]i?b\b",
        ),
        Cause.MODERATED: (
            r"content (?:management |moderation |safety |usage )?(?:polic|filter|exists risk|violat)|blocked by content",
            r"usage (?:polic|guidelines)|responsible ai|prohibited (?:content|use)|inappropriate content|data inspection",
            r"(?:was|been|is|were|are) (?:flagged|blocked (?:by|due to|for))|flagged (?:by|as|for)|moderation|content security",
            r"violat(?:es|ed|ing|ion).{0,40}\b(?:polic|terms|guidelines)|(?:unsafe|harmful|explicit|nsfw) content",
            r"safety (?:system|filter|polic|check|reasons)|sensitive (?:content|information|words)",
            r"new_sensitive|敏感|违规|内容安全",
        ),
        Cause.UNSUPPORTED: (
            r"\b(?:not (?:yet )?supported|unsupported|not permitted)\b",
            r"\b(?:doesn't|does not|do not|don't|cannot|can't) (?:support|accept)\b|no endpoints found that support",
            r"unrecognized (?:request )?argument|unknown (?:parameter|name|field|argument)|unexpected keyword",
            r"max_(?:completion_|output_)?tokens\b.{0,40}\b(?:too large|at most|exceed|(?:less|greater|higher) than)",
            r"not (?:yet )?(?:available|allowed|enabled|compatible) (?:for|with|on) this (?:model|subscription|plan|tier)",
            r"must be verified to stream|max_tokens: \d{1,12} > \d",
            # Thoughts that another signed: he who did reads them.
            r"(?:invalid|corrupted) [`'\"]?(?:thought[ _]?)?signature|thought[ _]?signature\b.{0,40}\bnot valid",
            r"encrypted[ _]content\b.{0,120}\bcould not be (?:verified|decrypted|parsed)",
            r"thinking.{0,40}\bblocks?\b.{0,60}\bcannot be modified",
        ),
    }
)
"""Words about one request, anywhere in a message."""

_ANY_QUOTA: Final = frozenset(("quota_exceeded", "quotaexceeded"))
"""Said of balances and of minutes."""
_REQUESTED: Final = re.compile(r"\blimit:? ?(\d{1,12})\b.{0,60}\brequested:? ?(\d{1,12})\b", re.IGNORECASE)
"""One request beyond the whole limit of a minute: no waiting makes it fit, and it is no reason to let others wait."""
_SUREST_FIRST: Final = (Cause.TOO_LONG, Cause.TOO_LARGE, Cause.MODERATED, Cause.UNSUPPORTED)
_SPEAKS_OF_US: Final = re.compile(
    r"\W{0,16}(?:your|this|the)\s+(?:account|organi[sz]ation|team|project|workspace|api key|key|subscription|ip)\b", re.IGNORECASE
)
_CAN_BE_ABOUT_US: Final = frozenset((0, 400, 401, 402, 403, 404, 412, 422, 424, 429, 502))
_ABOUT_NOW: Final[dict[Cause | None, frozenset[int]]] = {
    Cause.RATE_LIMITED: frozenset((0, 400)),
    Cause.OVERLOADED: frozenset((0, 400, 429)),
    Cause.TIMED_OUT: frozenset((0, 400)),
}
"""Beside which status words about the moment are believed: others say it themselves."""
_BELIEVED: Final = {
    **dict.fromkeys((0, 400, 404, 405, 413, 415, 422), frozenset(Cause)),
    **dict.fromkeys((403, 451, 498), frozenset((Cause.MODERATED,))),
    # "Request too large for … tokens per min": no waiting makes it smaller.
    429: frozenset((Cause.TOO_LARGE,)),
    500: frozenset((Cause.TOO_LONG,)),
    501: frozenset((Cause.UNSUPPORTED,)),
    502: frozenset((Cause.TOO_LONG,)),
}
"""What words about one request may mean beside a status."""


def cause_of(status: int, names: Iterable[str], message: str, *, states_wait: bool = False) -> Cause:
    """Why a provider answered `status` (0: none), with the codes, types and reasons it gave, the surest first, and its message.

    `states_wait`: it says when to come back within the hour, so what is used up is a rate and not a balance.
    """
    lower = [name.lower() for name in names]
    by_name = next((CODES[name] for name in lower if name in CODES), None) or _by_hint(lower)
    about_us = _about_us(status, message)
    if status == 401:
        return about_us or (by_name if by_name in ABOUT_ACCOUNT else Cause.CREDENTIALS) or Cause.CREDENTIALS
    is_vague = by_name in (None, Cause.RATE_LIMITED) or not _ANY_QUOTA.isdisjoint(lower)
    if status == 429 and states_wait and is_vague and Cause.EXHAUSTED in (about_us, by_name):
        return Cause.RATE_LIMITED  # Google says "current quota" of the requests in a minute
    if by_name in ABOUT_ACCOUNT and by_name is not None:
        return about_us if about_us is Cause.UNAFFORDABLE else by_name
    if about_us is not None:
        return about_us
    if by_name is not None:
        return _beside_status(by_name, status)
    return _about_request(status, message) or _in_general(status, lower)


def _by_hint(names: list[str]) -> Cause | None:
    """What a code that no row has resembles. Sentences in the place of a code are none."""
    squashed = (re.sub(r"[^a-z0-9]", "", name) for name in names if " " not in name and name not in KINDS)
    found = (_HINTS().search(name) for name in squashed)
    return next((Cause(match.lastgroup) for match in found if match), None)


def _about_us(status: int, message: str) -> Cause | None:
    match = _ABOUT_US().match(message) if status in _CAN_BE_ABOUT_US else None
    cause = Cause(match.lastgroup) if match else None
    return cause if status in _ABOUT_NOW.get(cause, _CAN_BE_ABOUT_US) else None


def _beside_status(cause: Cause, status: int) -> Cause:
    """A `server_error` says less than a status that names a reason."""
    is_less = cause is Cause.UNAVAILABLE and (400 <= status < 500 or status in (503, 504, 524, 529))
    return cause_of_status(status) if is_less else cause


def _about_request(status: int, message: str) -> Cause | None:
    believed = _BELIEVED.get(status)
    if believed is None or (status == 403 and _SPEAKS_OF_US.match(message)):
        return None
    said = _REQUESTED.search(message) if status == 429 else None
    if said and int(said[2]) > int(said[1]):
        return Cause.TOO_LARGE
    named = {match.lastgroup for match in _ABOUT_REQUEST().finditer(message)}
    return next((cause for cause in _SUREST_FIRST if cause.value in named and cause in believed), None)


def _in_general(status: int, names: list[str]) -> Cause:
    """A type so general that only a vague status leaves it the word. Google's older services limit rates with a 403."""
    if status in (0, 403, 503) and any("ratelimit" in re.sub(r"[^a-z]", "", name) for name in names):
        return Cause.RATE_LIMITED
    general = None if status else next((KINDS[name] for name in names if name in KINDS), None)
    return general or cause_of_status(status)

"""The routing table in force: read from providers.toml, checked before it bites, replaced without dropping a stream.

Rule: a file that is wrong never replaces one that is right; its first problems are logged and the last good one keeps serving.
Strategy: everything that is the same for each request to a provider is made once (`edge.providers.resolver`).
Rule: health goes by a key's value, not by its reference: the right key in the same file is used at once.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic, time
from typing import Any

from edge.limits.live import LiveLimits
from edge.providers.observed import Observed
from edge.providers.reload import Sources, Unusable, sources_of
from edge.providers.resolver import EndpointResolver, LazyUpstream, ResolvedEndpoint
from edge.upstream import Upstream
from edge.upstream.tls import shared_context
from routing.failures.cause import ABOUT_KEY
from routing.failures.failure import Failure
from routing.plan.health import Changes, Health, begin, end
from routing.plan.plan import Attempt, Plan, Routes
from routing.plan.preferences import Preferences
from routing.plan.refusal import Refusal
from routing.request.envelope import Envelope
from routing.routes.route import ANYWHERE
from routing.routes.situation import situation_of
from routing.table.config import Config, parse
from routing.table.endpoint import CHAT, Endpoint
from routing.table.provider import Provider
from routing.views.catalog import Catalog
from routing.views.decision import decision_taken

log = logging.getLogger("tollway.table")
RESOLVED_MAX = 4_096
"""Of endpoints with the model in their path, whose names callers may choose."""
_ByKey = dict[tuple[str, str | None], ResolvedEndpoint]
"""By provider and key."""


class Table:
    """One providers.toml and what was made of it. Health outlives a reload, by provider and key."""

    def __init__(self, path: Path, native: Upstream, httpx_upstream: LazyUpstream, region: str = "") -> None:
        self._path = path
        self._region = region
        self.observed = Observed()
        self.resolver = EndpointResolver(native, httpx_upstream)
        self._known_secrets: dict[str, str] = {}
        self._health: dict[str, Health] = {}
        self._resolved_chat: _ByKey = {}
        self._resolved_endpoints: dict[tuple[str, str | None, str, str, bool], ResolvedEndpoint] = {}
        self._is_in_force = False
        self.offered: frozenset[str] = frozenset()  # the keys that can be used, by reference
        self.limits = LiveLimits()
        text = path.read_bytes()
        config = parse(text.decode())
        self.adopt(config, sources_of(text, config))

    def adopt(self, config: Config, sources: Sources) -> None:
        """Use it from now on. Everything is made before anything is changed: ValueError leaves what was."""
        secrets = dict(sources.secrets)
        certificates, self.resolver.certificates = self.resolver.certificates, sources.certificates
        try:
            if self._is_in_force:
                for provider in config.providers.values():
                    _prove_authorities(provider, sources)
            resolved, trials = self._resolve_all(config, secrets)
            offered = frozenset(secrets)
            catalog = Catalog(config, offered)
            digests = {ref: self.resolver.digest(secret) for ref, secret in secrets.items()}
            routes = Routes(config, offered, digests)
            for name in (*config.aliases, *config.routes):
                routes.plan(name, (), {}, 0.0, 0.0)
        except BaseException:
            self.resolver.certificates = certificates
            raise
        self.config, self.sources, self.offered, self.catalog, self._routes = config, sources, offered, catalog, routes
        self.limits.now = config.limits
        self._is_in_force = True
        self._forget_other_keys(config, digests)
        # Requests that were planned with the last table still find their endpoints.
        self._resolved_chat = self._resolved_chat | resolved
        self._resolved_endpoints.clear()
        self._known_secrets |= secrets
        self.trials = trials
        """How each provider, with each of its keys, is asked for its models: as the format that it prefers authenticates."""
        # By scope: a provider's name, and that with a key's digest.
        self._trial_of = {f"{name} {digests.get(ref or '', ref or '')}": trial for (name, ref), trial in trials.items()}
        self._trial_of |= {name: trial for (name, _), trial in trials.items()}

    def _resolve_all(self, config: Config, secrets: dict[str, str]) -> tuple[_ByKey, _ByKey]:
        """How each provider is reached with each of its keys, for requests and for trials. A key that cannot be used is taken out
        of `secrets`; Unusable: one that is in use."""
        resolve = self.resolver.resolve
        resolved: _ByKey = {}
        trials: _ByKey = {}
        for provider in config.providers.values():
            for ref in provider.key_refs or (None,):
                if ref is not None and ref not in secrets:
                    continue
                secret, at = None if ref is None else secrets[ref], (provider.name, ref)
                try:
                    resolved[at], trials[at] = resolve(provider, secret), resolve(provider, secret, provider.endpoints[0])
                except ValueError as error:
                    if ref is None:
                        raise
                    if ref in self.offered:
                        raise Unusable(f"{ref}: what is there now cannot be used: {error}") from None
                    log.error("%s is not used: %s", ref, error)
                    del secrets[ref]
        return resolved, trials

    def _forget_other_keys(self, config: Config, digests: Mapping[str, str]) -> None:
        """The health of keys and providers that are not in the table any more."""
        kept = {(name, digests.get(ref, ref)) for name, each in config.providers.items() for ref in each.key_refs or ("",)}
        scopes = {scope: (*scope.split(" "), "")[:2] for scope in self._health}
        for scope, (provider, key) in scopes.items():
            if (provider, key) not in kept and (key or provider not in config.providers):
                del self._health[scope]

    def plan(
        self,
        envelope: Envelope,
        allowed: tuple[str, ...],
        now_s: float,
        roll: float,
        account: str,
    ) -> Plan | Refusal:
        """Where an account's request may go."""
        model_id, wishes = envelope.model, envelope.preferences
        if self.config.routes or wishes is not None:
            return self._plan_with(model_id, wishes, envelope, allowed, now_s, roll, account)
        return self._routes.plan(model_id, allowed, self._health, now_s, roll, account, speeds=self.observed.first_token_s)

    def _plan_with(
        self,
        model_id: str,
        wishes: Preferences | None,
        envelope: Envelope,
        allowed: tuple[str, ...],
        now_s: float,
        roll: float,
        account: str,
    ) -> Plan | Refusal:
        """What depends on the request: its route's conditions, its conversation, what its caller wishes."""
        observed, situation, kept = self.observed, ANYWHERE, ""
        route = self._routes.route_of(model_id)
        is_sticky = route is not None and bool(route.sticky_s)
        names_routes = wishes is not None and bool(wishes.models and self.config.routes)
        if route is not None or names_routes:
            hour, has_parts = int(time() // 3_600 % 24), names_routes or (route is not None and route.asks_for_parts)
            situation = situation_of(envelope, self._region, hour, account, is_sticky=is_sticky, has_parts=has_parts)
        if route is not None and situation.conversation:
            kept = observed.kept(route.id, situation.conversation, now_s)
        state = (self._health, now_s, roll, account, situation, observed.first_token_s, kept)
        if wishes is not None:
            plan = self._routes.plan_with(model_id, wishes, allowed, *state)
        else:
            plan = self._routes.plan(model_id, allowed, *state)
        if route is not None and situation.conversation and isinstance(plan, Plan):
            observed.keep(route.id, situation.conversation, plan.attempts[0].model.id, now_s + route.sticky_s)
        return plan

    def decision(self, envelope: Envelope, plan: Plan | Refusal, roll: float, admitted: Sequence[Attempt]) -> dict[str, Any]:
        """How a request was routed, for the caller who wants to read it (`routing.views.decision`)."""
        situation = situation_of(envelope, self._region, int(time() // 3_600 % 24), "", is_sticky=False)
        return decision_taken(self._routes, envelope.model, situation, roll, envelope.preferences, plan, admitted)

    def resolve(self, attempt: Attempt, endpoint: Endpoint = CHAT, *, is_stream: bool = False) -> ResolvedEndpoint:
        """How an attempt reaches one of its provider's endpoints."""
        if endpoint is CHAT:
            return self._resolved_chat[attempt.provider.name, attempt.key_ref]
        model = attempt.model.name if endpoint.has_model_in_path else ""
        key = (attempt.provider.name, attempt.key_ref, endpoint.format, model, is_stream and bool(endpoint.stream_path))
        found = self._resolved_endpoints.get(key)
        if found is None:
            if len(self._resolved_endpoints) >= RESOLVED_MAX:
                self._resolved_endpoints.clear()
            secret = None if attempt.key_ref is None else self._known_secrets[attempt.key_ref]
            found = self._resolved_endpoints[key] = self.resolver.resolve(attempt.provider, secret, endpoint, model, is_stream)
        return found

    def begin(self, attempt: Attempt, account: str) -> None:
        """An attempt is sent: what was closed and may be tried again now has its trial."""
        if self._health:
            self._store_health(begin(self._health, attempt.scopes, monotonic(), account))

    def end(self, attempt: Attempt, began_s: float, account: str, failure: Failure | None) -> None:
        """An attempt that began at `began_s` has ended, well (None) or not: let the next plans know."""
        now_s = monotonic()
        if failure is not None or self.observed.has_storms:
            self.observed.count(attempt, account, failure, now_s, began_s)
        if failure is None:
            self.observed.answered(attempt, now_s - began_s, now_s)
        if self._health or failure is not None:
            changes = end(self._health, attempt.scopes, failure, now_s, began_s, account, attempt.policy.breaker)
            if failure is not None and failure.is_answer and failure.cause in ABOUT_KEY:
                self._log_rest(attempt, failure, changes)
            self._store_health(changes)

    def _log_rest(self, attempt: Attempt, failure: Failure, changes: Changes) -> None:
        """The operator, once per reason and key: nobody else can mend it."""
        for scope, health in changes:
            known = self._health.get(scope)
            if health is not None and (known is None or known.cause is not health.cause):
                rest_s = health.open_until_s - monotonic()
                name = attempt.provider.name
                log.warning("the key %s of %s rests for %.0f s: %s", attempt.key_ref or "-", name, rest_s, failure.reason)

    def due(self, now_s: float) -> list[tuple[str, ResolvedEndpoint]]:
        """The scopes that are due for a trial at no cost, and how they are reached. What has come back whole is forgotten."""
        for scope in [scope for scope, each in self._health.items() if each.is_restored(now_s)]:
            del self._health[scope]
        due = [scope for scope, each in self._health.items() if each.is_due(now_s)]
        resolved = ((scope, self._trial_of.get(" ".join(scope.split(" ")[:2]))) for scope in due)
        return [(scope, each) for scope, each in resolved if each is not None]

    def resting(self, now_s: float) -> list[dict[str, object]]:
        """What is closed now, for the operator: keys by their references, never by what they are."""
        rows: list[dict[str, object]] = []
        for place, each in self._ill():
            if now_s < each.open_until_s:
                cause = each.cause.value if each.cause is not None else "no answer"
                closed_for_s = round(each.open_until_s - now_s, 1)
                rows.append({**place, "closed_for_s": closed_for_s, "failures": each.failures, "cause": cause})
        return rows

    def returning(self, now_s: float) -> list[dict[str, object]]:
        """What has come back lately, and which part of its requests it is given; likewise."""
        known = ((place, each.restoration) for place, each in self._ill() if now_s >= each.open_until_s)
        return [{**place, "part": round(back.part(now_s), 2)} for place, back in known if back and not back.is_over(now_s)]

    def _ill(self) -> list[tuple[dict[str, str], Health]]:
        refs = {self.resolver.digest(secret): ref for ref, secret in self._known_secrets.items()}
        scopes = ((*scope.split(" "), "", "")[:3] for scope in self._health)
        places = ({"provider": provider, "key": refs.get(key, key), "model": model} for provider, key, model in scopes)
        return list(zip(places, self._health.values(), strict=True))

    def tried(self, scope: str, failure: Failure | None) -> None:
        """A trial at no cost has ended, well (None) or not."""
        known = self._health.get(scope)
        if known is not None:
            self._health[scope] = known.after_free_trial(monotonic(), went_well=failure is None)

    def _store_health(self, changes: Changes) -> None:
        for scope, health in changes:
            if health is None:
                self._health.pop(scope, None)
            else:
                self._health[scope] = health

    def closed(self, now_s: float) -> list[tuple[str, str, str]]:
        """What no request is sent to now: (provider, what of it, why), each as often as it is so."""
        kinds = ("provider", "key", "target")
        shown = ((scope.split(" "), health) for scope, health in self._health.items() if now_s < health.open_until_s)
        return [(parts[0], kinds[min(len(parts), 3) - 1], health.cause.value if health.cause else "") for parts, health in shown]

    def key_states(self) -> dict[tuple[str, str], int]:
        """How many keys of each provider can be read."""
        refs = ((name, ref) for name, provider in self.config.providers.items() for ref in provider.key_refs)
        return Counter((name, "offered" if ref in self.offered else "missing") for name, ref in refs)


def _prove_authorities(provider: Provider, sources: Sources) -> None:
    """Unusable: nobody could be believed. At the start a file that is not right costs its provider alone, and is told by it."""
    if provider.ca_file is None or provider.transport == "httpx":
        return
    try:
        shared_context(provider.verify, provider.ca_file, sources.certificates.get(provider.ca_file, ""))
    except (OSError, ValueError) as error:
        raise Unusable(f"providers.{provider.name}.ca_file: {provider.ca_file} holds no certificates: {error}") from None

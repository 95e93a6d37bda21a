"""Migrations that move what is already in a store, spelled for each database; `schema` says in which order they come.

QUARTERS: sums per quarter of an hour beside those per day, both made again from the records; PostgreSQL's records by month. What
a store held before becomes one partition as it is, without copying; ids that were never minted by us stand in one of their own.
"""

from collections.abc import Callable

_FAULTS = "('truncated', 'upstream_error', 'proxy_error', 'timeout', 'orphaned')"
_SUMMED = ("prompt", "cached", "cache_write", "completion", "reasoning")
_MEASURES = ("requests", "errors", *_SUMMED, "cost_nano", "latency_ms", "ttft_ms")


def _backfill(text: Callable[[str], str], number: Callable[[str], str]) -> str:
    """Sums from raw records, whose JSON leaves out what is 0; `text` and `number` read a member by its path."""
    tokens = ", ".join(f"SUM({number(f'tokens.{name}')})" for name in _SUMMED)
    return (
        f"INSERT INTO usage_quarters (account, quarter, key_id, model, provider, {', '.join(_MEASURES)})"
        f" SELECT account, started_ms / 900000, {text('key_id')}, {text('model')}, {text('provider')}, COUNT(*),"
        f" SUM(CASE WHEN {text('end_reason')} IN {_FAULTS} THEN 1 ELSE 0 END), {tokens}, SUM(cost_nano),"
        f" SUM({number('latency_ms')}), SUM({number('ttft_ms')}) FROM records GROUP BY 1, 2, 3, 4, 5"
    )


def _postgres_text(path: str) -> str:
    return f"COALESCE(payload::jsonb #>> '{{{path.replace('.', ',')}}}', '')"


def _sqlite_text(path: str) -> str:
    return f"COALESCE(json_extract(payload, '$.{path}'), '')"


_BACKFILL = {
    "sqlite": _backfill(_sqlite_text, lambda path: f"COALESCE(json_extract(payload, '$.{path}'), 0)"),
    "postgres": _backfill(_postgres_text, lambda path: f"COALESCE(NULLIF({_postgres_text(path)}, '')::bigint, 0)"),
}
_DAYS = (
    f"INSERT INTO usage_days (account, day, key_id, model, provider, {', '.join(_MEASURES)})"
    f" SELECT account, quarter / 96, key_id, model, provider, {', '.join(f'SUM({name})' for name in _MEASURES)}"
    " FROM usage_quarters GROUP BY 1, 2, 3, 4, 5"
)
_ATTACH = """DO $$
    DECLARE
        month TIMESTAMP := date_trunc('month', now() AT TIME ZONE 'UTC') + interval '2 months';
        name TEXT := 'records_before_' || to_char(month, 'YYYY_MM');
        bound TEXT;
    BEGIN
        IF NOT EXISTS (SELECT 1 FROM records_unparted) THEN
            DROP TABLE records_unparted;
            RETURN;
        END IF;
        SELECT 'gen-' || string_agg(substr('0123456789abcdefghjkmnpqrstvwxyz',
                ((extract(epoch FROM month)::bigint * 1000 >> at) & 31)::int + 1, 1), '' ORDER BY at DESC)
            INTO bound FROM generate_series(0, 45, 5) AS at;
        EXECUTE 'CREATE TABLE records_foreign_9999_12 PARTITION OF records FOR VALUES FROM (''gen-8'') TO (MAXVALUE)';
        INSERT INTO records SELECT * FROM records_unparted WHERE gen_id >= 'gen-8';
        DELETE FROM records_unparted WHERE gen_id >= 'gen-8';
        EXECUTE 'ALTER TABLE records_unparted RENAME TO ' || quote_ident(name);
        EXECUTE 'ALTER TABLE records ATTACH PARTITION ' || quote_ident(name) || ' FOR VALUES FROM (MINVALUE) TO ('
            || quote_literal(bound) || ')';
    END $$"""


def _postgres(text: str) -> dict[str, str]:
    return {"sqlite": "", "postgres": text}


QUARTERS: tuple[str | dict[str, str], ...] = (
    {
        name: f"""CREATE TABLE usage_quarters (account TEXT NOT NULL, quarter BIGINT NOT NULL, key_id TEXT NOT NULL,
            model TEXT NOT NULL, provider TEXT NOT NULL, {", ".join(f"{column} BIGINT NOT NULL" for column in _MEASURES)},
            PRIMARY KEY (account, quarter, key_id, model, provider)){end}"""
        for name, end in (("sqlite", " WITHOUT ROWID"), ("postgres", ""))
    },
    _BACKFILL,
    *(
        f"ALTER TABLE usage_days ADD COLUMN {name} BIGINT NOT NULL DEFAULT 0"
        for name in ("errors", "cached", "cache_write", "latency_ms", "ttft_ms")
    ),
    "DELETE FROM usage_days",
    _DAYS,
    "ALTER TABLE epochs ADD COLUMN complete_ms BIGINT NOT NULL DEFAULT 0",
    """CREATE TABLE pruned (node TEXT NOT NULL, epoch BIGINT NOT NULL, account TEXT NOT NULL, records BIGINT NOT NULL,
        cost_nano BIGINT NOT NULL, PRIMARY KEY (node, epoch, account))""",
    "INSERT INTO counters (name, value) VALUES ('records_from_ms', 0)",
    _postgres("ALTER TABLE records RENAME TO records_unparted"),
    _postgres("ALTER TABLE records_unparted RENAME CONSTRAINT records_pkey TO records_unparted_pkey"),
    _postgres('ALTER TABLE records_unparted ALTER COLUMN gen_id TYPE TEXT COLLATE "C"'),
    _postgres(
        """CREATE TABLE records (gen_id TEXT COLLATE "C" PRIMARY KEY, node TEXT NOT NULL, epoch BIGINT NOT NULL,
            seq BIGINT NOT NULL, account TEXT NOT NULL, purse TEXT NOT NULL, started_ms BIGINT NOT NULL,
            cost_nano BIGINT NOT NULL, payload TEXT NOT NULL) PARTITION BY RANGE (gen_id)"""
    ),
    _postgres("ALTER INDEX records_account RENAME TO records_unparted_account"),
    _postgres("CREATE INDEX records_account ON records (account, started_ms)"),
    _postgres(_ATTACH),
)

ACCOUNT: tuple[str | dict[str, str], ...] = (
    """CREATE TABLE credentials (digest TEXT PRIMARY KEY, credential_id TEXT NOT NULL UNIQUE, account TEXT NOT NULL,
        role TEXT NOT NULL, label TEXT NOT NULL, name TEXT NOT NULL, disabled INTEGER NOT NULL DEFAULT 0, expires_ms BIGINT,
        created_ms BIGINT NOT NULL)""",
    "CREATE INDEX credentials_account ON credentials (account)",
    "ALTER TABLE keys ADD COLUMN updated_ms BIGINT",
    "ALTER TABLE keys ADD COLUMN deleted INTEGER NOT NULL DEFAULT 0",
    """CREATE TABLE idempotency (scope TEXT NOT NULL, idempotency_key TEXT NOT NULL, fingerprint TEXT NOT NULL,
        salt TEXT NOT NULL, status BIGINT NOT NULL, answer TEXT NOT NULL, at_ms BIGINT NOT NULL,
        PRIMARY KEY (scope, idempotency_key))""",
    """CREATE TABLE payments (ref TEXT PRIMARY KEY, account TEXT NOT NULL, amount_nano BIGINT NOT NULL, source TEXT NOT NULL,
        at_ms BIGINT NOT NULL)""",
    "CREATE INDEX postings_money ON postings (account, posting_id) WHERE kind IN ('top_up', 'correction')",
    """CREATE TABLE auth_codes (digest TEXT PRIMARY KEY, account TEXT NOT NULL, challenge TEXT NOT NULL, method TEXT NOT NULL,
        name TEXT NOT NULL, limit_nano BIGINT, limit_reset TEXT NOT NULL, key_expires_ms BIGINT, expires_ms BIGINT NOT NULL)""",
    """CREATE TABLE destinations (destination_id TEXT PRIMARY KEY, account TEXT NOT NULL, kind TEXT NOT NULL,
        target TEXT NOT NULL, secret TEXT NOT NULL, disabled INTEGER NOT NULL DEFAULT 0, problem TEXT NOT NULL DEFAULT '',
        created_ms BIGINT NOT NULL)""",
    "CREATE INDEX destinations_account ON destinations (account)",
    """CREATE TABLE alerts (alert_id TEXT PRIMARY KEY, account TEXT NOT NULL, kind TEXT NOT NULL, key_id TEXT NOT NULL,
        threshold BIGINT NOT NULL, state TEXT NOT NULL DEFAULT 'armed', window_day BIGINT NOT NULL DEFAULT 0,
        changed_ms BIGINT NOT NULL, created_ms BIGINT NOT NULL)""",
    "CREATE INDEX alerts_account ON alerts (account)",
    """CREATE TABLE alert_events (event_id TEXT PRIMARY KEY, account TEXT NOT NULL, alert_id TEXT NOT NULL, type TEXT NOT NULL,
        payload TEXT NOT NULL, at_ms BIGINT NOT NULL)""",
    "CREATE INDEX alert_events_account ON alert_events (account, at_ms)",
    """CREATE TABLE deliveries (event_id TEXT NOT NULL, destination_id TEXT NOT NULL, state TEXT NOT NULL,
        attempts BIGINT NOT NULL DEFAULT 0, due_ms BIGINT NOT NULL, status BIGINT NOT NULL DEFAULT 0,
        problem TEXT NOT NULL DEFAULT '', PRIMARY KEY (event_id, destination_id))""",
    "CREATE INDEX deliveries_due ON deliveries (due_ms) WHERE state = 'waiting'",
)
"""What an account manages itself by: keys that read and manage, payments, sign-in of apps, alerts and where they go."""

ENROLMENT: tuple[str | dict[str, str], ...] = (
    """CREATE TABLE group_tokens (digest TEXT PRIMARY KEY, node_group TEXT NOT NULL, label TEXT NOT NULL,
        created_ms BIGINT NOT NULL, revoked_ms BIGINT)""",
    "ALTER TABLE nodes ADD COLUMN node_group TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE nodes ADD COLUMN instance TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE nodes ADD COLUMN revoked_ms BIGINT",
)
"""Groups of nodes whose machines name themselves; and which machine, by its data folder, is a node at the moment."""

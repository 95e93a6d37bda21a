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

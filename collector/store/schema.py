"""The tables of the store, as numbered migrations for both databases.

Rule: a migration is never changed once released; the next version is the next entry. A database newer than this code is refused.
Strategy: one text for both, where `{serial}` is the only word that differs; what they spell differently has two.
Amounts are BIGINT nano-dollars; the checks on `available_nano` and on open leases are the last line of the money invariants.
"""

from collections.abc import Callable

from collector.store import migrations
from collector.store.contract import NoBooks

SERIAL = {"sqlite": "INTEGER PRIMARY KEY", "postgres": "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"}

Statement = str | dict[str, str]
"""One text for both databases, or one for each; an empty one is left out."""


def _append_only(table: str) -> tuple[Statement, ...]:
    """Statements after which the database refuses to change or delete a row of `table`."""
    refusal = f"the rows of {table} are only ever added"
    guard: dict[str, str] = {
        "sqlite": "",
        "postgres": f"CREATE FUNCTION {table}_guard() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE EXCEPTION '{refusal}'; END $$",
    }
    return (
        guard,
        *(
            {
                "sqlite": f"CREATE TRIGGER {table}_{event} BEFORE {event} ON {table} BEGIN SELECT RAISE(ABORT, '{refusal}'); END",
                "postgres": f"CREATE TRIGGER {table}_{event} BEFORE {event} ON {table} EXECUTE FUNCTION {table}_guard()",
            }
            for event in ("UPDATE", "DELETE")
        ),
    )


MIGRATIONS: tuple[tuple[Statement, ...], ...] = (
    (
        """CREATE TABLE accounts (account TEXT PRIMARY KEY, available_nano BIGINT NOT NULL DEFAULT 0 CHECK (available_nano >= 0),
            topped_nano BIGINT NOT NULL DEFAULT 0, spent_nano BIGINT NOT NULL DEFAULT 0, absorbed_nano BIGINT NOT NULL DEFAULT 0,
            created_ms BIGINT NOT NULL)""",
        """CREATE TABLE keys (digest TEXT PRIMARY KEY, key_id TEXT NOT NULL UNIQUE, account TEXT NOT NULL, label TEXT NOT NULL,
            name TEXT NOT NULL, models TEXT NOT NULL, limit_nano BIGINT, limit_reset TEXT NOT NULL, disabled INTEGER NOT NULL,
            expires_ms BIGINT, created_ms BIGINT NOT NULL, version BIGINT NOT NULL)""",
        "CREATE INDEX keys_account ON keys (account)",
        "CREATE INDEX keys_version ON keys (version)",
        "CREATE TABLE nodes (node TEXT PRIMARY KEY, newest_epoch BIGINT NOT NULL, created_ms BIGINT NOT NULL)",
        """CREATE TABLE node_tokens (digest TEXT PRIMARY KEY, node TEXT NOT NULL, label TEXT NOT NULL, created_ms BIGINT NOT NULL,
            revoked_ms BIGINT)""",
        """CREATE TABLE epochs (node TEXT NOT NULL, epoch BIGINT NOT NULL, boot_id TEXT, state TEXT NOT NULL DEFAULT 'open',
            acked_through BIGINT NOT NULL DEFAULT 0, ahead BIGINT NOT NULL DEFAULT 0, lost BIGINT NOT NULL DEFAULT 0,
            final_seq BIGINT, seen_ms BIGINT NOT NULL, key_cursor BIGINT NOT NULL DEFAULT 0, key_sent BIGINT NOT NULL DEFAULT 0,
            key_sent_at BIGINT NOT NULL DEFAULT 0, PRIMARY KEY (node, epoch), UNIQUE (node, boot_id))""",
        "CREATE TABLE ahead (node TEXT NOT NULL, epoch BIGINT NOT NULL, seq BIGINT NOT NULL, PRIMARY KEY (node, epoch, seq))",
        """CREATE TABLE leases (node TEXT NOT NULL, epoch BIGINT NOT NULL, purse TEXT NOT NULL, account TEXT NOT NULL,
            granted_nano BIGINT NOT NULL DEFAULT 0, settled_nano BIGINT NOT NULL DEFAULT 0,
            returned_nano BIGINT NOT NULL DEFAULT 0, state TEXT NOT NULL DEFAULT 'open', touched_ms BIGINT NOT NULL,
            PRIMARY KEY (node, epoch, purse), CHECK (granted_nano - settled_nano - returned_nano >= 0))""",
        "CREATE INDEX leases_account ON leases (account, state)",
        """CREATE TABLE grants (grant_id TEXT PRIMARY KEY, node TEXT NOT NULL, epoch BIGINT NOT NULL, purse TEXT NOT NULL,
            granted_nano BIGINT NOT NULL, low_water_nano BIGINT NOT NULL, final INTEGER NOT NULL)""",
        "CREATE INDEX grants_epoch ON grants (node, epoch)",
        """CREATE TABLE returns (return_id TEXT PRIMARY KEY, node TEXT NOT NULL, epoch BIGINT NOT NULL,
            returned_nano BIGINT NOT NULL)""",
        "CREATE INDEX returns_epoch ON returns (node, epoch)",
        """CREATE TABLE records (gen_id TEXT PRIMARY KEY, node TEXT NOT NULL, epoch BIGINT NOT NULL, seq BIGINT NOT NULL,
            account TEXT NOT NULL, purse TEXT NOT NULL, started_ms BIGINT NOT NULL, cost_nano BIGINT NOT NULL,
            payload TEXT NOT NULL)""",
        "CREATE INDEX records_account ON records (account, started_ms)",
        """CREATE TABLE rejections (node TEXT NOT NULL, epoch BIGINT NOT NULL, seq BIGINT NOT NULL, gen_id TEXT NOT NULL,
            reason TEXT NOT NULL, payload TEXT NOT NULL, at_ms BIGINT NOT NULL, PRIMARY KEY (node, epoch, seq, gen_id))""",
        """CREATE TABLE repeats (node TEXT NOT NULL, epoch BIGINT NOT NULL, seq BIGINT NOT NULL, gen_id TEXT NOT NULL,
            PRIMARY KEY (node, epoch, seq, gen_id))""",
        """CREATE TABLE postings (posting_id {serial}, at_ms BIGINT NOT NULL, kind TEXT NOT NULL, debit TEXT NOT NULL,
            credit TEXT NOT NULL, amount_nano BIGINT NOT NULL CHECK (amount_nano > 0), account TEXT NOT NULL, node TEXT,
            epoch BIGINT, purse TEXT, ref TEXT NOT NULL, CHECK (debit <> credit))""",
        "CREATE INDEX postings_terms ON postings (debit) WHERE debit IN ('overage', 'late', 'grace')",
        """CREATE TABLE usage_days (account TEXT NOT NULL, key_id TEXT NOT NULL, day BIGINT NOT NULL, model TEXT NOT NULL,
            provider TEXT NOT NULL, requests BIGINT NOT NULL, prompt BIGINT NOT NULL, completion BIGINT NOT NULL,
            reasoning BIGINT NOT NULL, cost_nano BIGINT NOT NULL, PRIMARY KEY (account, key_id, day, model, provider))""",
        "CREATE TABLE counters (name TEXT PRIMARY KEY, value BIGINT NOT NULL)",
        "INSERT INTO counters (name, value) VALUES ('key_version', 0)",
    ),
    (
        "CREATE TABLE deployment (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
        "ALTER TABLE keys ADD COLUMN marked INTEGER NOT NULL DEFAULT 0",
        """CREATE TABLE audit_log (entry_id {serial}, at_ms BIGINT NOT NULL, actor TEXT NOT NULL, origin TEXT NOT NULL,
            action TEXT NOT NULL, subject TEXT NOT NULL, detail TEXT NOT NULL)""",
        "CREATE INDEX audit_log_at ON audit_log (at_ms)",
        *_append_only("audit_log"),
    ),
    ("CREATE TABLE recalls (scope TEXT PRIMARY KEY, until_ms BIGINT NOT NULL)",),
    migrations.QUARTERS,
    (
        """CREATE TABLE sessions (digest TEXT PRIMARY KEY, account TEXT NOT NULL, role TEXT NOT NULL, opened_by TEXT NOT NULL,
            address TEXT NOT NULL, user_agent TEXT NOT NULL, created_ms BIGINT NOT NULL, seen_ms BIGINT NOT NULL,
            expires_ms BIGINT NOT NULL)""",
        "CREATE INDEX sessions_account ON sessions (account)",
        """CREATE TABLE login_links (digest TEXT PRIMARY KEY, account TEXT NOT NULL, role TEXT NOT NULL,
            expires_ms BIGINT NOT NULL)""",
    ),
    migrations.ACCOUNT,
    (
        "ALTER TABLE epochs ADD COLUMN fingerprint BIGINT",
        """UPDATE epochs SET fingerprint = 0 WHERE NOT EXISTS
            (SELECT 1 FROM records r WHERE r.node = epochs.node AND r.epoch = epochs.epoch)""",
    ),
    migrations.ENROLMENT,
    (
        """CREATE TABLE outbox (row_id {serial}, sink TEXT NOT NULL, events BIGINT NOT NULL, payload TEXT NOT NULL,
            created_ms BIGINT NOT NULL, due_ms BIGINT NOT NULL, attempts BIGINT NOT NULL DEFAULT 0,
            state TEXT NOT NULL DEFAULT 'waiting', problem TEXT NOT NULL DEFAULT '')""",
        "CREATE INDEX outbox_sink ON outbox (sink, state, row_id)",
        "CREATE TABLE sinks (sink TEXT PRIMARY KEY, skipped BIGINT NOT NULL DEFAULT 0)",
    ),
    (
        "ALTER TABLE keys ADD COLUMN rate_limits TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE keys ADD COLUMN account_limits TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE accounts ADD COLUMN rate_limits TEXT NOT NULL DEFAULT ''",
    ),
    tuple(
        f"ALTER TABLE {table} ADD COLUMN marked INTEGER NOT NULL DEFAULT 0" for table in ("sessions", "login_links", "auth_codes")
    ),
    (
        "ALTER TABLE keys ADD COLUMN first_id TEXT NOT NULL DEFAULT ''",
        "CREATE INDEX keys_first ON keys (first_id) WHERE first_id <> ''",
    ),
)

VERSION = len(MIGRATIONS)


class SchemaTooNew(Exception):
    """The database was written by a newer release."""


def migrate(database: str, found: int, run: Callable[[str], object], *, makes: bool = True) -> None:
    """Bring a database from version `found` to VERSION with `run(sql)`; the caller holds the transaction and the lock. An empty
    one is left so unless `makes`: NoBooks."""
    if not found and not makes:
        raise NoBooks
    if found > VERSION:
        raise SchemaTooNew(f"the database has schema version {found}, this release knows up to {VERSION}; run a newer release")
    for statements in MIGRATIONS[found:]:
        for statement in statements:
            text = statement if isinstance(statement, str) else statement[database]
            if text:
                run(text.replace("{serial}", SERIAL[database]))

"""The database behind the books: one contract, SQLite and PostgreSQL."""

"""The menu beside every page: (path, name), of an account's pages and of the operator's."""

PAGES = (
    ("/dashboard", "Overview"),
    ("/dashboard/usage", "Usage"),
    ("/dashboard/generations", "Generations"),
    ("/dashboard/keys", "Keys"),
    ("/dashboard/credit", "Credit"),
    ("/dashboard/alerts", "Alerts"),
    ("/dashboard/playground", "Playground"),
    ("/dashboard/sessions", "Sessions"),
)
OPERATOR_PAGES = (
    ("/dashboard/accounts", "Accounts"),
    ("/dashboard/top-ups", "Top-ups"),
    ("/dashboard/nodes", "Nodes"),
    ("/dashboard/providers", "Providers"),
    ("/dashboard/audit", "Audit log"),
    ("/dashboard/verify", "Verify"),
)

"""HTTP heads, server-sent events, and JSON by spans of bytes."""

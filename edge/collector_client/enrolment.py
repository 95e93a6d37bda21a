"""The token that this node speaks with: the one it was given, or its own, which it asks for with its group's.

Rule: a node's own token is kept in its data folder, for its owner's eyes; it is asked for again when the collector does not know
it any more (a backup was restored, or the node was revoked: then the answer says so).
"""

import os
from pathlib import Path

from edge.data_folder import instance_of
from edge.settings import Settings
from usage.protocol import Enrol, group_of

KEPT = "node-token"


class Enrolment:
    """`given` is TOLLWAY_NODE_TOKEN, a node's or a group's; `instance` names this machine by its data folder."""

    def __init__(self, given: str, data: Path, node: str, instance: str) -> None:
        self._given = given
        self._kept = data / KEPT
        self._node, self._instance = node, instance
        self.is_of_group = bool(group_of(given))
        self.token = self._read() if self.is_of_group else given
        """Empty while this node has to enrol first."""

    @staticmethod
    def of(settings: Settings, node: str) -> "Enrolment":
        """StartProblem: the data folder cannot be used."""
        return Enrolment(settings.node_token or "", settings.data, node, instance_of(settings.data))

    @property
    def group_token(self) -> str:
        """What `enrol` is asked with."""
        return self._given

    @property
    def message(self) -> Enrol:
        return Enrol(self._node, self._instance)

    def keep(self, token: str) -> None:
        """Its own token came. OSError: it cannot be kept."""
        proposed = self._kept.with_suffix(".new")
        with os.fdopen(os.open(proposed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w") as file:
            file.write(f"{self._node} {token}\n")
            file.flush()
            os.fsync(file.fileno())
        proposed.replace(self._kept)
        self.token = token

    def forget(self) -> None:
        """The collector does not know the token."""
        if self.is_of_group:
            self._kept.unlink(missing_ok=True)
            self.token = ""

    def _read(self) -> str:
        try:
            node, _, token = self._kept.read_text(encoding="ascii").strip().partition(" ")
        except (OSError, UnicodeDecodeError):
            return ""
        return token if node == self._node else ""

"""What the deployment files say, read as their platforms read them: systemd units, Kubernetes manifests, compose files."""

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

SECONDS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True)
class Unit:
    """A systemd unit: each section's settings in order; a setting may stand more than once."""

    sections: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "Unit":
        sections: dict[str, list[tuple[str, str]]] = {}
        for line in path.read_text().splitlines():
            text = line.strip()
            if text.startswith("["):
                section = sections.setdefault(text.strip("[]"), [])
            elif text and not text.startswith("#"):
                name, _, value = text.partition("=")
                section.append((name, value))
        return cls(sections)

    def all(self, name: str, section: str = "Service") -> list[str]:
        return [value for key, value in self.sections[section] if key == name]

    def one(self, name: str) -> str:
        (value,) = self.all(name)
        return value

    def environment(self, files: dict[str, Path]) -> dict[str, str]:
        """Environment= and EnvironmentFile=, the files' contents taken from `files`; later ones win."""
        found: dict[str, str] = {}
        for name, value in self.sections["Service"]:
            if name == "Environment":
                found |= dict(pair.split("=", 1) for pair in shlex.split(value))
            elif name == "EnvironmentFile":
                lines = files[value].read_text().splitlines()
                found |= dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
        return found


def manifests(path: Path) -> dict[str, Any]:
    """Kubernetes' objects of a file, by kind; a kind that stands twice keeps its last."""
    return {document["kind"]: document for document in yaml.safe_load_all(path.read_text())}


def seconds(text: str | int) -> float:
    """`120s`, `2m`, or a number of seconds."""
    value = str(text)
    return float(value[:-1]) * SECONDS[value[-1]] if value[-1] in SECONDS else float(value)


@dataclass(frozen=True)
class Container:
    """A container of a pod, with what the pod says for all of them."""

    spec: dict[str, Any]
    pod: dict[str, Any]

    @classmethod
    def of(cls, stateful_set: dict[str, Any]) -> "Container":
        pod = stateful_set["spec"]["template"]["spec"]
        (spec,) = pod["containers"]
        return cls(spec, pod)

    @property
    def user(self) -> int:
        assert self.pod["securityContext"]["runAsNonRoot"]
        user: int = self.pod["securityContext"]["runAsUser"]
        return user

    @property
    def group(self) -> int:
        group: int = self.pod["securityContext"]["fsGroup"]
        return group

    def environment(self, name: str, secret: dict[str, str]) -> dict[str, str]:
        """Of the pod with this name."""
        found: dict[str, str] = {}
        for variable in self.spec.get("env", ()):
            if "value" in variable:
                found[variable["name"]] = variable["value"]
            else:
                assert variable["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
                found[variable["name"]] = name
        return found | (secret if "envFrom" in self.spec else {})

    def probe(self, name: str) -> tuple[str, int]:
        """(path, port) of an HTTP probe."""
        get = self.spec[name]["httpGet"]
        ports = {port["name"]: port["containerPort"] for port in self.spec["ports"]}
        return get["path"], ports[get["port"]]

    def mount_path(self, volume: str) -> str:
        (path,) = (mount["mountPath"] for mount in self.spec["volumeMounts"] if mount["name"] == volume)
        return str(path)

"""What systemd is told of this process: that it listens, and that it leaves (sd_notify(3), `Type=notify`)."""

import socket

READY = b"READY=1"
STOPPING = b"STOPPING=1"


def notify(address: str | None, state: bytes) -> None:
    """Send `state` to NOTIFY_SOCKET, a path or, behind an @, an abstract name. Nobody there is nobody who waits."""
    if not address:
        return
    name = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        try:
            channel.connect(name)
            channel.send(state)
        except OSError:
            pass

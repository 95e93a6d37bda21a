"""The static files of the dashboard, each under a name that holds its digest, so that a browser may keep it for ever.

Rule: everything a page loads comes from here; what is vendored stands in `static/` with its licence, and a test keeps its digest.
Strategy: all of it is small and in memory, plain and compressed.
"""

import gzip
import hashlib
from pathlib import Path

from starlette.responses import Response

FOLDER = Path(__file__).parent / "static"
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
HEADERS = {
    "cache-control": "public, max-age=31536000, immutable",
    "x-content-type-options": "nosniff",
    "vary": "accept-encoding",
}


class Assets:
    """`names` gives the name that a page asks for by: `style.css` → `style-1a2b3c4d5e.css`."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self._files: dict[tuple[str, bool], Response] = {}
        for path in sorted(FOLDER.iterdir()):
            media_type = TYPES.get(path.suffix)
            if media_type is not None:
                content = path.read_bytes()
                name = f"{path.stem}-{hashlib.sha256(content).hexdigest()[:10]}{path.suffix}"
                self.names[path.name] = name
                self._files[name, False] = Response(content, media_type=media_type, headers=HEADERS)
                packed = gzip.compress(content, 9, mtime=0)
                self._files[name, True] = Response(packed, media_type=media_type, headers=HEADERS | {"content-encoding": "gzip"})

    def find(self, name: str, accepted: str) -> Response | None:
        """The answer for a digested name, to a browser that accepts these encodings."""
        return self._files.get((name, "gzip" in accepted))

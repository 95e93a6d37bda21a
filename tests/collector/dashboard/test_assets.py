"""Static files: what is vendored is what its makers published, everything is named by its digest, nothing else is served."""

import gzip
import hashlib

import pytest

from collector.dashboard.assets import FOLDER, Assets
from tests.collector.dashboard.conftest import Browser

VENDORED = {
    "htmx.js": "a0abb04f2f45a1f89d1d4844023245537e5e6014c87b144553e0607b4cc32130",
    "hx-csp.js": "a7e1e6711ae6c3e50ad300fba7936cbe8d07599cdae313414a179ddd6b26e143",
    "hx-sse.js": "18ef2761356ec1fe0bb6d92612315b37517a7c1e9856b661c5ae81fef239d103",
    "htmx.LICENSE": "d3d2456f76414f2456104660ebd65aff1c04cd7966b942bdabd63f3cdb316a38",
}
"""htmx.org 4.0.1 from npm: dist/htmx.min.js, dist/ext/hx-csp.min.js, dist/ext/hx-sse.min.js, LICENSE."""


@pytest.mark.parametrize("name", VENDORED)
def test_vendored_file_is_as_published(name: str) -> None:
    assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == VENDORED[name]


@pytest.mark.anyio
async def test_asset_is_served_for_ever_under_its_digest(browser: Browser) -> None:
    """Compressed for whom takes that; under another name there is nothing."""
    for name, digested in Assets().names.items():
        plain = await browser.http.get(f"/dashboard/static/{digested}", headers={"accept-encoding": "identity"})
        packed = await browser.http.get(f"/dashboard/static/{digested}", headers={"accept-encoding": "gzip, br"})
        assert plain.content == packed.content == (FOLDER / name).read_bytes()
        assert "immutable" in plain.headers["cache-control"]
        assert packed.headers["content-encoding"] == "gzip"
        assert len(gzip.compress(plain.content)) < 40_000
        assert (await browser.get(f"/dashboard/static/{name}")).status_code == 404
    assert (await browser.get("/dashboard/static/htmx.LICENSE")).status_code == 404

"""Run the demo's host site: ``python -m chatgateway.web.demo_site --gateway URL --app ID --secret-file FILE``."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

from chatgateway.web.demo_site.server import Shop, make_server


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="chatgateway.web.demo_site", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument("--port", type=int, default=8081, help="0 takes a free one")
    parser.add_argument("--gateway", required=True, help="the gateway's origin, such as http://127.0.0.1:8080")
    parser.add_argument("--app", required=True, help="the app's public id")
    parser.add_argument(
        "--secret-file", required=True, type=Path, help="holds the project's signing secret; read at each call"
    )
    given = parser.parse_args()
    server = make_server(given.host, given.port, Shop(given.gateway.rstrip("/"), given.app, given.secret_file))
    print(f"the shop is at http://localhost:{server.server_port}/", flush=True)  # noqa: T201
    with contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()


if __name__ == "__main__":
    main()

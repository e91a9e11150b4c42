"""``chatgateway serve``: the gateway, in production too."""

from __future__ import annotations

import asyncio

import click

from chatgateway import log
from chatgateway.cli.flags import with_settings
from chatgateway.settings import Settings


@click.command(name="serve")
@with_settings
def command(settings: Settings) -> int:
    """Run the gateway until SIGTERM or Ctrl-C, which send the sessions away in slices and then stop it.

    Without --store-url it uses the embedded store of --data, which several gateways on one machine may share: the last
    to leave stops it. Nothing acknowledged is lost, however it ends.

    \b
    Exit status: 0 stopped as asked       3 cannot start (port in use, wrong master key, …)
                 2 usage or settings      4 store unreachable
                                          5 data directory in use
    """
    from chatgateway.gateway.assembly import run

    log.configure(settings.log_level, settings.log_format)
    try:
        import uvloop
    except ImportError:  # Windows
        return asyncio.run(run(settings))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run(settings))

"""A gateway that listens on a port, in a thread with a loop of its own: for tests that are not asynchronous."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import uvloop
from starlette.applications import Starlette
from tests.gateway.indoors import PATIENCE_S, Indoors, founded

from chatgateway.gateway.routes import routes
from chatgateway.gateway.server import Server, build_config
from chatgateway.gateway.timing import TimingWheel
from chatgateway.gateway.wire import Wire
from chatgateway.store.client import Store

T = TypeVar("T")


class Served:
    """``with Served(store_url, home, **settings) as served``: one node, its routes, and what is behind them."""

    indoors: Indoors
    url: str

    def __init__(self, store_url: str, home: Path, **settings: Any) -> None:
        self._store_url, self._home, self._settings = store_url, home, settings
        self._loop = uvloop.new_event_loop()
        self._stack = AsyncExitStack()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Served:
        self._thread.start()
        try:
            self.do(self._open())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.do(self._stack.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()

    def do(self, asked: Coroutine[Any, Any, T]) -> T:
        """Run something on the gateway's own loop, and return what came of it."""
        return asyncio.run_coroutine_threadsafe(asked, self._loop).result(PATIENCE_S)

    async def _open(self) -> None:
        store = await Store.open(self._store_url)
        self._stack.push_async_callback(store.close)
        self.indoors = await self._stack.enter_async_context(founded(store, self._home, **self._settings))
        app = Starlette(routes=routes())
        app.state.parts = self.indoors.parts
        wheel = TimingWheel()
        self._stack.callback(wheel.stop)
        config = build_config(app, wire=Wire(wheel), host="127.0.0.1", port=0, message_max_bytes=65_536, shutdown_s=1)
        server = Server(config)
        port = await server.bind()
        self.url = f"http://127.0.0.1:{port}"
        serving = asyncio.create_task(server.serve())

        async def stop() -> None:
            server.should_exit = True
            await serving

        self._stack.push_async_callback(stop)

"""Hot path. uvicorn's server with an end in steps, in which nobody who has reached it is sent away or cut off.

1. Notice: /health/ready says no, everything is served. Load balancers that ask have NOTICE_SECONDS to turn away.
2. The port closes (smartrouter.supervisor.handshakes); where a parent keeps it open for others, only here.
3. Connections that were taken at the last moment send their request and are served like all others.
4. Drain: what comes now, on connections that were kept alive, gets 503; what runs has DRAIN_SECONDS.
"""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn

from routing.plane import current_plane
from smartrouter.supervisor.handshakes import ignore_newcomers
from smartrouter.supervisor.protocol import CappedProtocol

logger = logging.getLogger(__name__)

# A handshake that has begun is over after one more message from the client.
HANDSHAKES_END_WITHIN_S = 0.3
# Proxies connect when they have a request to send; a browser that connects to be prepared is not waited for longer.
FIRST_REQUEST_WITHIN_S = 2.0
TURN_S = 0.05
# From a request's last byte to its own task, and in that to the question whether the process still serves.
TURNS_TO_BEGIN = 20
BEAT_EVERY_S = 1.0


class Server(uvicorn.Server):
    """is_port_kept: whether others go on serving the port. beat: called once a second from start to end.

    on_open: called when the port is open.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        notice_s: float,
        is_port_kept: Callable[[], bool] = lambda: False,
        beat: Callable[[], None] | None = None,
        on_open: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(config)
        self._notice_s = notice_s
        self._is_port_kept = is_port_kept
        self._beat = beat
        self._on_open = on_open
        self._listeners: list[socket.socket] = []

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Return when everything has ended after a signal."""
        self._listeners = sockets or []
        if self.should_exit:  # told so before it has begun
            return
        beating = asyncio.create_task(self._keep_beating(), name="server-beat")
        try:
            await super().serve(sockets)
        finally:
            beating.cancel()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end. SIGINT once more: at once; SIGQUIT during the drain: what still runs is told and ends."""
        plane = current_plane()
        if sig == signal.SIGQUIT and plane is not None and plane.is_draining:
            asyncio.get_running_loop().call_soon_threadsafe(plane.end_all)
        super().handle_exit(sig, frame)
        if not self._notice_s and not self._is_port_kept():
            ignore_newcomers(self._listeners)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Return when the port is open. The application learns that it is this server who begins the drain."""
        self.lifespan.state["server_drains"] = True
        await super().startup(sockets)
        self.lifespan.state.clear()  # it is copied for every request
        if self._on_open is not None:
            self._on_open()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Return when all requests have ended and the application is closed."""
        await self._leave()
        await super().shutdown(sockets)

    async def _leave(self) -> None:
        plane = current_plane()
        if plane is not None:
            plane.is_leaving = True
        # Clients that keep connections alive take new requests elsewhere after their next answer.
        self.server_state.default_headers = [*self.server_state.default_headers, (b"connection", b"close")]
        if not self._is_port_kept():
            await self._pause(self._notice_s)
            ignore_newcomers(self._listeners)
            await self._pause(HANDSHAKES_END_WITHIN_S)
            await self._accept_the_rest()
        for server in self.servers:
            server.close()
        for listener in self._listeners:
            listener.close()
        await self._pause(TURN_S)
        await self._pause(FIRST_REQUEST_WITHIN_S, lambda: not self._has_newcomers())
        for _turn in range(TURNS_TO_BEGIN):
            await asyncio.sleep(0)
        if plane is not None:
            plane.begin_drain()

    async def _pause(self, within_s: float, is_over: Callable[[], bool] = lambda: False) -> None:
        """Return after the time, earlier when it is over or someone is in a hurry.

        Counted in turns of the event loop: one that is kept busy needs longer for what is waited for, too.
        """
        for _turn in range(round(within_s / TURN_S)):
            if self.force_exit or is_over():
                return
            await asyncio.sleep(TURN_S)

    async def _accept_the_rest(self) -> None:
        """Take in all that the kernel has taken; the event loop takes one connection in each of its turns."""
        loop = asyncio.get_running_loop()
        for listener in self._listeners:
            listener.setblocking(False)
            while True:
                try:
                    connection, _address = listener.accept()
                except BlockingIOError:
                    break
                except OSError as e:  # this one has left again, or there is no descriptor for it
                    logger.warning("not_accepted", extra={"reason": str(e)})
                    break
                connection.setblocking(False)
                await loop.connect_accepted_socket(self._protocol, connection)

    def _protocol(self) -> CappedProtocol:
        return CappedProtocol(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    def _has_newcomers(self) -> bool:
        """Whether a connection has not sent all of a first request yet."""
        connections = self.server_state.connections
        return any(isinstance(one, CappedProtocol) and one.is_expected for one in connections)

    async def _keep_beating(self) -> None:
        while self._beat is not None:
            self._beat()
            await asyncio.sleep(BEAT_EVERY_S)

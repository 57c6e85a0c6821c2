"""Worker side. The schedule of a beat that shares Redis with others: one of them at a time sends what is due."""

import logging
import os
import socket
import uuid
from typing import Any

import redis
from celery.beat import PersistentScheduler
from django.conf import settings

logger = logging.getLogger(__name__)

LEASE_KEY = "{smartrouter}:beat"
# A beat that died is followed within this time; it renews its lease at least every RENEW_S.
LEASE_S = 15.0
RENEW_S = 4.0
REDIS_TIMEOUT_S = 2.0
# Take the lease if nobody has it, renew it if it is ours; 1 if it is ours now.
TAKE = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
GIVE_BACK = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


class ElectedScheduler(PersistentScheduler):
    """Sends what is due while it holds the lease; without Redis nobody sends, and nothing could be sent either."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._name = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._is_leader = False
        self._redis = redis.Redis.from_url(
            settings.REDIS_URL, socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S
        )
        super().__init__(*args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Seconds until it wants to be asked again; what was due is sent."""
        if not self._lead():
            return RENEW_S
        return min(float(super().tick(*args, **kwargs) or 0.0), RENEW_S)

    def close(self) -> None:
        """Let another one follow at once."""
        super().close()
        if self._is_leader:
            try:
                self._redis.eval(GIVE_BACK, 1, LEASE_KEY, self._name)
            except redis.RedisError:
                logger.warning("beat_lease_not_given_back")
        self._redis.close()

    def _lead(self) -> bool:
        try:
            is_leader = bool(self._redis.eval(TAKE, 1, LEASE_KEY, self._name, str(int(LEASE_S * 1000))))
        except redis.RedisError as e:
            is_leader = False
            if self._is_leader:
                logger.warning("beat_without_redis", extra={"reason": type(e).__name__})
        if is_leader != self._is_leader:
            logger.info("beat_leads" if is_leader else "beat_stands_by", extra={"beat": self._name})
        self._is_leader = is_leader
        return is_leader

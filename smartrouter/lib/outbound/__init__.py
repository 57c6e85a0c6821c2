"""Every outbound call of the product goes through here, so that none reaches a private network by accident.

`open_session` is for the hot path, `open_client` for scheduled jobs; both check the address of each connection.
"""

from .address import AddressPolicy, AddressRefused, is_refused
from .hot import REQUEST_ARGUMENTS, open_session
from .jobs import open_client
from .posting import Reply, Target, post
from .urls import normalise_base_url, normalise_proxy_url

__all__ = [
    "REQUEST_ARGUMENTS",
    "AddressPolicy",
    "AddressRefused",
    "Reply",
    "Target",
    "is_refused",
    "normalise_base_url",
    "normalise_proxy_url",
    "open_client",
    "open_session",
    "post",
]

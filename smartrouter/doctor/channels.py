"""Worker side. Each active channel, asked for its list of models with each of its keys."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from statistics import median

import httpx
from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import activate, get_language, gettext_lazy
from django.utils.translation import gettext as _

from channels.models import Channel
from providers.adapters.base import Adapter
from providers.adapters.registry import ADAPTERS
from smartrouter.doctor.finding import Finding, Level
from smartrouter.lib.errors import ErrorClass
from smartrouter.lib.logs import redact
from smartrouter.lib.outbound import is_refused, normalise_proxy_url, open_client
from smartrouter.lib.sealing import SealBroken, Secret

TIMEOUT_S = 8.0
AT_ONCE = 8
SKEW_S = 30

_ADVICE: Mapping[ErrorClass, tuple[Level, Promise]] = {
    ErrorClass.KEY: (Level.PROBLEM, gettext_lazy("Replace the key, or top up the account.")),
    ErrorClass.KEY_MODEL: (Level.WARNING, gettext_lazy("The key may not list models; requests may still work.")),
    ErrorClass.RATE: (Level.WARNING, gettext_lazy("Too fast for this account; try again later.")),
    ErrorClass.MODEL: (Level.WARNING, gettext_lazy("No list of models there; check the base URL.")),
    ErrorClass.CHANNEL: (Level.PROBLEM, gettext_lazy("Correct the base URL; it ends with the API's version.")),
    ErrorClass.REQUEST: (Level.WARNING, gettext_lazy("The list of models was refused; requests may still work.")),
    ErrorClass.TRANSIENT: (Level.PROBLEM, gettext_lazy("The upstream fails at the moment; try again later.")),
}


@dataclass(frozen=True, slots=True)
class Target:
    """One call: a channel with one of its keys, everything opened and nothing left of the database."""

    name: str
    adapter: Adapter
    url: str
    key: Secret
    headers: Secret
    proxy: Secret


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call showed; skew_s: by how much the upstream's clock is ahead of ours, None where it did not say."""

    finding: Finding
    skew_s: float | None = None


def check_channels() -> list[Finding]:
    """A finding for each key of each active channel, and one for the clock where upstreams tell the time."""
    channels = Channel.objects.filter(is_active=True, provider__is_active=True)
    channels = channels.select_related("provider").prefetch_related("keys").order_by("name")
    targets: list[Target] = []
    findings: list[Finding] = []
    for channel in channels:
        try:
            targets += _targets_of(channel)
        except SealBroken:
            text = _("%s has a secret that cannot be opened") % channel
            advice = _("Put the old key back into ENCRYPTION_KEYS, or type these in anew.")
            findings.append(Finding(Level.PROBLEM, _("channel"), text, advice))
    if not targets and not findings:
        advice = _("Add a provider and a channel in the admin.")
        return [Finding(Level.WARNING, _("channel"), _("there is no active channel"), advice)]
    # A thread has no language of its own: each speaks the one of this thread.
    language = get_language() or settings.LANGUAGE_CODE
    with ThreadPoolExecutor(AT_ONCE, "doctor", activate, (language,)) as pool:
        answers = list(pool.map(_ask, targets))
    return [*findings, *(answer.finding for answer in answers), *_clock_finding(answers)]


def _targets_of(channel: Channel) -> list[Target]:
    """A target for each active key, one without a key where there is none. Raises SealBroken."""
    adapter = ADAPTERS[channel.provider.adapter]
    keys = [(str(key), key.open_secret()) for key in channel.keys.all() if key.is_active]
    url = (channel.base_url or channel.provider.base_url).rstrip("/") + adapter.models_path
    headers = channel.open_sealed("extra_headers") or Secret({})
    proxy = channel.open_sealed("proxy_url") or Secret(None)
    keys = keys or [(str(channel), Secret(""))]
    return [Target(name, adapter, url, secret, headers, proxy) for name, secret in keys]


def _ask(target: Target) -> Answer:
    """What the upstream says. Runs in a thread of its own and touches no database."""
    headers: dict[str, str] = {**target.headers.reveal(), **target.adapter.auth_headers(target.key.reveal())}
    proxy = target.proxy.reveal()
    try:
        with open_client(
            settings.UPSTREAM_PRIVATE_NETWORKS,
            timeout_s=TIMEOUT_S,
            proxy=normalise_proxy_url(proxy) if proxy else None,
        ) as client:
            response = client.get(target.url, headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as e:
        return Answer(_unreachable(target, e))
    return Answer(_judge(target, response), _skew_of(response.headers))


def _unreachable(target: Target, error: Exception) -> Finding:
    if is_refused(error):
        text = _("%(name)s: the address of %(url)s is in a private network")
        advice = _("List the network in UPSTREAM_PRIVATE_NETWORKS if this server is meant.")
    elif isinstance(error, httpx.TimeoutException):
        text, advice = _("%(name)s: no answer from %(url)s in time"), _("Check its address, the network and the proxy.")
    else:
        text, advice = _("%(name)s: %(url)s cannot be reached"), _("Check its address, the network and the proxy.")
    return Finding(Level.PROBLEM, _("channel"), text % {"name": target.name, "url": target.url}, advice)


def _judge(target: Target, response: httpx.Response) -> Finding:
    """The finding for an answer, by the adapter's own classes."""
    if response.status_code == 200:
        if response.headers.get("content-type", "").startswith("application/json"):
            return Finding(Level.OK, _("channel"), _("%s answers and accepts the key") % target.name)
        text = _("%(name)s: %(url)s is a page and no API") % {"name": target.name, "url": target.url}
        return Finding(Level.PROBLEM, _("channel"), text, _("Correct the base URL; it ends with the API's version."))
    error = target.adapter.classify(response.status_code, response.headers, response.content)
    level, advice = _ADVICE.get(error.kind, _ADVICE[ErrorClass.TRANSIENT])
    # The upstream's own words may repeat the key that was sent.
    key = target.key.reveal()
    message = redact(error.message).replace(key, "***") if key else redact(error.message)
    text = _("%(name)s: HTTP %(status)d, %(message)s") % {
        "name": target.name,
        "status": response.status_code,
        "message": message,
    }
    return Finding(level, _("channel"), text, str(advice))


def _skew_of(headers: Mapping[str, str]) -> float | None:
    try:
        moment = parsedate_to_datetime(headers.get("date", ""))
    except ValueError:
        return None
    return (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()


def _clock_finding(answers: Iterable[Answer]) -> list[Finding]:
    """Whether most upstreams tell our time; one whose clock is wrong does not outvote the rest."""
    skews = [answer.skew_s for answer in answers if answer.skew_s is not None]
    if not skews:
        return []
    skew_s = median(skews)
    if abs(skew_s) <= SKEW_S:
        return [Finding(Level.OK, _("clock"), _("in step with the upstreams"))]
    text = _("this host and the upstreams differ by %d seconds") % abs(skew_s)
    return [Finding(Level.PROBLEM, _("clock"), text, _("Switch on time synchronisation (NTP) on this host."))]

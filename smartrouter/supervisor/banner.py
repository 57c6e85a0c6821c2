"""Worker side. What is printed when everything answers."""

import json
import shlex

from django.utils.translation import gettext as _

from smartrouter.lib.sealing import Secret


def curl_line(address: str, key: str, model: str) -> str:
    """A command, on one line, that makes a first call."""
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Hello!"}]})
    headers = f"-H {shlex.quote(f'Authorization: Bearer {key}')} -H {shlex.quote('Content-Type: application/json')}"
    return f"curl {address}/v1/chat/completions {headers} -d {shlex.quote(body)}"


def ready_text(address: str, seconds: float) -> str:
    """That it serves, where, and how long it took."""
    return "\n".join(
        (
            _("SmartRouter is ready after %.1f seconds. Ctrl-C stops it.") % seconds,
            "",
            "  " + _("API:    %s") % f"{address}/v1",
            "  " + _("Admin:  %s") % f"{address}/admin/",
        )
    )


def login_text(password: Secret | None) -> str:
    """How to sign in; the password only when it was made just now."""
    if password is None:
        return "  " + _("Login:  as before. A new password: .venv/bin/python manage.py changepassword admin")
    return "  " + _("Login:  user admin, password %s (shown only this once)") % str(password.reveal())


def key_text(address: str, key: Secret | None) -> str:
    """The router key; where to make one when none was made just now."""
    if key is None:
        return "  " + _("Key:    as before. Another one: %s") % f"{address}/admin/accounts/routerkey/add/"
    return "  " + _("Key:    %s (shown only this once)") % str(key.reveal())


def first_call_text(address: str, key: Secret, model: str | None) -> str:
    """A first call with the key that was made just now."""
    if model is None:
        return "\n  " + _("There is no channel yet: add a provider and a channel in the admin.")
    return "\n".join(("", "  " + _("A first call:"), "", curl_line(address, key.reveal(), model)))

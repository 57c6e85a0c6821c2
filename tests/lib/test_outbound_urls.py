"""Addresses as operators type them."""

import pytest

from smartrouter.lib.outbound import normalise_base_url, normalise_proxy_url


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("https://api.openai.com/v1", "https://api.openai.com/v1"),
        ("  https://api.openai.com/v1/ \n", "https://api.openai.com/v1"),
        ("https://api.openai.com/v1/chat/completions", "https://api.openai.com/v1"),
        ("https://api.openai.com/v1/chat/completions/", "https://api.openai.com/v1"),
        ("https://ark.example/api/v3//", "https://ark.example/api/v3"),
        ("HTTPS://API.Groq.com/openai/v1", "https://api.groq.com/openai/v1"),
        ("http://127.0.0.1:11434/v1", "http://127.0.0.1:11434/v1"),
        ("http://[0:0::1]:8080", "http://[::1]:8080"),
        ("http://ollama:11434", "http://ollama:11434"),
        ("http://my_host/v1", "http://my_host/v1"),
        ("https://bücher.example/V1/Path", "https://xn--bcher-kva.example/V1/Path"),
        ("https://example.com/chat/completions-proxy", "https://example.com/chat/completions-proxy"),
    ],
)
def test_a_base_url_is_made_uniform(typed: str, stored: str) -> None:
    assert normalise_base_url(typed) == stored
    assert normalise_base_url(stored) == stored


@pytest.mark.parametrize(
    ("typed", "advice"),
    [
        ("", "Start the address with https://"),
        ("api.openai.com/v1", "Start the address with https://"),
        ("ftp://example.com", "Start the address with https://"),
        ("https://", "The host is missing"),
        ("https:///v1", "The host is missing"),
        ("https://user:sk-canary@example.com/v1", "Leave the user name and password out"),
        ("https://@example.com/v1", "Leave the user name and password out"),
        ("https://example.com/v1?key=sk-canary", "Remove everything from the"),
        ("https://example.com/v1#", "Remove everything from the"),
        ("https://example.com/v 1", "Remove the spaces"),
        ("https://exa\tmple.com/v1", "Remove the spaces"),
        ("https://example.com\\@127.0.0.1/", "Remove the spaces, line breaks and backslashes"),
        ("https://example.com:port/", "The port is not valid"),
        ("https://example.com:0/", "The port is not valid"),
        ("https://example.com:70000/", "The port is not valid"),
        ("https://[::1/v1", "The host is not valid"),
        ("https://[fe80::zz]/v1", "The host is not valid"),
        ("https://a..b/v1", "The host is not valid"),
        ("https://exa%6dple.com/", "The host is not valid"),
        ("https://./v1", "The host is not valid"),
        ("http://2130706433/v1", "Write the IPv4 address as four decimal numbers"),
        ("http://127.1/v1", "Write the IPv4 address as four decimal numbers"),
        ("http://0x7f.0.0.1/v1", "Write the IPv4 address as four decimal numbers"),
    ],
)
def test_a_wrong_base_url_is_answered_with_what_to_do(typed: str, advice: str) -> None:
    with pytest.raises(ValueError, match="^" + advice.replace(".", r"\.")) as caught:
        normalise_base_url(typed)

    assert "sk-canary" not in str(caught.value)


def test_a_proxy_url_keeps_its_login_and_has_no_path() -> None:
    assert normalise_proxy_url(" http://Me:p%40ss@Proxy.example:3128/ ") == "http://Me:p%40ss@proxy.example:3128"
    assert normalise_proxy_url("https://10.0.0.1:3128") == "https://10.0.0.1:3128"

    with pytest.raises(ValueError, match=r"^A proxy has no path") as caught:
        normalise_proxy_url("http://me:sk-canary@proxy.example/path")
    assert "sk-canary" not in str(caught.value)
    with pytest.raises(ValueError, match=r"^Start the address"):
        normalise_proxy_url("socks5://proxy.example:1080")

"""What a configured endpoint, proxy and CA file mean. Raises Fatal at construction, before any call."""

from __future__ import annotations

import ipaddress
import ssl
from typing import Final
from urllib.request import getproxies, proxy_bypass

from yarl import URL

from certstream.core.errors import Fatal

_SCHEMES: Final = ("http", "https")


def origin(endpoint: str, *, insecure: bool) -> URL:
    """Scheme, host and port of an endpoint. `http` only on loopback, unless `insecure`: a request carries a
    signature that is good for 15 minutes, and perhaps a security token."""
    url = _url(endpoint, "endpoint")
    if url.user or url.password or url.query_string or url.fragment or url.path not in ("", "/"):
        raise Fatal(f"endpoint {_shown(url)}: give scheme, host and port only, such as https://cas.aliyuncs.com")
    if url.scheme == "http" and not (insecure or _is_loopback(url.host or "")):
        raise Fatal(f"endpoint {_shown(url)}: http is for loopback only; use https, or insecure for a trial")
    return url.origin()


def proxy_for(target: URL, proxy: str | None, *, trust_env: bool) -> URL | None:
    """The proxy on the way to `target`: the one given, else with `trust_env` what HTTPS_PROXY, HTTP_PROXY and
    NO_PROXY say."""
    if proxy is None and trust_env and not proxy_bypass(target.host or ""):
        proxy = getproxies().get(target.scheme)
    if not proxy:
        return None
    return _url(proxy, "proxy")


def trust(ca_file: str | None, *, key: str = "ca_file") -> ssl.SSLContext:
    """TLS as a client: the system's CAs, or only those in `ca_file` (PEM), which `key` of the configuration names."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # SSLError is one
        raise Fatal(f"{key} {ca_file}: cannot be read as PEM certificates ({error.strerror or error})") from None


def sts_for(cas: URL) -> str | None:
    """The STS endpoint beside an endpoint of Alibaba's certificate service; None where that is not Alibaba's."""
    host = cas.host or ""
    if not host.endswith(".aliyuncs.com"):
        return None
    inside = host.startswith("cas-vpc.")
    return f"https://sts-vpc.{host.removeprefix('cas-vpc.')}" if inside else "https://sts.aliyuncs.com"


def _url(text: str, name: str) -> URL:
    try:
        url = URL(text)
        fits = url.scheme in _SCHEMES and bool(url.host) and url.port is not None
    except ValueError:
        fits = False
    if not fits:
        raise Fatal(f"{name} is no http or https URL")  # it may hold a password: not told
    return url


def _shown(url: URL) -> str:
    return str(url.with_user(None).with_query(None))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

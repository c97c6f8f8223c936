"""Origins of web pages, as in ``cors.origins``."""

from __future__ import annotations

import re

from penstock.config.address import Url

# `*`: any page at all.
ORIGIN_PATTERN = r"^(\*|[A-Za-z][A-Za-z0-9+.-]*://[^/?#@\s]+)$"

# Of applications whose pages have a scheme of their own, such as app://name.
_OTHER = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9._-]+(:[0-9]{1,5})?")


def parse_origin(text: str) -> str:
    """Read an origin, and return it as browsers send it (RFC 6454 §6.2): in lower case, without the scheme's own port.

    Raises:
        ValueError: with a message for the author of the file.
    """
    if text == "*":
        return text
    wrong = ValueError(f'expected an origin such as https://app.example or "*", got "{text[:80]}"')
    if re.fullmatch(ORIGIN_PATTERN, text) is None:
        raise wrong
    if text.lower().startswith(("http://", "https://")):
        try:
            url = Url.parse(text)
        except ValueError:
            raise wrong from None
        return f"{url.scheme}://{url.host_header}"
    if _OTHER.fullmatch(text.lower()) is None:
        raise wrong
    return text.lower()

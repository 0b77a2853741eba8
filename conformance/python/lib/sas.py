"""Shared access signatures and keys, as the clients make them."""

import base64
import hashlib
import hmac
import time
from urllib.parse import quote


def derived_key(group_key, registration_id):
    """A device's key below an enrollment group with a symmetric key."""
    digest = hmac.new(base64.b64decode(group_key), registration_id.encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def token(resource, key, policy=None, seconds=3600):
    """`resource` is signed as it is written into `sr`, percent-encoded; `seconds` may be negative: expired."""
    resource = quote(resource, safe="")
    expiry = int(time.time()) + seconds
    signed = hmac.new(base64.b64decode(key), f"{resource}\n{expiry}".encode(), hashlib.sha256).digest()
    text = f"SharedAccessSignature sr={resource}&sig={quote(base64.b64encode(signed), safe='')}&se={expiry}"
    return text + (f"&skn={policy}" if policy else "")


def parts(connection_string):
    """`HostName=…;SharedAccessKey=…` as a dict."""
    return dict(part.split("=", 1) for part in connection_string.split(";") if part)


def service_token(connection_string, **options):
    named = parts(connection_string)
    return token(named["HostName"], named["SharedAccessKey"], named["SharedAccessKeyName"], **options)

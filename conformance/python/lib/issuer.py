"""An OpenID Connect issuer of the test's own: discovery, keys, and tokens as azure-core's clients ask for them."""

import http.server
import json
import threading
import time

import jwt
from azure.core.credentials import AccessToken
from cryptography.hazmat.primitives.asymmetric import rsa


class Issuer:
    """Serves what `issuer` (`http://127.0.0.1:PORT/PATH`) says of itself until the process ends."""

    def __init__(self, issuer, audience):
        self.issuer, self.audience = issuer, audience
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
        documents = {
            "/.well-known/openid-configuration": {"issuer": issuer, "jwks_uri": f"{issuer}/keys"},
            "/keys": {"keys": [public | {"kid": "one", "use": "sig", "alg": "RS256"}]},
        }
        address, _, path = issuer.removeprefix("http://").partition("/")

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                document = documents.get(self.path.removeprefix(f"/{path}"))
                self.send_response(200 if document else 404)
                self.end_headers()
                self.wfile.write(json.dumps(document or {}).encode())

            def log_message(self, *_):
                pass

        host, port = address.split(":")
        server = http.server.ThreadingHTTPServer((host, int(port)), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def credential(self, *roles, **claims):
        """For a client that is given a credential: its tokens have these roles, below `realm_access.roles`."""
        return Credential(self, roles, claims)


class Credential:
    def __init__(self, issuer, roles, claims):
        self._issuer, self._roles, self._claims = issuer, roles, claims

    def get_token(self, *_, **__):
        now = int(time.time())
        claims = {
            "iss": self._issuer.issuer,
            "aud": self._issuer.audience,
            "sub": "somebody",
            "iat": now,
            "exp": now + 600,
            "realm_access": {"roles": list(self._roles)},
        } | self._claims
        token = jwt.encode(claims, self._issuer.key, algorithm="RS256", headers={"kid": "one"})
        return AccessToken(token, claims["exp"])

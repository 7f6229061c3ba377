"""Keeps and opens sessions at /oauth2/token with authlib."""
import os
import secrets

import requests
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import AssertionSession, OAuth2Session
from authlib.oauth2.base import OAuth2Error
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata, get_well_known_url

URL, API_KEY, ASSERTION, ISSUER_KEY = (
    os.environ[name] for name in ("PAWL_URL", "PAWL_API_KEY", "ASSERTION", "ISSUER_KEY")
)
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"  # RFC 7523

metadata = AuthorizationServerMetadata(requests.get(get_well_known_url(URL, external=True), timeout=30).json())
metadata.validate()
assert metadata["grant_types_supported"] == ["refresh_token", JWT_BEARER], metadata
endpoint = metadata["token_endpoint"]


def sign_in():
    """Returns the token of a new session."""
    body = {"login": os.environ["PAWL_LOGIN"], "password": os.environ["PAWL_PASSWORD"]}
    return requests.post(URL + "/v2/auth/login", json=body, timeout=30).json()["data"]["token"]


def session(method, secret=API_KEY):
    """Returns a client that authenticates with a method."""
    return OAuth2Session("orders", secret, token_endpoint=endpoint, token_endpoint_auth_method=method)


def failure(call, *args, **kwargs):
    """Returns the code with which a call fails."""
    try:
        call(*args, **kwargs)
    except (OAuthError, OAuth2Error) as error:
        assert error.description, error
        return error.error
    raise AssertionError("no error")


for name in ("none", "client_secret_basic", "client_secret_post"):
    assert name in metadata["token_endpoint_auth_methods_supported"], name
    client, first = session(name), sign_in()
    second = client.refresh_token(endpoint, refresh_token=first)
    assert second["token_type"] == "Bearer" and second["expires_in"] > 3000, second
    client.token = dict(second, expires_at=1)  # the library refreshes an expired token by itself
    me = client.get(URL + "/v2/users/me", timeout=30).json()["data"]
    assert me["login"] == os.environ["PAWL_LOGIN"] and client.token["access_token"] != second["access_token"]
    print(f"{name}: refreshed; the first token: {failure(client.refresh_token, endpoint, refresh_token=first)}")

known = session("client_secret_basic")
opened = known.fetch_token(endpoint, grant_type=JWT_BEARER, assertion=ASSERTION)
session("none").refresh_token(endpoint, refresh_token=opened["refresh_token"])
again = failure(known.fetch_token, endpoint, grant_type=JWT_BEARER, assertion=ASSERTION)
print(f"jwt-bearer: opened; again: {again}")
signer = AssertionSession(
    endpoint, issuer="https://idp.example.com", subject="user-8", audience="pawl", key=ISSUER_KEY,
    header={"alg": "ES256", "kid": "k"}, claims={"jti": secrets.token_hex()}, expires_in=300,
)
signer.headers["X-API-Key"] = API_KEY
me = signer.get(URL + "/v2/users/me", timeout=30, headers={"X-API-Key": None}).json()["data"]
print(f"an assertion of the library: {me['externalId']}")
without = failure(session("none").fetch_token, endpoint, grant_type=JWT_BEARER, assertion=ASSERTION)
print(f"without a client: {without}")
wrong = session("client_secret_basic", "pawl_wrong")
print(f"a wrong secret: {failure(wrong.refresh_token, endpoint, refresh_token=sign_in())}")
print(f"another grant: {failure(known.fetch_token, endpoint, grant_type='password', username='a', password='b')}")

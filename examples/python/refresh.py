"""Signs in, refreshes once, and shows that only the new token is valid."""

import os
import sys

import requests


def main():
    old = exchange("/v2/auth/login", body={"login": setting("PAWL_LOGIN"), "password": setting("PAWL_PASSWORD")})
    print(f"signed in as user {old['userId']}")

    new = exchange("/v2/auth/refresh", body={"token": old["token"]}, headers={"X-API-Key": setting("ECGRID_API_KEY")})
    print(f"refreshed: new token expires {new['expiresAt']}")

    status, answer = session(old["token"])
    print(f"superseded token: {status} {answer['errorCode']}")
    if (status, answer["errorCode"]) != (401, "InvalidSession"):
        raise Failure("the superseded token should be refused")

    status, _ = session(new["token"])
    print(f"new token: {status}")
    if status != 200:
        raise Failure("the new token should be good")


class Failure(Exception):
    """An unexpected result, described by its text."""


def setting(name):
    value = os.environ.get(name)
    if not value:
        raise Failure(f"{name} is not set")
    return value


def post(path, body=None, headers=None):
    """Returns the HTTP status and the envelope of the answer."""
    response = requests.post(setting("PAWL_URL") + path, json=body, headers=headers, timeout=10)
    return response.status_code, response.json()


def exchange(path, **request):
    """A post that must succeed; returns the answer's data."""
    status, answer = post(path, **request)
    if not answer["success"]:
        raise Failure(f"{path}: {status} {answer['errorCode']}: {answer['message']}")
    return answer["data"]


def session(token):
    return post("/v2/auth/session", headers={"Authorization": f"Bearer {token}"})


if __name__ == "__main__":
    try:
        main()
    except (Failure, requests.RequestException, ValueError) as error:  # ValueError: not JSON
        sys.exit(f"refresh.py: {error}")

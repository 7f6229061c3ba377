"""Signs in with an API key, calls the server with the session key, and signs in again once the session has ended. This
is for programs that have an API key and want a token: they never refresh it."""

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import requests


class Session:
    """Keeps a session key. Safe for use by many threads."""

    def __init__(self):
        self._lock = threading.Lock()  # held during a sign-in
        self._key = None

    def _sign_in(self, rejected):
        """Returns another session key than the rejected one. Threads at the same time share one sign-in."""
        with self._lock:
            if self._key == rejected:  # else another thread was first
                answer = send("/v2/auth/login", body={"apiKey": setting("ECGRID_API_KEY")})
                self._key = succeeded(answer)["sessionKey"]
            return self._key

    def call(self, path, body=None):
        """Calls the server, and once more with a new session key after a 401."""
        key = self._key or self._sign_in(None)
        answer = send(path, body, key)
        return answer if answer["status"] != 401 else send(path, body, self._sign_in(key))


class Failure(Exception):
    """An unexpected result, described by its text."""


def send(path, body=None, key=None):
    headers = {"Authorization": f"Bearer {key}"} if key else None
    response = requests.post(setting("PAWL_URL") + path, json=body, headers=headers, timeout=10)
    return {"status": response.status_code, **response.json()}


def succeeded(answer):
    if not answer["success"]:
        raise Failure(f"{answer['status']} {answer['errorCode']}: {answer['message']}")
    return answer["data"]


def setting(name):
    value = os.environ.get(name)
    if not value:
        raise Failure(f"{name} is not set")
    return value


def main():
    session = Session()
    user = succeeded(session.call("/v2/auth/session"))
    print(f"signed in as user {user['userId']}")

    succeeded(session.call("/v2/auth/logout"))
    with ThreadPoolExecutor() as threads:
        for answer in threads.map(session.call, ["/v2/auth/session"] * 2):
            succeeded(answer)
    print("after the end of the session: signed in again")

    succeeded(session.call("/v2/auth/logout"))


if __name__ == "__main__":
    try:
        main()
    except (Failure, requests.RequestException, ValueError) as error:  # ValueError: not JSON
        sys.exit(f"session_key.py: {error}")

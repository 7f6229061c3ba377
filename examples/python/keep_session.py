"""Keeps a session: signs in with email and password, calls the server once a second, refreshes the token in time, and
signs out. It survives lost answers and a wrong local clock.

    python3 keep_session.py [SECONDS]
"""

import datetime
import email.utils
import os
import random
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import requests


class Session:
    """Keeps the token of a session. Safe for use by many threads."""

    def __init__(self, address, password):
        self._lock = threading.Lock()  # held while the token is refreshed
        self._idempotency_key = None  # of a refresh without an answer
        self._store(succeeded(send("/v2/auth/login", {"email": address, "password": password}, once=True)))

    def token(self):
        """Returns a token that is good for some time."""
        token, due = self._current
        return token if time.time() < due else self.refresh(token)

    def refresh(self, token):
        """Exchanges a token for its successor. Threads at the same time share one request, because the server would
        reject a second one."""
        with self._lock:
            if token == self._current[0]:  # else another thread was first
                # The key stays the same until an answer arrives. With the same key, the server answers a repeated
                # request with the same successor.
                self._idempotency_key = self._idempotency_key or str(uuid.uuid4())
                headers = {"Idempotency-Key": self._idempotency_key}
                self._store(succeeded(send("/v2/auth/refresh", {"refreshToken": token}, headers)))
                self._idempotency_key = None
            return self._current[0]

    def _store(self, answer):
        """Keeps the new token. The rest of its life is counted from the server's clock, because the local clock may be
        wrong."""
        data = answer["data"]
        life = (parse_time(data["expiresAt"]) - answer["date"]).total_seconds()
        self._current = (data["refreshToken"], time.time() + life - min(60, life / 2))

    def call(self, path, **options):
        """Calls the server with a token that is good at each attempt."""
        return send(path, session=self, **options)


class Failure(Exception):
    """An unexpected result, described by its text."""


def send(path, body=None, headers=None, once=False, session=None):
    """Sends a request. It is repeated after 429 and 503, which change nothing, and after a lost answer unless it may be
    sent only once. Pauses are never shorter than Retry-After, and random, so that many clients do not return together.
    In a session it is also repeated after a 401, with a new token: the old one may have been replaced on the way."""
    for attempt in range(1, 9):
        token = session and session.token()
        wait = 0
        try:
            sent = {**(bearer(token) if token else {}), **(headers or {})}
            response = requests.post(setting("PAWL_URL") + path, json=body, headers=sent, timeout=10)
            answer = {
                "status": response.status_code,
                "date": email.utils.parsedate_to_datetime(response.headers["Date"]),
                **response.json(),
            }
            again = answer["status"] in (429, 503) or answer["status"] == 401 and token
            if not again or attempt == 8:
                return answer
            if answer["status"] == 401:
                session.refresh(token)
                continue
            wait = int(response.headers.get("Retry-After", 0))
        except requests.RequestException:
            if once or attempt == 8:
                raise
        time.sleep(wait + random.random() * min(5, 0.1 * 2**attempt))


def succeeded(answer):
    if not answer["success"]:
        raise Failure(f"{answer['status']} {answer['errorCode']}: {answer['message']}")
    return answer


def parse_time(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def setting(name):
    value = os.environ.get(name)
    if not value:
        raise Failure(f"{name} is not set")
    return value


def main():
    session = Session(setting("PAWL_LOGIN"), setting("PAWL_PASSWORD"))
    with ThreadPoolExecutor() as threads:
        token = session.token()
        list(threads.map(session.refresh, [token] * 3))
        print("three refreshes at once: one session")

        seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
        for _ in range(seconds):
            for answer in threads.map(session.call, ["/v2/auth/session"] * 2):
                succeeded(answer)
            time.sleep(1)
        print(f"{seconds} seconds: every call succeeded")

    token = session.token()
    succeeded(session.call("/v2/auth/logout", once=True))
    print(f"after the sign-out: {send('/v2/auth/session', headers=bearer(token))['status']}")


if __name__ == "__main__":
    try:
        main()
    except (Failure, requests.RequestException, ValueError) as error:  # ValueError: not JSON
        sys.exit(f"keep_session.py: {error}")

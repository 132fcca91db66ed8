#!/usr/bin/env python3
"""Misbehaves against a running service, as one client, until Ctrl-C: to see what the others feel (docs/SERVICE.md).

    ops/misbehave.py http://127.0.0.1:8080 bodies    half-sent bodies, 520 at a time; needs no token
    ops/misbehave.py http://127.0.0.1:8080 heads     half-sent heads, 520 at a time; needs no token
    ops/misbehave.py http://127.0.0.1:8080 logins    wrong passwords of many names, 90 at a time; needs no token
    ops/misbehave.py http://127.0.0.1:8080 trips     a driver's trips full of events, 40 at a time
    ops/misbehave.py http://127.0.0.1:8080 pages     a driver's longest pages, 40 at a time

The driver is the seeded `driver1`. Prints each second how often it was answered, by status. Where the service is on
this machine, it comes from 127.0.0.2, so that it is another client than whoever else asks; `chrt --idle 0` in front
leaves it the cores that nobody wants, as a client on another machine would.
"""

import collections
import http.client
import json
import socket
import sys
import threading
import time
import urllib.parse

TRIP = json.dumps(
    {
        "duration_s": 3600,
        "distance_m": 24000,
        "night_share_pct": 25,
        "events": {"speeding": 100, "harsh_braking": 100, "harsh_acceleration": 100, "harsh_cornering": 100},
    }
)
JSON = {"content-type": "application/json"}
OWN_ADDRESS = ("127.0.0.2", 0)
answers = collections.Counter()


def own(address):
    """Where connections to `address` come from."""
    return OWN_ADDRESS if address[0] in ("127.0.0.1", "localhost") else None


def half(address, text):
    """Sends the beginning of a request and waits until the service has had enough."""
    try:
        with socket.create_connection(address, timeout=60, source_address=own(address)) as connection:
            connection.sendall(text)
            line = connection.recv(64)
            answers[line.split(b" ")[1].decode() if line else "closed"] += 1
    except OSError as error:
        answers[type(error).__name__] += 1


def ask(connection, method, path, body=None, headers=None):
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    text = answer.read()
    answers[str(answer.status)] += 1
    return answer.status, text


def token(address):
    connection = http.client.HTTPConnection(*address, source_address=own(address))
    body = json.dumps({"username": "driver1", "password": "driver1-password"})
    status, text = ask(connection, "POST", "/auth/token", body, JSON)
    if status != 200:
        sys.exit(f"driver1 cannot log in: {status} {text.decode()}")
    return json.loads(text)["access_token"]


def again(address, once):
    """Calls `once` with a connection, for ever, on a new one after a failure."""
    while True:
        connection = http.client.HTTPConnection(*address, timeout=60, source_address=own(address))
        try:
            while True:
                once(connection)
        except (OSError, http.client.HTTPException) as error:
            answers[type(error).__name__] += 1
            time.sleep(0.1)


def worker(address, kind, number):
    if kind in ("bodies", "heads"):
        head = "POST /auth/token HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 50\r\n"
        text = head + "\r\n{" if kind == "bodies" else head
        while True:
            half(address, text.encode())
    if kind == "logins":
        body = json.dumps({"username": f"name{number}", "password": "a guess"})
        again(address, lambda connection: ask(connection, "POST", "/auth/token", body, JSON))
    bearer = {"authorization": f"Bearer {token(address)}"}
    if kind == "trips":
        again(address, lambda connection: ask(connection, "POST", "/drivers/1/trips", TRIP, bearer | JSON))
    again(address, lambda connection: ask(connection, "GET", "/drivers/1/trips?limit=200", None, bearer))


WORKERS = {"bodies": 520, "heads": 520, "logins": 90, "trips": 40, "pages": 40}


def main():
    if len(sys.argv) != 3 or sys.argv[2] not in WORKERS:
        sys.exit(__doc__)
    url = urllib.parse.urlsplit(sys.argv[1])
    address = (url.hostname, url.port or 80)
    for number in range(WORKERS[sys.argv[2]]):
        threading.Thread(target=worker, args=(address, sys.argv[2], number), daemon=True).start()
    try:
        while True:
            time.sleep(1)
            print(dict(answers), flush=True)
            answers.clear()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()

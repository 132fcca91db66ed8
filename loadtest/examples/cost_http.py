"""What encryption and HTTP/2 cost the generator: CPU seconds per 100,000 requests against one nginx on this machine.

    cargo build --release -p loadtest
    apt-get install nginx-light nghttp2-client openssl
    python3 loadtest/examples/cost_http.py target/release [ROUNDS] [SECONDS]

Answers have 600 bytes, connections are kept. As in cost.py every round runs everything once, the order is reversed in
every other round, and what counts is the median over the rounds of the ratios within a round. h2load logs each request
for the percentiles, in a run of its own, since logging costs CPU time.
"""

import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CONNECTIONS = 100
# What loadtest sends before it measures is counted like the rest.
WARM_UP_S = 0.5

WORKLOAD = """
measure_s = {seconds}
drain_s = 2
blocks = 1
[http]
version = "{version}"
[model.closed]
users = {connections}
[warm_up]
duration_s = {warm_up}
[endpoints.page]
path = "/"
[journeys.look]
steps = [{{ endpoint = "page" }}]
"""

NGINX = """
daemon off;
worker_processes 1;
pid {place}/pid;
error_log {place}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    default_type text/plain;
    keepalive_requests 100000000;
    ssl_certificate {place}/server.pem;
    ssl_certificate_key {place}/server.key;
    client_body_temp_path {place}/body;
    proxy_temp_path {place}/proxy;
    fastcgi_temp_path {place}/fastcgi;
    uwsgi_temp_path {place}/uwsgi;
    scgi_temp_path {place}/scgi;
    server {{ listen 127.0.0.1:{plain}; location / {{ return 200 "{body}"; }} }}
    server {{ listen 127.0.0.1:{tls} ssl http2; location / {{ return 200 "{body}"; }} }}
    server {{ listen 127.0.0.1:{frames} http2; location / {{ return 200 "{body}"; }} }}
}}
"""


class Server:
    """nginx in a directory of its own: plain HTTP/1.1, TLS with both protocols, HTTP/2 by prior knowledge."""

    def __init__(self, place):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
            + ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
            + ["-keyout", f"{place}/server.key", "-out", f"{place}/server.pem"],
            check=True,
            stderr=subprocess.DEVNULL,
        )
        held = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
        self.plain, self.tls, self.frames = (each.getsockname()[1] for each in held)
        for each in held:
            each.close()
        ports = {"plain": self.plain, "tls": self.tls, "frames": self.frames}
        Path(place, "nginx.conf").write_text(NGINX.format(place=place, body="x" * 600, **ports))
        command = ["/usr/sbin/nginx", "-c", f"{place}/nginx.conf", "-e", f"{place}/error.log", "-p", place]
        self.process = subprocess.Popen(command)
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.plain)).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def stop(self):
        self.process.terminate()
        self.process.wait()


def timed(command):
    """Runs a command; its output and the CPU seconds of its whole process."""
    with tempfile.TemporaryFile() as out:
        child = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        _, _, usage = os.wait4(child.pid, 0)
        out.seek(0)
        return out.read().decode(), usage.ru_utime + usage.ru_stime


def ours(bins, url, seconds, version):
    """CPU seconds per 100,000 requests, p50 and p95 in milliseconds."""
    with tempfile.TemporaryDirectory() as place:
        workload = Path(place, "static.toml")
        figures = {"seconds": seconds, "warm_up": WARM_UP_S, "connections": CONNECTIONS, "version": version}
        workload.write_text(WORKLOAD.format(**figures))
        command = [bins / "loadtest", "run", "--workload", workload, "--subject", f"url:{url}", "--insecure"]
        _, cpu = timed([str(word) for word in [*command, "--out", place]])
        record = json.loads(Path(place, "record.json").read_text())
    phases = record["rounds"][0]["phases"]
    counts = [endpoint for phase in phases for endpoint in phase["endpoints"].values()]
    requests = sum(count["count"] for count in counts)
    failed = sum(count["errors"] + count["censored"] for count in counts)
    assert failed == 0, f"{failed} requests failed"
    every = list(record["summary"].values())[0]["endpoints"]["all"]
    return cpu * 100_000 / requests, every["p50_ms"], every["p95_ms"]


def h2load(url, seconds):
    options = ["h2load", "-t2", f"-c{CONNECTIONS}", "-m1", f"-D{seconds}"]
    text, cpu = timed([*options, url])
    requests = int(re.search(r"(\d+) succeeded", text).group(1))
    with tempfile.TemporaryDirectory() as place:
        log = Path(place, "log")
        timed([*options, f"--log-file={log}", url])
        times_ms = sorted(int(line.split("\t")[2]) / 1000 for line in log.read_text().splitlines())
    quantile = lambda share: times_ms[int(share * (len(times_ms) - 1))]
    return cpu * 100_000 / requests, quantile(0.5), quantile(0.95)


def main():
    bins = Path(sys.argv[1])
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    seconds = int(sys.argv[3]) if len(sys.argv) > 3 else 4
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        server = Server(place)
        plain, tls = f"http://127.0.0.1:{server.plain}", f"https://localhost:{server.tls}"
        frames = f"http://127.0.0.1:{server.frames}"
        generators = {
            "http": lambda: ours(bins, plain, seconds, "1.1"),
            "https": lambda: ours(bins, tls, seconds, "1.1"),
            "h2": lambda: ours(bins, frames, seconds, "2"),
            "h2 over TLS": lambda: ours(bins, tls, seconds, "2"),
            "h2load": lambda: h2load(f"{frames}/", seconds),
        }
        figures = {name: [] for name in generators}
        try:
            for index in range(rounds):
                names = list(generators) if index % 2 == 0 else list(reversed(generators))
                for name in names:
                    figures[name].append(generators[name]())
                    cpu, p50, p95 = figures[name][-1]
                    line = f"{index + 1} {name}: {cpu:.2f} CPU s per 100,000, p50 {p50:.3f} ms, p95 {p95:.3f} ms"
                    print(line, flush=True)
        finally:
            server.stop()
    show(figures)


def show(figures):
    print("\nmedian (smallest to largest) of the ratios within a round")
    pairs = [
        ("https", "http", 0, "CPU", 1.25),
        ("h2", "http", 0, "CPU", 1.5),
        ("h2 over TLS", "https", 0, "CPU", 1.5),
        ("h2", "h2load", 1, "p50", 1.1),
        ("h2", "h2load", 2, "p95", 1.1),
        ("h2", "h2load", 0, "CPU", None),
    ]
    for name, other, index, what, goal in pairs:
        ratios = [a[index] / b[index] for a, b in zip(figures[name], figures[other])]
        asked = f", at most {goal}" if goal else ""
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"  {what} of {name} / {other}: {spread}{asked}")


main()

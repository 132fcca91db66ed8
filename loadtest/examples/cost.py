"""What load generators cost: CPU seconds per 100,000 requests, all against one static target on this machine.

    cargo build --release -p loadtest --examples --bins
    apt-get install wrk; cargo install oha --version 1.16.0 --locked
    python3 loadtest/examples/cost.py target/release [ROUNDS] [SECONDS]

Machines drift by 30-50 % within minutes. So every round runs every generator once, the order is reversed in every other
round, and what counts is the median over the rounds of the ratios within a round.
"""

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

CONNECTIONS = 100
# Below what the slowest of them reaches, so that all can hold it.
OPEN_RATE = 15_000

WORKLOAD = """
name = "static"
measure_s = {seconds}
drain_s = 2
blocks = 1
[model.closed]
users = {connections}
ramp_s = 0
[model.open]
spacing = "even"
rate = {{ constant = {{ per_s = {rate} }} }}
connections = {connections}
[warm_up]
duration_s = 0.5
think_time_scale = 1
[quick]
warm_up_s = 0.5
measure_s = 1
blocks = 1
[endpoints.page]
path = "/"
[journeys.look]
weight = 1
steps = [{{ endpoint = "page" }}]
"""


def timed(command):
    """Runs a command; its output and the CPU seconds of its whole process."""
    with tempfile.TemporaryFile() as out:
        child = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        _, _, usage = os.wait4(child.pid, 0)
        out.seek(0)
        return out.read().decode(), usage.ru_utime + usage.ru_stime


def wrk(_, url, seconds):
    text, cpu = timed(["wrk", "-t2", f"-c{CONNECTIONS}", f"-d{seconds}s", url])
    return int(re.search(r"(\d+) requests in", text).group(1)), cpu


def oha(_, url, seconds, *options):
    text, cpu = timed(["oha", "-c", str(CONNECTIONS), "-z", f"{seconds}s", "--no-tui", "--output-format", "json", *options, url])
    return sum(json.loads(text)["statusCodeDistribution"].values()), cpu


def oha_at_rate(bins, url, seconds):
    return oha(bins, url, seconds, "-q", str(OPEN_RATE), "--latency-correction")


def goose(bins, url, seconds):
    text, cpu = timed([str(bins / "examples/goose_as_shipped"), url, str(CONNECTIONS), str(seconds)])
    return int(re.search(r"(\d+) requests", text).group(1)), cpu


def ours(bins, url, seconds, model):
    with tempfile.TemporaryDirectory() as place:
        workload = Path(place, "static.toml")
        workload.write_text(WORKLOAD.format(seconds=seconds, connections=CONNECTIONS, rate=OPEN_RATE))
        command = [bins / "loadtest", "run", "--workload", workload, "--target", f"url:{url}", "--model", model, "--out", place]
        _, cpu = timed([str(word) for word in command])
        record = json.loads(Path(place, "record.json").read_text())
    measured = record["rounds"][0]["phases"]
    counts = [endpoint for phase in measured for endpoint in phase["endpoints"].values()]
    if model == "open":
        arrivals = list(record["summary"].values())[0]["arrivals"]
        print(f"      lateness p50 {arrivals['lateness_p50_ms']:.3f} p99 {arrivals['lateness_p99_ms']:.3f} ms, "
              f"{arrivals['achieved_per_s']:.0f}/s, {arrivals['dropped']} dropped")
    return sum(count["count"] + count["errors"] + count["censored"] for count in counts), cpu


def closed(bins, url, seconds):
    return ours(bins, url, seconds, "closed")


def open_model(bins, url, seconds):
    return ours(bins, url, seconds, "open")


GENERATORS = {
    "wrk": wrk,
    "loadtest, closed": closed,
    "oha": oha,
    "goose as shipped": goose,
    f"loadtest, open {OPEN_RATE}/s": open_model,
    f"oha -q {OPEN_RATE}": oha_at_rate,
}


def main():
    bins = Path(sys.argv[1])
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    seconds = int(sys.argv[3]) if len(sys.argv) > 3 else 4
    target = subprocess.Popen([bins / "examples/static_target"], stdout=subprocess.PIPE, text=True)
    url = target.stdout.readline().strip().removeprefix("listening on ")
    costs = {name: [] for name in GENERATORS}
    try:
        for index in range(rounds):
            names = list(GENERATORS) if index % 2 == 0 else list(reversed(GENERATORS))
            for name in names:
                requests, cpu = GENERATORS[name](bins, url, seconds)
                costs[name].append(cpu * 100_000 / requests)
                print(f"{index + 1} {name}: {requests / seconds:.0f}/s, {costs[name][-1]:.2f} CPU s per 100,000", flush=True)
    finally:
        target.kill()
        target.wait()
    show(costs)


def show(costs):
    print("\nCPU seconds per 100,000 requests, median (smallest to largest)")
    for name, values in costs.items():
        print(f"  {name}: {statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})")
    print("median of the ratios within a round")
    at_rate = f"loadtest, open {OPEN_RATE}/s"
    for name, other in [("loadtest, closed", "wrk"), ("loadtest, closed", "goose as shipped"), (at_rate, "oha"), (at_rate, f"oha -q {OPEN_RATE}")]:
        ratios = [a / b for a, b in zip(costs[name], costs[other])]
        print(f"  {name} / {other}: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


main()

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
# The rate at which sends must be on time (docs/COSTS.md, "Pacing").
PACED_RATE = 5_000
# What loadtest sends before it measures is counted like the rest.
WARM_UP_S = 0.5

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
duration_s = {warm_up}
think_time_scale = 1
[quick]
warm_up_s = {warm_up}
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
    command = ["oha", "-c", str(CONNECTIONS), "-z", f"{seconds}s", "--no-tui", "--output-format", "json"]
    text, cpu = timed([*command, *options, url])
    return sum(json.loads(text)["statusCodeDistribution"].values()), cpu


def oha_at_rate(bins, url, seconds):
    return oha(bins, url, seconds, "-q", str(OPEN_RATE), "--latency-correction")


def goose(bins, url, seconds):
    text, cpu = timed([str(bins / "examples/goose_as_shipped"), url, str(CONNECTIONS), str(seconds)])
    return int(re.search(r"(\d+) requests", text).group(1)), cpu


def ours(bins, url, seconds, model, rate=OPEN_RATE):
    """Requests and CPU seconds of a run, and what became of its arrivals."""
    with tempfile.TemporaryDirectory() as place:
        workload = Path(place, "static.toml")
        workload.write_text(WORKLOAD.format(seconds=seconds, warm_up=WARM_UP_S, connections=CONNECTIONS, rate=rate))
        command = [bins / "loadtest", "run", "--workload", workload, "--subject", f"url:{url}"]
        command += ["--model", model, "--out", place]
        _, cpu = timed([str(word) for word in command])
        record = json.loads(Path(place, "record.json").read_text())
    phases = record["rounds"][0]["phases"]
    counts = [endpoint for phase in phases for endpoint in phase["endpoints"].values()]
    requests = sum(count["count"] + count["errors"] + count["censored"] for count in counts)
    return requests, cpu, list(record["summary"].values())[0].get("arrivals")


def closed(bins, url, seconds):
    return ours(bins, url, seconds, "closed")[:2]


def open_model(bins, url, seconds):
    return at_rate(bins, url, seconds, OPEN_RATE)


def paced(bins, url, seconds):
    return at_rate(bins, url, seconds, PACED_RATE)


def at_rate(bins, url, seconds, rate):
    requests, cpu, arrivals = ours(bins, url, seconds, "open", rate)
    off = abs(arrivals["achieved_per_s"] / rate - 1) * 100
    figures = (off, arrivals["lateness_p50_ms"], arrivals["lateness_p99_ms"], arrivals["dropped"])
    HELD.setdefault(rate, []).append(figures)
    return requests, cpu


# By rate and run: percent off the rate, lateness at p50 and p99 in milliseconds, arrivals dropped.
HELD = {}

GENERATORS = {
    "wrk": wrk,
    "loadtest, closed": closed,
    "oha": oha,
    "goose as shipped": goose,
    f"loadtest, open {OPEN_RATE}/s": open_model,
    f"oha -q {OPEN_RATE}": oha_at_rate,
    f"loadtest, open {PACED_RATE}/s": paced,
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
                sent_s = seconds + (WARM_UP_S if name.startswith("loadtest") else 0)
                per_s, cost = requests / sent_s, costs[name][-1]
                print(f"{index + 1} {name}: {per_s:.0f}/s, {cost:.2f} CPU s per 100,000", flush=True)
    finally:
        target.kill()
        target.wait()
    show(costs)


def median_and_range(values):
    return f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def show(costs):
    print("\nCPU seconds per 100,000 requests, median (smallest to largest)")
    for name, values in costs.items():
        print(f"  {name}: {statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})")
    print("median of the ratios within a round")
    ours_at_rate = f"loadtest, open {OPEN_RATE}/s"
    pairs = [
        ("loadtest, closed", "wrk"),
        ("loadtest, closed", "goose as shipped"),
        (ours_at_rate, "oha"),
        (ours_at_rate, f"oha -q {OPEN_RATE}"),
    ]
    for name, other in pairs:
        ratios = [a / b for a, b in zip(costs[name], costs[other])]
        print(f"  {name} / {other}: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    print("open model, median (smallest to largest) of the runs")
    for rate, runs in HELD.items():
        figures = zip(["% off the rate", "ms late at p50", "ms late at p99", "dropped"], zip(*runs))
        shown = [f"{median_and_range(values)} {unit}" for unit, values in figures]
        print(f"  {rate}/s: {', '.join(shown)}")


main()

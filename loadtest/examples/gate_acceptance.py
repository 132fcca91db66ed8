"""Does the gate keep its word on this machine? Full comparisons of the reference service, each with its time to verdict.

    cargo build --release -p loadtest -p insurance-service
    python3 loadtest/examples/gate_acceptance.py target/release aa [RUNS]      identical builds: none may be called slower
    python3 loadtest/examples/gate_acceptance.py target/release injections     three slowdowns: each must be called
    ... [-- OPTIONS]                                                           further options for every loadtest compare

Identical builds are `git:HEAD git:HEAD`, which takes a commit to build. An injection is a fault that the service itself
commits on demand (docs/SERVICE.md); both sides have the first of each pair, the judged side has the second.
Exit code 1 when anything was not as it should be.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WORKLOAD = "scenarios/workloads/gate.toml"
REGRESSION = 6
INTERRUPTED = 130
# The service sleeps in whole milliseconds, and answers from its cache in less: so both sides sleep, and one sleeps a tenth
# longer. Its CPU time per request is some 150 us. A pause hits one request in a hundred.
INJECTIONS = [
    ("sleep +10 % of p95", "latency_p95", "sleep:premium:20ms", "sleep:premium:22ms"),
    ("CPU +20 %", "cpu_per_request", None, "cpu:*:30us"),
    ("rare pause of 200 ms", "tail_share", None, "pause:1/100:200ms"),
]


def compare(bin_dir, subjects, before, after, options):
    """One comparison: its exit code, record and seconds."""
    with tempfile.TemporaryDirectory() as out:
        command = [bin_dir / "loadtest", "compare", "--model", "open", "--workload", WORKLOAD, "--out", out]
        command += ["--before-env", f"FAULTS={before}"] if before else []
        command += ["--after-env", f"FAULTS={after}"] if after else []
        began = time.monotonic()
        done = subprocess.run([*command, *options, *subjects], stdout=subprocess.PIPE, text=True, check=False)
        took_s = time.monotonic() - began
        if done.returncode == INTERRUPTED:
            sys.exit(INTERRUPTED)
        record = Path(out) / "record.json"
        if not record.exists():
            sys.exit(f"no record; loadtest said:\n{done.stdout}")
        return done.returncode, json.loads(record.read_text()), took_s


def families(record):
    """What each family came to, with the smallest slowdown it could have seen."""
    for family in (record.get("gate") or {"families": []})["families"]:
        mde = f", MDE {family['mde']:.1%}" if family["mde"] is not None else ""
        yield f"{family['family']} {family['outcome']}{mde}"


def show(name, code, record, took_s):
    gate = record.get("gate") or {}
    blocks = f"{gate.get('stage1_blocks', 0)} + {gate.get('stage2_blocks', 0)} blocks"
    print(f"{name}: {record['verdict']} (exit code {code}) after {took_s / 60:.1f} min, {blocks}")
    print(f"  {'; '.join(families(record))}")
    print(f"  {record['verdict_reason']}", flush=True)


def identical(bin_dir, runs, options):
    alarms = 0
    for run in range(1, runs + 1):
        seeded = ["--seed", str(1000 + run), *options]
        code, record, took_s = compare(bin_dir, ["git:HEAD", "git:HEAD"], None, None, seeded)
        show(f"A/A {run} of {runs}", code, record, took_s)
        alarms += code == REGRESSION
    print(f"{alarms} of {runs} comparisons of identical builds called slower")
    return alarms == 0


def injections(bin_dir, options):
    missed = []
    for name, family, before, after in INJECTIONS:
        code, record, took_s = compare(bin_dir, ["profile:phase2", "profile:phase2"], before, after, options)
        show(name, code, record, took_s)
        called = [one["family"] for one in record["comparisons"] if one["outcome"] == "regress"]
        if family not in called:
            missed.append(f"{name}: {family} was not called")
    print("; ".join(missed) or "every injection was called in its family")
    return not missed


def main():
    arguments, _, options = " ".join(sys.argv[1:]).partition(" -- ")
    bin_dir, kind, *rest = arguments.split()
    options = options.split()
    good = injections(Path(bin_dir), options) if kind == "injections" else identical(
        Path(bin_dir), int(rest[0]) if rest else 6, options
    )
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()

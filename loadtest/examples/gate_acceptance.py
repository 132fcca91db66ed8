"""Does the gate keep its word on this machine? Full comparisons of the reference service, timed to their verdict.

    cargo build --release -p loadtest -p insurance-service
    python3 loadtest/examples/gate_acceptance.py target/release identical           six: none may be called slower
    python3 loadtest/examples/gate_acceptance.py target/release injections --runs 2   four slowdowns, each called twice
    ... -- --quick                                                   further options for every `loadtest compare`

Identical builds are `git:HEAD git:HEAD`, which takes a commit to build. An injection is a fault that the service itself
commits on demand (docs/SERVICE.md); both sides have the first of each pair, the judged side has the second. Records and
reports are kept under `target/loadtest/acceptance`. Exit code 1 when anything was not as it should be.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

WORKLOAD = "scenarios/workloads/gate.toml"
KEPT = Path("target/loadtest/acceptance")
REGRESSION = 6
# Pass, regression, inconclusive: the gate has judged. Anything else, and there is nothing to keep its word about.
JUDGED = (0, REGRESSION, 7)
INTERRUPTED = 130
# What it is, the family and the endpoint that must be called, and the faults of both sides. The service sleeps in
# whole milliseconds, and answers from its cache in less: for a tenth more both sides sleep, and one sleeps a tenth
# longer. Its CPU time per request is 100 to 150 us. A pause hits one request in a hundred.
INJECTIONS = [
    ("sleep-a-tenth-longer", "latency_p95", "premium", "sleep:premium:20ms", "sleep:premium:22ms"),
    ("sleep-of-3-ms", "latency_p95", "driver_details", None, "sleep:driver_details:3ms"),
    ("cpu-a-fifth-more", "cpu_per_request", None, None, "cpu:*:20us"),
    ("rare-pause-of-200-ms", "tail_share", None, None, "pause:1/100:200ms"),
]


def compare(loadtest, name, subjects, before, after, options):
    """One comparison: its exit code, record and seconds."""
    out = KEPT / name
    # A record of an earlier run must not stand for this one.
    shutil.rmtree(out, ignore_errors=True)
    command = [loadtest, "compare", "--model", "open", "--workload", WORKLOAD, "--out", out]
    command += ["--before-env", f"FAULTS={before}"] if before else []
    command += ["--after-env", f"FAULTS={after}"] if after else []
    began = time.monotonic()
    done = subprocess.run([*command, *options, *subjects], stdout=subprocess.PIPE, text=True, check=False)
    took_s = time.monotonic() - began
    if done.returncode == INTERRUPTED:
        sys.exit(INTERRUPTED)
    record = out / "record.json"
    if not record.exists():
        sys.exit(f"no record; loadtest said:\n{done.stdout}")
    return done.returncode, json.loads(record.read_text()), took_s


def show(name, code, record, took_s):
    """Prints the verdict, how long it took, and what each family could have seen."""
    gate = record.get("gate") or {"families": []}
    blocks = " + ".join(str(gate.get(f"{part}_blocks", 0)) for part in ("stage1", "stage2", "repeated"))
    print(f"{name}: {record['verdict']} (exit code {code}) after {took_s / 60:.1f} min")
    print(f"  blocks {blocks} (stages, repeated)")
    for family in gate["families"]:
        print(f"  {family['family']}: {family['outcome']}; {family['detail']}")
    for one in record["comparisons"]:
        if one["outcome"] == "regress":
            print(f"  slower: {one['family']} {one['endpoint']} x {effect(one)}")
    print(f"  {record['verdict_reason']}", flush=True)


def effect(one):
    """A ratio with its interval and the smallest slowdown the run could see, as far as its family has them."""
    interval = f" ({one['ratio_low']:.3f} to {one['ratio_high']:.3f})" if one["ratio_low"] else ""
    mde = f", MDE {one['mde']:.1%}" if one["mde"] is not None else ""
    return f"{one['ratio']:.3f}{interval}{mde}"


def identical(loadtest, runs, options):
    """Whether every comparison of a build with itself was judged, and none called it slower."""
    alarms, unjudged = 0, 0
    for seed in seeds(runs):
        name = f"identical-{seed}"
        result = compare(loadtest, name, ["git:HEAD", "git:HEAD"], None, None, ["--seed", seed, *options])
        show(name, *result)
        alarms += result[0] == REGRESSION
        unjudged += result[0] not in JUDGED
    print(f"{alarms} of {runs} comparisons of identical builds called slower, {unjudged} not judged")
    return alarms == 0 and unjudged == 0


def injections(loadtest, runs, options):
    """Whether every injection was called where it was made."""
    missed = []
    for seed in seeds(runs):
        for injection, family, endpoint, before, after in INJECTIONS:
            name = f"{injection}-{seed}"
            subjects = ["profile:phase2", "profile:phase2"]
            result = compare(loadtest, name, subjects, before, after, ["--seed", seed, *options])
            show(name, *result)
            if not called(result[1], family, endpoint):
                missed.append(name)
    print(f"not called: {', '.join(missed)}" if missed else "every injection was called in its family")
    return not missed


def called(record, family, endpoint):
    """Whether the family has a regression, of this endpoint where one is named."""
    return any(
        one["outcome"] == "regress" and one["family"] == family and endpoint in (None, one["endpoint"])
        for one in record["comparisons"]
    )


def seeds(runs):
    return [str(1000 + run) for run in range(1, runs + 1)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin_dir", type=Path, help="where loadtest and insurance-service were built")
    parser.add_argument("kind", choices=["identical", "injections"])
    parser.add_argument("--runs", type=int, help="how often, each with another seed [6 identical, 1 of each injection]")
    ours, options = split(sys.argv[1:])
    arguments = parser.parse_args(ours)
    loadtest = arguments.bin_dir / "loadtest"
    if arguments.kind == "identical":
        good = identical(loadtest, arguments.runs or 6, options)
    else:
        good = injections(loadtest, arguments.runs or 1, options)
    sys.exit(0 if good else 1)


def split(arguments):
    """What is ours, and what stands behind `--`."""
    at = arguments.index("--") if "--" in arguments else len(arguments)
    return arguments[:at], arguments[at + 1 :]


if __name__ == "__main__":
    main()

#!/bin/sh
# Records a piece of the noise bank: blocks of a gate of phase2 against itself, in slices of a quarter of a second, so that a
# block takes about ten seconds. Then puts all pieces together.
#
#   cargo build --release -p loadtest -p insurance-service
#   cargo build --release -p measure --example noise_bank
#   record_noise_bank.sh record PIECE        one piece of 12 to 24 blocks, to target/noise-bank/PIECE/record.json
#   record_noise_bank.sh bank                all pieces into noise-bank.hlog and noise-bank.csv beside this script
#
# Binaries are those of target/release, or of BIN_DIR.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../../../.." && pwd)
bin=${BIN_DIR:-$top/target/release}
pieces=$top/target/noise-bank
case ${1:-} in
record)
    piece=${2:?which piece: a number, which is its seed}
    # An invalid, undecided or even regressed run is as good a source of noise as any other.
    "$bin/loadtest" compare --model open --workload "$here/noise-bank.toml" --measure-s 0.25 --blocks 12 --seed "$piece" \
        --out "$pieces/$piece" profile:phase2 profile:phase2 || echo "exit code $?"
    ;;
bank)
    "$bin/examples/noise_bank" "$here/noise-bank.hlog" "$here/noise-bank.csv" "$pieces"/*/record.json
    ;;
*)
    sed -n '2,12s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac

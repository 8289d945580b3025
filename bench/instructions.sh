#!/usr/bin/env bash
# Counts the instructions that one segment, one round trip and one short connection cost, netlane beside smoltcp:
#
#   bench/instructions.sh
#
# Each workload runs twice under callgrind, the second time over twice the amount, and what counts is the difference: what
# it takes to set up falls out. The same binary on the same inputs gives the same count, whatever else the machine does.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v valgrind >/dev/null || { echo "valgrind is missing: apt-get install valgrind" >&2; exit 1; }
cargo build --release --quiet -p netlane-bench --bin core --bin scale
core=${CARGO_TARGET_DIR:-target}/release/core
scale=${CARGO_TARGET_DIR:-target}/release/scale

# Instructions of a command.
instructions() {
  valgrind --tool=callgrind --callgrind-out-file=/dev/null "$@" 2>&1 | sed -n 's/.*Collected : //p'
}

# Instructions of one side's workload, with what scales it.
count() {
  instructions "$core" --only "$@"
}

# Instructions for each of $5 units, by which the two runs differ.
each() {
  local once twice
  once=$(count "$1" "$2" "$3" "$4")
  twice=$(count "$1" "$2" "$3" $(($4 * 2)))
  echo $(((twice - once) / $5))
}

row() {
  local name=$1 ours theirs
  ours=$(each netlane "${@:2}")
  theirs=$(each smoltcp "${@:2}")
  printf '%-34s netlane %7d   smoltcp %7d   ratio %s\n' "$name" "$ours" "$theirs" \
    "$(awk "BEGIN { printf \"%.2f\", $theirs / $ours }")"
}

# 32 MiB are 23,173 segments of 1,448 bytes, which is what fits 1,500 beside the timestamps; smoltcp sends none of
# those and needs 22,983.
row "bulk, per 1,448 bytes" bulk --mebibytes 32 23173
row "bulk without TCP checksums" bulk-no-checksums --mebibytes 32 23173
row "round trip of 64 bytes" round-trips --count 20000 20000
row "short connection" short-connections --count 40000 2000

# An echo over connections picked at random among so many.
among() {
  local once twice
  once=$(instructions "$scale" --only "$1" --echoes 20000)
  twice=$(instructions "$scale" --only "$1" --echoes 40000)
  printf '%-34s netlane %7d\n' "echo among $1 connections" $(((twice - once) / 20000))
}

among 1
among 1000
among 100000

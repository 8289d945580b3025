#!/usr/bin/env bash
# Runs the fuzz targets, each for a bounded time, without cargo-fuzz: libFuzzer comes with the crate
# libfuzzer-sys, and what else cargo-fuzz does is a set of compiler flags.
#
#   ci/fuzz.sh                        every target, 15 seconds each
#   ci/fuzz.sh -t 600 stack_ingress   one target, ten minutes
#   ci/fuzz.sh FILE                   plays a file that crashed (named after its target: wire.crash-…)
#
# With a nightly compiler the address sanitizer watches too; without one, the fuzzer finds panics only.
# Corpora grow in fuzz/corpus, crashes are written to fuzz/artifacts. `cargo fuzz run TARGET` works as well.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly HOST=x86_64-unknown-linux-gnu
seconds=15
while getopts t: option; do
  case $option in
    t) seconds=$OPTARG ;;
    *) exit 2 ;;
  esac
done
shift $((OPTIND - 1))

mapfile -t every < <(cd fuzz/fuzz_targets && printf '%s\n' *.rs | sed 's/\.rs$//')
replay=
if [[ -f ${1-} ]]; then
  replay=$1
  set -- "$(basename "$1" | sed 's/\..*//')"
fi
if (($# == 0)); then
  set -- "${every[@]}"
fi

coverage=(
  -Cpasses=sancov-module
  -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
  -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares
)
toolchain=()
flags=("${coverage[@]}" --cfg fuzzing)
if rustup toolchain list 2>/dev/null | grep -q '^nightly'; then
  toolchain=(+nightly)
  flags+=(-Zsanitizer=address)
else
  echo "no nightly compiler: fuzzing without the address sanitizer"
fi

# The flags hold for the targets alone, not for build scripts, because a target triple is named.
RUSTFLAGS="${flags[*]}" cargo "${toolchain[@]}" build --release --quiet --manifest-path fuzz/Cargo.toml \
  --target-dir target/fuzz --target "$HOST"

failed=0
mkdir -p fuzz/artifacts
for target; do
  program=target/fuzz/$HOST/release/$target
  limits=(-timeout=10 -rss_limit_mb=2048 "-artifact_prefix=fuzz/artifacts/$target.")
  if [[ -n $replay ]]; then
    exec "$program" "${limits[@]}" "$replay"
  fi
  # The first folder is also where new inputs go.
  corpus=("fuzz/corpus/$target")
  mkdir -p "${corpus[0]}"
  [[ ! -d fuzz/seeds/$target ]] || corpus+=("fuzz/seeds/$target")
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  # libFuzzer keeps its own time; `timeout` is for one that hangs.
  if timeout --kill-after=10 $((seconds + 120)) "$program" "${limits[@]}" "-max_total_time=$seconds" \
    "${corpus[@]}" </dev/null >"$log" 2>&1; then
    echo "fuzz $target: $(sed -n 's/^Done \([0-9]*\) runs.*/\1/p' "$log") runs in $seconds s," \
      "$(sed -n 's/.*DONE *cov: \([0-9]*\).*/\1/p' "$log") edges"
  else
    failed=$((failed + 1))
    tail -n 60 "$log"
    echo "fuzz $target: FAILED. Play it again with: ci/fuzz.sh fuzz/artifacts/$target.…"
  fi
  rm -f "$log"
done
exit $((failed > 0))

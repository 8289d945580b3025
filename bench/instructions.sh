#!/usr/bin/env bash
# Counts the instructions that a segment, an echo and a short connection cost:
#
#   bench/instructions.sh            netlane beside smoltcp
#   bench/instructions.sh --check    netlane beside what was noted; fails where a count has risen by more than 2 %
#   bench/instructions.sh --update   notes the counts anew, in bench/instructions.txt
#
# Each workload runs twice under callgrind, the second time over twice the amount, and what counts is the difference: what
# it takes to set up falls out. The same binary on the same inputs gives the same count, whatever else the machine does.
# Another compiler, C library or valgrind gives other counts, and so does a processor for which the C library picks
# another memcpy: --check says so then, and compares nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly BASELINE=bench/instructions.txt
# Percent by which a count may rise without a word.
readonly TOLERANCE=2

# Name of the row, how many units the amount is, the amount, and the command that it ends. 16 MiB are 11,587 segments of
# 1,448 bytes, which is what fits 1,500 beside the timestamps; smoltcp sends none of those and needs 11,492. Of short
# connections there are a twentieth of the count.
readonly ROWS="\
segment            11587 16    core --only SIDE bulk --mebibytes
segment-unsummed   11587 16    core --only SIDE bulk-no-checksums --mebibytes
echo               10000 10000 core --only SIDE round-trips --count
short-connection   1000  20000 core --only SIDE short-connections --count
echo-among-1       10000 10000 scale --only 1 --echoes
echo-among-10000   10000 10000 scale --only 10000 --echoes"

# From some size on that depends on the processor, memcpy is one instruction, which callgrind counts once a byte.
export GLIBC_TUNABLES=glibc.cpu.x86_rep_movsb_threshold=1000000000

main() {
  case ${1-} in
    "")
      build
      for_each_row compare
      ;;
    --check)
      if [[ $(conditions) != "$(noted_conditions)" ]]; then
        echo "SKIPPED instruction counts: they were noted with $(noted_conditions); here are $(conditions)"
        return
      fi
      build
      for_each_row check
      ;;
    --update)
      build
      update
      ;;
    *)
      sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' bench/instructions.sh
      return 2
      ;;
  esac
}

build() {
  command -v valgrind >/dev/null || { echo "valgrind is missing: apt-get install valgrind" >&2; exit 1; }
  cargo build --release --quiet -p netlane-bench --bin core --bin scale
  programs=${CARGO_TARGET_DIR:-target}/release
}

# What counts depend on beside the code: the compiler, who counts, and what picks a memcpy by which features.
conditions() {
  {
    rustc --version
    valgrind --version
    ldd --version | sed -n '1s/.*) /glibc /p'
    uname -m
    grep -m1 '^flags' /proc/cpuinfo | grep -owE 'avx2|erms|fsrm|rtm' | sort
  } | paste -sd'|' | sed 's/|/, /g'
}

noted_conditions() {
  sed -n 's/^# With //p' "$BASELINE"
}

# Calls a command with each row's words; fails where it has failed for one.
for_each_row() { # command
  local row failed=0
  while read -ra row; do
    "$1" "${row[@]}" </dev/null || failed=1
  done <<<"$ROWS"
  return "$failed"
}

# Both sides, where a row has sides.
compare() { # the row
  local ours theirs
  ours=$(each netlane "$@") || return
  printf '%-18s netlane %7d' "$1" "$ours"
  if [[ $* == *" SIDE "* ]]; then
    theirs=$(each smoltcp "$@") || return
    printf '   smoltcp %7d   ratio %s' "$theirs" "$(awk "BEGIN { printf \"%.2f\", $theirs / $ours }")"
  fi
  echo
}

# This row now and as it was noted; fails where it has risen too far.
check() { # the row
  local now noted
  now=$(each netlane "$@") || return
  noted=$(awk -v row="$1" '$1 == row { print $2 }' "$BASELINE")
  [[ -n $noted ]] || { echo "$BASELINE has no row $1: run bench/instructions.sh --update"; return 1; }
  printf '%-18s %7d   noted %7d   %s\n' "$1" "$now" "$noted" \
    "$(awk "BEGIN { printf \"%+.1f %%\", 100 * $now / $noted - 100 }")"
  if ((now * 100 > noted * (100 + TOLERANCE))); then
    echo "$1 takes over $TOLERANCE % more instructions than $BASELINE says. Where that is worth it," \
      "run bench/instructions.sh --update, and say in the commit why."
    return 1
  fi
}

# Notes the counts.
update() {
  {
    echo "# Instructions, by bench/instructions.sh --update: a rise of over $TOLERANCE % is explained in its commit."
    echo "# With $(conditions)"
    for_each_row note
  } | tee "$BASELINE.new"
  mv "$BASELINE.new" "$BASELINE"
}

note() { # the row
  local now
  now=$(each netlane "$@") || return
  printf '%-18s %7d\n' "$1" "$now"
}

# Instructions for each unit of a row.
each() { # side, the row
  local once twice units=$3 amount=$4
  local command=("${@:5}")
  command=("${command[@]/#SIDE/$1}")
  # Both at the same time.
  exec 3< <(count "${command[@]}" "$amount") 4< <(count "${command[@]}" $((2 * amount)))
  if ! read -r once <&3 || ! read -r twice <&4; then
    echo "$programs/${command[*]} $amount cannot be counted" >&2
    return 1
  fi
  echo $(((twice - once) / units))
}

# Instructions of a command.
count() { # program, arguments…
  valgrind --tool=callgrind --callgrind-out-file=/dev/null "$programs/$1" "${@:2}" 2>&1 | sed -n 's/.*Collected : //p'
}

main "$@"

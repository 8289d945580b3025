#!/usr/bin/env bash
# Runs netlane's checks and tests: all of them, or the stages named on the command line.
#
#   ci/test.sh                every stage, in order
#   ci/test.sh tests loom     these stages
#   ci/test.sh --list         the stages, and what they do
#
# It needs Rust by way of rustup; what else a stage needs and does not find, it installs: Debian packages with apt
# (as root, or with a sudo that asks nothing), and cargo's tools into target/tools. NETLANE_INSTALL=0 forbids both. What
# cannot be had skips a stage, or a part of one, and is named with its reason in the end.
#
# A stage that fails does not keep the others from running. The last line counts tests, and stages that have
# none as one each; the exit code is 0 where nothing failed.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
self=$PWD/ci/test.sh
export PATH="$PWD/target/tools/bin:$PATH"
export CARGO_TERM_COLOR=never RUST_BACKTRACE=1
if [[ -n ${CI-} ]]; then
  # Nothing is built twice there.
  export CARGO_INCREMENTAL=0
fi

# Seconds after which a stage hangs: what takes a minute may take twenty on a machine that is busy with other things.
readonly PATIENCE=3600

# Name, and what it does.
readonly STAGES="\
format    rustfmt leaves every file as it is
scripts   shellcheck finds nothing in the shell scripts
clippy    no warning, in all targets with all features
docs      rustdoc without a warning
features  the backends build in the combinations that users choose
no-std    the core builds where there is no operating system
tests     unit, integration and documentation tests of all packages but interop
loom      the rings and doorbells, in every order of their threads
miri      the rings, under an interpreter that sees undefined behaviour
fuzz      each fuzz target for some seconds
counts    a segment, an echo and a short connection take no more instructions than noted
interop   against the kernel's TCP and common programs, in network namespaces
book      the book builds, and its links lead somewhere
deps      licences, sources, duplicates and unused dependencies"

# --- the stages ---------------------------------------------------------------------------------------------------

stage_format() {
  cargo fmt --all --check
  cargo fmt --manifest-path fuzz/Cargo.toml --check
}

stage_scripts() {
  need_package shellcheck || return 0
  shellcheck .ci/run ci/*.sh bench/*.sh
  find ci -mindepth 2 -name '*.sh' -exec shellcheck {} +
}

stage_clippy() {
  command -v cc >/dev/null || need_package gcc libc6-dev || true
  with_all_features clippy --all-targets -- -D warnings
}

stage_docs() {
  RUSTDOCFLAGS="-D warnings" with_all_features doc --no-deps
}

stage_features() {
  local backend wrapper
  for backend in "" memory tap memory,tap; do
    for wrapper in "" pcap impair; do
      echo "netlane-backends with: ${backend:-nothing}${wrapper:+, $wrapper}"
      cargo clippy --quiet -p netlane-backends --no-default-features --features "$backend,$wrapper" -- -D warnings
    done
  done
  echo "netlane-sim without its hosts"
  cargo clippy --quiet -p netlane-sim --no-default-features -- -D warnings
}

stage_no-std() {
  local target
  for target in x86_64-unknown-none thumbv7em-none-eabihf; do
    if rustup target list --installed | grep -qx "$target" || rustup target add "$target"; then
      echo "netlane-core for $target"
      cargo build --quiet -p netlane-core --target "$target"
    else
      skip "$target" "rustup cannot add it"
    fi
  done
}

stage_tests() {
  need_package iproute2 tshark || true
  run_tests 'not package(netlane-interop)' --workspace --exclude netlane-interop || failure=1
  # Documentation tests have no time limit of their own.
  timeout --kill-after=10 1800 cargo test --workspace --doc --no-fail-fast || failure=1
  return "${failure:-0}"
}

stage_loom() {
  # With its own flags and thus its own folder, or everything else would be built once more after it.
  export RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom
  cargo test -p netlane-ring --lib
  cargo test -p netlane-backends --lib --no-default-features --features memory
}

stage_miri() {
  nightly miri rust-src || return 0
  cargo +nightly miri test -p netlane-ring --lib --target-dir target/miri
}

stage_fuzz() {
  command -v c++ >/dev/null || need_package g++ || return 0
  nightly || true
  cargo clippy --manifest-path fuzz/Cargo.toml --target-dir target/fuzz --all-targets -- -D warnings
  cargo test --manifest-path fuzz/Cargo.toml --target-dir target/fuzz --lib
  ci/fuzz.sh -t "${NETLANE_FUZZ_SECONDS:-15}"
}

stage_counts() {
  need_package valgrind || return 0
  bench/instructions.sh --check
}

stage_interop() {
  need_package iproute2 iputils-ping curl netcat-openbsd iperf3 python3 tshark || true
  run_tests 'package(netlane-interop)' -p netlane-interop
}

stage_book() {
  need_tool mdbook --no-default-features --features search || return 0
  mdbook build docs
  ci/links.sh
}

stage_deps() {
  if need_tool cargo-deny; then
    local checks=(bans licenses sources)
    if [[ -n ${NETLANE_ADVISORIES-} ]]; then
      checks+=(advisories)
    else
      skip "advisories" "the database of known vulnerabilities is fetched only with NETLANE_ADVISORIES=1"
    fi
    cargo deny --workspace --all-features check "${checks[@]}"
  fi
  if need_tool cargo-machete; then
    cargo machete
  fi
}

# Runs cargo over all packages with all features, but for the bench's `lwip` where there is none.
with_all_features() { # command, arguments…
  if need_package liblwip-dev; then
    cargo "$1" --workspace --all-features "${@:2}"
  else
    cargo "$1" --workspace --exclude netlane-bench --all-features "${@:2}"
    cargo "$1" -p netlane-bench "${@:2}"
  fi
}

# Runs the unit and integration tests of packages. nextest builds all and picks among them: with the features that some
# packages want alone, everything would be built once more.
run_tests() { # which packages, as nextest says it, and as cargo says it
  local status=0
  if cargo nextest --version >/dev/null 2>&1; then
    rm -f target/nextest/ci/junit.xml
    cargo nextest run --workspace -E "$1" --profile ci --no-fail-fast || status=$?
    # A test that can do nothing here says so and passes, and nextest shows the output of those that fail alone.
    grep -ho 'SKIPPED [^<]*' target/nextest/ci/junit.xml || true
  else
    echo "cargo-nextest is missing: the tests run one program after the other"
    cargo test "${@:2}" --lib --bins --tests --examples --no-fail-fast -- --show-output || status=$?
  fi
  return "$status"
}

# --- what the stages need -----------------------------------------------------------------------------------------

# Says that something could not be tested here, and why.
skip() { # what, why
  echo "SKIPPED $1: $2"
}

may_install() {
  [[ ${NETLANE_INSTALL-1} != 0 ]]
}

# Installs those of the Debian packages that are missing; a package that cannot be had is named as skipped.
need_package() { # packages…
  local package as_root=() missing=()
  for package; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q ' installed$' || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  if ((EUID != 0)); then
    as_root=(sudo -n)
  fi
  if may_install && "${as_root[@]}" true 2>/dev/null && command -v apt-get >/dev/null; then
    echo "installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    "${as_root[@]}" apt-get update -qq || true
    if "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; then
      return 0
    fi
  fi
  skip "what needs ${missing[*]}" "not installed, and cannot be here; as root: apt-get install ${missing[*]}"
  return 1
}

# Builds one of cargo's tools where it is missing.
need_tool() { # crate, options for its installation…
  command -v "$1" >/dev/null && return 0
  if may_install; then
    echo "building $1, which takes some minutes the first time"
    # Without optimisation: that takes half the time, and the tool runs for seconds.
    cargo install --quiet --debug --locked --root target/tools --target-dir target/tools/build "$@" && return 0
  fi
  skip "what needs $1" "not installed, and cannot be built here; try: cargo install --locked $*"
  return 1
}

# A nightly compiler with these components.
nightly() { # components…
  if ! rustup toolchain list | grep -q '^nightly' &&
    ! { may_install && rustup toolchain install nightly --profile minimal; }; then
    skip "what needs a nightly compiler" "rustup cannot install it"
    return 1
  fi
  local component
  for component; do
    rustup component list --toolchain nightly --installed | grep -q "^$component" && continue
    if ! { may_install && rustup component add "$component" --toolchain nightly; }; then
      skip "what needs nightly's $component" "rustup cannot install it"
      return 1
    fi
  done
}

# --- running them -------------------------------------------------------------------------------------------------

stage_names() {
  awk '{print $1}' <<<"$STAGES"
}

# Runs a stage in a process of its own, shows its output and keeps it in "$log".
run_stage() { # name
  timeout --kill-after=10 "$PATIENCE" bash "$self" --one "$1" >"$log" 2>&1 </dev/null &
  running=$!
  tail -n +1 -s 0.2 --pid="$running" -f "$log" &
  local shown=$! status
  # Unlike a program in the foreground, this can be interrupted by a signal.
  wait "$running"
  status=$?
  wait "$shown"
  running=
  if ((status == 124)); then
    echo "stage $1 was ended after $PATIENCE s"
  fi
  return "$status"
}

# Adds a stage's tests to the totals, from the last lines of nextest, of cargo test and of scripts like this one.
count() { # status
  local p f s
  s=$(grep -c '^ *SKIPPED ' "$log")
  read -r p f < <(awk '
    /^ *Summary \[|^test result: |^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$/ {
      for (i = 1; i < NF; i++) {
        if ($(i + 1) ~ /^passed/) p += $i
        if ($(i + 1) ~ /^(failed|timed|exec)/) f += $i
      }
    }
    END { print p + 0, f + 0 }' "$log")
  # A test that was skipped passes for its runner.
  if ((p > 0)); then
    p=$((p > s ? p - s : 0))
  elif (($1 == 0 && s == 0)); then
    p=1
  fi
  if (($1 != 0 && f == 0)); then
    f=1
  fi
  passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

clean_up() {
  if [[ -n ${running-} ]]; then
    # `timeout` passes the signal on to all that the stage has started.
    kill "$running" 2>/dev/null
    wait "$running" 2>/dev/null
  fi
  rm -rf "$scratch"
}

main() {
  local stage started status result
  scratch=$(mktemp -d)
  log=$scratch/log
  trap clean_up EXIT
  trap 'exit 130' INT TERM HUP
  passed=0 failed=0 skipped=0
  for stage; do
    printf '\n=== %s\n' "$stage"
    started=$SECONDS
    run_stage "$stage"
    status=$?
    count "$status"
    result=ok
    ((status == 0)) || result=FAILED
    printf '%-9s %-6s %5d s\n' "$stage" "$result" $((SECONDS - started)) | tee -a "$scratch/results"
    sed -n 's/^ *SKIPPED /  /p' "$log" | sed "s/^/$stage:/" >>"$scratch/skipped"
  done
  printf '\n=== results\n'
  cat "$scratch/results"
  if [[ -s $scratch/skipped ]]; then
    printf '\n=== skipped\n'
    cat "$scratch/skipped"
  fi
  if ((EUID != 0)); then
    printf '\nnot root: tests ran in user namespaces, or were skipped where these are denied\n'
  fi
  printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
  ((failed == 0))
}

case ${1-} in
  --list)
    echo "$STAGES"
    ;;
  --one)
    set -e
    "stage_$2"
    ;;
  -*)
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$self"
    exit 2
    ;;
  *)
    if (($# == 0)); then
      # shellcheck disable=SC2046
      set -- $(stage_names)
    fi
    for name; do
      if ! stage_names | grep -qx -- "$name"; then
        echo "no stage is called $name; there are: $(stage_names | paste -sd' ')" >&2
        exit 2
      fi
    done
    main "$@"
    ;;
esac

#!/usr/bin/env bash
# Builds packetdrill, which no distribution packages, into target/tools/bin, with its scripts in target/tools/packetdrill.
# It is under the GPL: a tool that tests run, and no part of netlane.
#
#   ci/packetdrill.sh         needs git, a C compiler, make, bison and flex, and GitHub
set -euo pipefail
cd "$(dirname "$0")/.."

readonly SOURCE=https://github.com/google/packetdrill
# What the scoreboard in docs/packetdrill.md was made with.
readonly COMMIT=2c4001c4d6fc04a3bbd01d4b92be62717a37648a

tree=target/tools/packetdrill
if [[ $(git -C "$tree" rev-parse HEAD 2>/dev/null) != "$COMMIT" ]]; then
  rm -rf "$tree"
  git init --quiet "$tree"
  timeout 120 git -C "$tree" fetch --quiet --depth 1 "$SOURCE" "$COMMIT"
  git -C "$tree" checkout --quiet FETCH_HEAD
fi
cd "$tree/gtests/net/packetdrill"
./configure
make packetdrill >/dev/null
mkdir -p ../../../../bin
cp packetdrill ../../../../bin/

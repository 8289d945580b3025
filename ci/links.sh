#!/usr/bin/env bash
# Checks that the links between the pages of the book, and those of the files beside it, lead somewhere: to a
# file that exists, and to a heading of it where they name one. And that docs/conformance.md names code and tests
# that exist. Run it after `mdbook build docs`.
set -euo pipefail
cd "$(dirname "$0")/.."

broken=0
complain() { # page, link
  echo "$1: the link $2 leads nowhere"
  broken=$((broken + 1))
}

while IFS= read -r page; do
  while IFS= read -r link; do
    path=${link%%#*} anchor=
    [[ $link == *'#'* ]] && anchor=${link#*#}
    file=$page
    [[ -z $path ]] || file=$(dirname "$page")/$path
    # A page of the book links to nothing outside of it.
    if [[ ! -e $file || ($page == docs/* && $(realpath "$file") != "$PWD"/docs/*) ]]; then
      complain "$page" "$link"
    elif [[ -n $anchor && $file == *.md ]]; then
      rendered=docs/book/$(realpath --relative-to=docs "${file%.md}").html
      if [[ -f $rendered ]] && ! grep -q "id=\"$anchor\"" "$rendered"; then
        complain "$page" "$link"
      fi
    fi
  done < <(grep -oE '\]\([^) ]+\)' "$page" | sed -E 's/^\]\(//; s/\)$//' | grep -vE '^[a-z]+:' || true)
done < <(git ls-files --cached --others --exclude-standard '*.md')

# What stands between backquotes there is a file of the core, the name of a test with or without its file, one of the tests
# against the kernel, or a script for packetdrill.
# shellcheck disable=SC2016
while IFS= read -r name; do
  case $name in
    */ | file::name | interop:: | .pkt) continue ;;
    ?*.pkt) [[ -f interop/packetdrill/scripts/$name ]] && continue ;;
    *.rs) [[ -f stack-core/src/$name ]] && continue ;;
    interop::*) grep -rqs "fn ${name##*::}()" interop/tests && continue ;;
    *::*) grep -qs "fn ${name##*::}()" stack-core/tests/*/"${name%%::*}.rs" && continue ;;
    *_*) grep -rqE "fn $name\b|name = \"$name\"" stack-core/src stack-core/tests/*.rs fuzz/Cargo.toml && continue ;;
    *) continue ;;
  esac
  echo "docs/conformance.md: there is no $name"
  broken=$((broken + 1))
done < <(grep -oE '`[^` ]+`' docs/conformance.md | tr -d '`' | sort -u)
((broken == 0))

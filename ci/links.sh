#!/usr/bin/env bash
# Checks that the links between the pages of the book, and those of the files beside it, lead somewhere: to a
# file that exists, and to a heading of it where they name one. Run it after `mdbook build docs`.
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
    if [[ ! -e $file ]]; then
      complain "$page" "$link"
    elif [[ -n $anchor && $file == *.md ]]; then
      rendered=docs/book/$(realpath --relative-to=docs "${file%.md}").html
      if [[ -f $rendered ]] && ! grep -q "id=\"$anchor\"" "$rendered"; then
        complain "$page" "$link"
      fi
    fi
  done < <(grep -oE '\]\([^) ]+\)' "$page" | sed -E 's/^\]\(//; s/\)$//' | grep -vE '^[a-z]+:' || true)
done < <(git ls-files --cached --others --exclude-standard '*.md')
((broken == 0))

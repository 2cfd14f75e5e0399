#!/bin/sh
# usage: tools/quote_readme.sh [--check]
# Copies programs into README.md, between "<!-- quote FILE -->" and "<!-- end -->"; with --check
# it only says whether README.md holds them as they are now.
set -eu

quoted=$(mktemp)
trap 'rm -f "$quoted"' EXIT

awk '
  /^<!-- end -->$/ { skipping = 0 }
  !skipping { print }
  /^<!-- quote .* -->$/ {
    print "```cpp"
    while ((status = (getline line < $3)) > 0) print line
    if (status < 0) { print "error: README.md quotes " $3 ", which is not there" > "/dev/stderr"; exit 1 }
    print "```"
    skipping = 1
  }
' README.md >"$quoted"

if [ "${1-}" != --check ]; then
  cat "$quoted" >README.md
elif ! diff -u README.md "$quoted"; then
  echo "error: README.md quotes an older program. Run: tools/quote_readme.sh" >&2
  exit 1
fi

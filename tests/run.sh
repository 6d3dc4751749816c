#!/usr/bin/env bash
# `make test`: the gates in order, each with its name and time, so that a person sees where it is.
set -euo pipefail
cd "$(dirname "$0")/.."

started=$SECONDS
gate() {
  local name=$1 began=$SECONDS
  shift
  printf '\n== %s\n' "$name"
  "$@"
  printf '== %s: ok, %ds\n' "$name" $((SECONDS - began))
}

# What the tests print is kept, so that the last gate can look for those that prove a guarantee.
mkdir -p target/gates
kept() { make --no-print-directory "$1" | tee "target/gates/$1.log"; }

gate 'format' make --no-print-directory fmt
gate 'lints' make --no-print-directory lint
gate 'unit tests' kept unit
gate 'fuzz targets and seeds' make --no-print-directory seeds
gate 'work done' make --no-print-directory work
gate 'documentation' make --no-print-directory doc
gate 'the real cluster' make --no-print-directory cluster kubectls helm
gate 'behaviour' kept behaviour
gate 'guarantees' tests/guarantees.sh target/gates/unit.log target/gates/behaviour.log
gate 'dependencies' make --no-print-directory deny
printf '\nmake test: everything holds, %ds\n' $((SECONDS - started))

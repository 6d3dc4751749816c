#!/usr/bin/env bash
# Runs fuzz targets for so many minutes each, all if none is named: `fuzz/run.sh 10 chain pem`. Says at the end of
# each how often it ran; what it found lies in fuzz/artifacts/.
set -euo pipefail
cd "$(dirname "$0")/.."

version=0.13.2
tools=$PWD/.cache/tools
if ! [ -x "$tools/bin/cargo-fuzz" ]; then
  cargo install --locked --quiet cargo-fuzz --version "$version" --root "$tools"
fi

minutes=$1
shift
if [ $# -eq 0 ]; then
  for target in fuzz/fuzz_targets/*.rs; do
    set -- "$@" "$(basename "$target" .rs)"
  done
fi

found=0
for target in "$@"; do
  mkdir -p "fuzz/corpus/$target"
  log=$(mktemp)
  # The stable toolchain has no sanitizers; the program has no unsafe code that they would watch.
  if "$tools/bin/cargo-fuzz" run --fuzz-dir fuzz --sanitizer none "$target" \
    "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
    -max_total_time=$((minutes * 60)) -max_len=8192 -timeout=10 -print_final_stats=1 > "$log" 2>&1; then
    outcome='nothing found'
  else
    outcome="FOUND SOMETHING, see fuzz/artifacts/$target and $log"
    found=1
  fi
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  printf '%-16s %12s executions, %s\n' "$target" "${runs:-no}" "$outcome"
  [ "$outcome" != 'nothing found' ] || rm -f "$log"
done
exit "$found"

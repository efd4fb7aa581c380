#!/usr/bin/env bash
# Runs each fuzz target for a while, from what a reader may really meet.
#
#   cpp/fuzz/run.sh DIRECTORY_OF_TARGETS SECONDS_EACH [SEED]
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
targets=$1
seconds=$2
seed=${3:-0} # 0: another one each time

for target in manifest vocabulary wav; do
  corpus=$targets/corpus_$target
  mkdir -p "$corpus"
  case $target in
    manifest)
      cp "$root/tests/data/manifest_format_1.json" "$corpus/"
      cp "$root/cpp/fuzz/small_manifest.json" "$corpus/"
      ;;
    vocabulary)
      printf 'S2TV\1\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0a' >"$corpus/one_token"
      printf '\1\0\0\0\2\1\0\0\160\21\1\0' >"$corpus/three_ids"
      ;;
    wav) head -c 300 "$root"/examples/digits/recordings/one_digit_7.wav >"$corpus/beginning" ;;
  esac
  "$targets/fuzz_$target" -max_total_time="$seconds" -seed="$seed" -max_len=20000 -print_final_stats=1 -verbosity=0 -print_funcs=0 \
    -artifact_prefix="$targets/" "$corpus" || { echo "fuzz_$target found something: see $targets" >&2; exit 1; }
done

#!/bin/sh
# What each kernel takes on each GPU generation. Fails where one spills registers, has a stack frame or takes 48 KB of
# shared memory, which is what every GPU gives without being asked.
# Usage: check-resources.sh [NVCC [GENERATION...]]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
nvcc=${1:-nvcc}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- 75 80 89 90
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
for target in "$@"; do
  for source in "$here"/*.cu; do
    "$nvcc" -std=c++17 -O3 -fmad=false -I"$here/../include" -Xptxas -v -cubin -arch "sm_$target" \
      -o "$made/cubin" "$source" 2>&1
  done
done | c++filt | awk '
  function finish() {
    if (name == "") return
    bad = spills > 0 || stack > 0 || shared >= 49152
    failed = failed || bad
    kernels++
    printf "%-6s %-42s %4d registers %6d bytes shared %4d stack %4d spilled%s\n", target, name, registers, shared,
           stack, spills, bad ? "  <- too much" : ""
    name = ""
  }
  /error|warning/ { print; failed = 1 }
  /Compiling entry function/ {
    finish()
    target = $0; sub(/.*for .sm_/, "sm_", target); sub(/[^0-9a-z_].*/, "", target)
    name = $0; sub(/.*entry function ./, "", name); sub(/. for .sm_.*/, "", name)
    gsub(/pumer::cuda::|\(anonymous namespace\)::|void |\([^()]*\)$/, "", name)
    spills = stack = shared = registers = 0
  }
  /bytes stack frame/ { stack = $1; spills = $5 + $9 }
  /Used [0-9]+ registers/ {
    registers = $0; sub(/.*Used /, "", registers); registers += 0
    if (match($0, /[0-9]+ bytes smem/)) shared = substr($0, RSTART, RLENGTH) + 0
  }
  END {
    finish()
    if (kernels == 0) { print "no kernel was compiled"; failed = 1 }
    exit failed
  }'

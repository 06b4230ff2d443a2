#!/usr/bin/env bash
# The kernels under AddressSanitizer and UndefinedBehaviorSanitizer: the C++ tests, then the tests that drive library and
# addon from Node. Builds into kernels/build-sanitize, without CUDA. What Node itself never frees is not looked at.
set -euo pipefail
cd "$(dirname "$0")/../.."
build=kernels/build-sanitize

headers=$(node -p 'const at = require("node:module").createRequire(process.cwd() + "/");
  [require("node:path").dirname(at.resolve("node-addon-api")), at("node-api-headers").include_dir].join(";")')
cmake -S kernels -B "$build" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DPUMER_SANITIZE=ON -DPUMER_TESTS=ON -DPUMER_CUDA=OFF \
  "-DCMAKE_LIBRARY_OUTPUT_DIRECTORY=$PWD/$build" "-DPUMER_NODE_HEADERS=$headers" >/dev/null
cmake --build "$build" --parallel 2 >/dev/null

ctest --test-dir "$build" --output-on-failure --parallel 2 --exclude-regex cuda_on_host
"$build/tests/cuda/cuda_on_host" 20 # a tenth of its calls: sanitizers slow its fibers down

compiler=${CXX:-c++}
export LD_PRELOAD="$("$compiler" -print-file-name=libasan.so) $("$compiler" -print-file-name=libubsan.so)"
export ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1
export PUMER_KERNELS="$PWD/$build" PUMER_REQUIRE_KERNELS=1
node node_modules/vitest/vitest.mjs run test/kernels test/runtime/addon.test.ts

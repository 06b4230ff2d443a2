/* Which level this processor runs. PUMER_SIMD in the environment (scalar, avx2, avx512) asks for a lower one. */
#include "dispatch.h"

#include <stdlib.h>
#include <string.h>

namespace pumer::cpu {

namespace {

int best_level() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
#if defined(PUMER_SIXTEEN_LANES)
  if (avx2) return PUMER_LEVEL_AVX512;
#endif
  if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw"))
    return PUMER_LEVEL_AVX512;
  if (avx2) return PUMER_LEVEL_AVX2;
#endif
  return PUMER_LEVEL_SCALAR;
}

int asked_level() {
  const char* name = getenv("PUMER_SIMD");
  if (name == nullptr) return PUMER_LEVEL_BEST;
  for (int level = PUMER_LEVEL_SCALAR; level <= PUMER_LEVEL_AVX512; level++)
    if (strcmp(name, pumer_cpu_level_name(level)) == 0) return level;
  return PUMER_LEVEL_BEST;
}

}  // namespace

const Level& level_of(int level) {
  const int best = best_level();
  if (level < 0 || level > best) level = best;
#if defined(__x86_64__)
  if (level == PUMER_LEVEL_AVX512) return kAvx512;
  if (level == PUMER_LEVEL_AVX2) return kAvx2;
#endif
  return kScalar;
}

}  // namespace pumer::cpu

int pumer_cpu_level(void) {
  const int best = pumer::cpu::best_level();
  const int asked = pumer::cpu::asked_level();
  return asked >= 0 && asked < best ? asked : best;
}

const char* pumer_cpu_level_name(int level) {
  switch (level) {
    case PUMER_LEVEL_AVX512: return "avx512";
    case PUMER_LEVEL_AVX2: return "avx2";
    default: return "scalar";
  }
}

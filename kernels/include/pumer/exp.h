/*
 * exp for softmax, x <= 0: the same bits on every backend, because every rounding is written down. Within 2 ulp; what
 * would be subnormal is 0. Method: x = n ln 2 + r, a polynomial in r (Cephes expf's coefficients), times 2^n.
 */
#ifndef PUMER_EXP_H
#define PUMER_EXP_H

#include <stdint.h>
#include <string.h>

#ifdef __CUDACC__
#define PUMER_HOST_DEVICE __host__ __device__
#else
#define PUMER_HOST_DEVICE
#endif

namespace pumer {

PUMER_HOST_DEVICE static inline float fma_f32(float a, float b, float c) {
#ifdef __CUDA_ARCH__
  return __fmaf_rn(a, b, c);
#else
  return __builtin_fmaf(a, b, c);
#endif
}

PUMER_HOST_DEVICE static inline float exp_nonpositive(float x) {
  const float round_to_int = 12582912.0f;  // 1.5 * 2^23: adding it leaves the integer in the low bits
  const float t = fma_f32(x, 1.44269504088896341f, round_to_int);
  const float n = t - round_to_int;
  float r = fma_f32(n, -0.693359375f, x);
  r = fma_f32(n, 2.12194440e-4f, r);
  float p = 1.9875691500e-4f;
  p = fma_f32(p, r, 1.3981999507e-3f);
  p = fma_f32(p, r, 8.3334519073e-3f);
  p = fma_f32(p, r, 4.1665795894e-2f);
  p = fma_f32(p, r, 1.6666665459e-1f);
  p = fma_f32(p, r, 5.0000001201e-1f);
  const float y = fma_f32(p, r * r, r) + 1.0f;
  uint32_t bits;
  memcpy(&bits, &t, 4);
  bits = (bits - 0x4B400000u + 127u) << 23;
  float scale;
  memcpy(&scale, &bits, 4);
  const float tiny = x != x ? x : 0.0f;
  return x > -87.0f ? y * scale : tiny;
}

}  // namespace pumer

#endif

/*
 * What the kernels of all stages share: roundings, number types, sort keys and the few operations of a whole block.
 * Every rounding is an intrinsic, so that no compiler option can contract two of them into one. On the device the
 * intrinsics are used, elsewhere the same operations in plain C++, so that a test can run the kernels on a processor.
 */
#ifndef PUMER_CUDA_DEVICE_CUH
#define PUMER_CUDA_DEVICE_CUH

#include <cuda_runtime.h>
#include <stdint.h>
#include <string.h>

#include "pumer/exp.h"

namespace pumer {
namespace cuda {

#ifdef __CUDA_ARCH__
__device__ inline double add(double a, double b) { return __dadd_rn(a, b); }
__device__ inline double multiply(double a, double b) { return __dmul_rn(a, b); }
__device__ inline double divide(double a, double b) { return __ddiv_rn(a, b); }
__device__ inline double square_root(double a) { return __dsqrt_rn(a); }
__device__ inline float add(float a, float b) { return __fadd_rn(a, b); }
__device__ inline float subtract(float a, float b) { return __fsub_rn(a, b); }
__device__ inline float multiply(float a, float b) { return __fmul_rn(a, b); }
__device__ inline float narrow(double a) { return __double2float_rn(a); }
__device__ inline uint32_t bits_of(float x) { return __float_as_uint(x); }
__device__ inline float float_of(uint32_t bits) { return __uint_as_float(bits); }
#else
__host__ __device__ inline double add(double a, double b) { return a + b; }
__host__ __device__ inline double multiply(double a, double b) { return a * b; }
__host__ __device__ inline double divide(double a, double b) { return a / b; }
__host__ __device__ inline double square_root(double a) { return __builtin_sqrt(a); }
__host__ __device__ inline float add(float a, float b) { return a + b; }
__host__ __device__ inline float subtract(float a, float b) { return a - b; }
__host__ __device__ inline float multiply(float a, float b) { return a * b; }
__host__ __device__ inline float narrow(double a) { return static_cast<float>(a); }
__host__ __device__ inline uint32_t bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  return bits;
}
__host__ __device__ inline float float_of(uint32_t bits) {
  float x;
  memcpy(&x, &bits, 4);
  return x;
}
#endif

/* 16-bit numbers as they lie in memory. */
struct float16 {
  uint16_t bits;
};
struct bfloat16 {
  uint16_t bits;
};

__device__ inline float widen(float x) { return x; }
__device__ inline float widen(double x) { return narrow(x); }
__device__ inline float widen(bfloat16 x) { return float_of(static_cast<uint32_t>(x.bits) << 16); }
__device__ inline float widen(float16 x) {
#ifdef __CUDA_ARCH__
  float wide;
  asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(x.bits));
  return wide;
#else
  const uint32_t sign = static_cast<uint32_t>(x.bits & 0x8000) << 16, rest = x.bits & 0x7FFF;
  if (rest >= 0x7C00) return float_of(sign | 0x7F800000 | rest << 13);
  // As if the exponent's bias were float's, then put right by a multiplication, which is exact for subnormals too.
  return float_of(sign | bits_of(float_of(rest << 13) * 5.192296858534828e33f));
#endif
}

/* Tokens as they are averaged: 64-bit ones keep all their bits. */
template <typename T>
__device__ inline double to_double(T x) {
  return static_cast<double>(widen(x));
}
__device__ inline double to_double(double x) { return x; }

/* A mean as a token's number: by way of float32, 64-bit ones apart. */
template <typename T>
struct rounded;
template <>
struct rounded<double> {
  __device__ static double from(double x) { return x; }
};
template <>
struct rounded<float> {
  __device__ static float from(double x) { return narrow(x); }
};
template <>
struct rounded<bfloat16> {
  __device__ static bfloat16 from(double x) {
    const uint32_t bits = bits_of(narrow(x));
    const bool is_nan = (bits & 0x7FFFFFFF) > 0x7F800000;
    return {static_cast<uint16_t>(is_nan ? bits >> 16 | 0x40 : (bits + 0x7FFF + (bits >> 16 & 1)) >> 16)};
  }
};
template <>
struct rounded<float16> {
  __device__ static float16 from(double x) {
    const float value = narrow(x);
#ifdef __CUDA_ARCH__
    float16 made;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(made.bits) : "f"(value));
    return made;
#else
    const uint32_t bits = bits_of(value), rest = bits & 0x7FFFFFFF;
    const uint16_t sign = static_cast<uint16_t>(bits >> 16 & 0x8000);
    uint32_t half;
    if (rest > 0x7F800000) half = 0x7E00 | (rest >> 13 & 0x3FF);
    else if (rest >= 0x477FF000) half = 0x7C00;  // from 65520 on: infinity
    else if (rest >= 0x38800000) half = (rest - 0x38000000 + 0xFFF + (rest >> 13 & 1)) >> 13;
    else half = bits_of(float_of(rest) + 0.5f) - 0x3F000000;  // subnormal: the sum's last bit is worth 2^-24
    return {static_cast<uint16_t>(sign | half)};
#endif
  }
};

/* Unsigned integers in the order of the numbers, -0 equal to 0. Not for NaN. No number gives 0. */
__host__ __device__ inline uint32_t orderable(float x) {
  const uint32_t bits = bits_of(add(x, 0.0f));
  return bits ^ (bits >> 31 ? 0xFFFFFFFFu : 0x80000000u);
}
__host__ __device__ inline float number_of(uint32_t ordered) {
  return float_of(ordered ^ (ordered >> 31 ? 0x80000000u : 0xFFFFFFFFu));
}

/*
 * Keys by which everything is ranked: the larger number first, then the lower index. Unique in a row, so any way of
 * sorting or maximising them gives the same result. 0 stands for "not there".
 */
using Key = unsigned long long;  // the type that atomicMax takes
__host__ __device__ inline Key ranking_key(float x, int index) {
  return static_cast<Key>(orderable(x)) << 32 | ~static_cast<uint32_t>(index);
}
__host__ __device__ inline int index_of(Key key) { return static_cast<int>(~static_cast<uint32_t>(key)); }

/* The power of two that sort_descending needs for `count` keys. */
__host__ __device__ inline int sortable_size(int count) {
  int size = 64;
  while (size < count) size *= 2;
  return size;
}

/* Sorts `size` keys (see sortable_size) in shared memory: bitonic, all threads of the block. Ends with a barrier. */
__device__ inline void sort_descending(Key* keys, int size) {
  __syncthreads();
  for (int span = 2; span <= size; span *= 2)
    for (int step = span / 2; step > 0; step /= 2) {
      for (int t = threadIdx.x; t < size / 2; t += blockDim.x) {
        const int low = (t & (step - 1)) | (t & ~(step - 1)) << 1;
        const Key a = keys[low], b = keys[low + step];
        const bool descending = (low & span) == 0;
        if ((a < b) == descending) {
          keys[low] = b;
          keys[low + step] = a;
        }
      }
      // In steps of up to 32 each warp stays within the same 64 keys.
      const int next = step > 1 ? step / 2 : span;
      if (step > 32 || next > 32)
        __syncthreads();
      else
        __syncwarp();
    }
  __syncthreads();
}

/* The sum of `value` over the threads before this one, and over all in `total`. `warp_sums`: one int for each warp. */
__device__ inline int sum_before(int value, int* warp_sums, int* total) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  int sum = value;
  for (int step = 1; step < 32; step *= 2) {
    const int other = __shfl_up_sync(0xFFFFFFFFu, sum, step);
    if (lane >= step) sum += other;
  }
  if (lane == 31) warp_sums[warp] = sum;
  __syncthreads();
  int before = 0, all = 0;
  for (int w = 0; w < warps; w++) {
    if (w < warp) before += warp_sums[w];
    all += warp_sums[w];
  }
  __syncthreads();
  *total = all;
  return before + sum - value;
}

}  // namespace cuda
}  // namespace pumer

#endif

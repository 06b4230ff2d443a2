/*
 * 16-bit floats as bits, and four elements of any type as four float32. Included by level.cpp once per instruction set,
 * so everything here is static: no two sets may share a function.
 */
#ifndef PUMER_CPU_FLOATS_H
#define PUMER_CPU_FLOATS_H

#include <stdint.h>
#include <string.h>

#if defined(__F16C__)
#include <immintrin.h>
#endif

namespace {

typedef float F4 __attribute__((vector_size(16)));
typedef double D4 __attribute__((vector_size(32)));

struct Half {
  uint16_t bits;
};
struct Bfloat {
  uint16_t bits;
};

inline float as_float(uint32_t bits) {
  float f;
  memcpy(&f, &bits, 4);
  return f;
}

inline uint32_t as_bits(float f) {
  uint32_t bits;
  memcpy(&bits, &f, 4);
  return bits;
}

inline float widen(Half h) {
  const uint32_t sign = static_cast<uint32_t>(h.bits & 0x8000u) << 16;
  const uint32_t magnitude = h.bits & 0x7FFFu;
  // Subnormals and normals alike: the bits read as a float32 are the value times 2^-112.
  if (magnitude < 0x7C00u) return as_float(as_bits(as_float(magnitude << 13) * 0x1p112f) | sign);
  return as_float(0x7F800000u | (magnitude & 0x3FFu) << 13 | sign);
}

inline float widen(Bfloat b) { return as_float(static_cast<uint32_t>(b.bits) << 16); }
inline float widen(float f) { return f; }
inline float widen(double d) { return static_cast<float>(d); }

/* To nearest, ties to even. */
inline Half narrow(float f, Half) {
  const uint32_t bits = as_bits(f);
  const uint16_t sign = static_cast<uint16_t>(bits >> 16 & 0x8000u);
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) return {static_cast<uint16_t>(sign | 0x7E00u | (magnitude >> 13 & 0x3FFu))};
  if (magnitude >= 0x477FF000u) return {static_cast<uint16_t>(sign | 0x7C00u)};
  if (magnitude < 0x38800000u) {
    // Adding 0.5 leaves the subnormal's bits in the last ten, rounded by the addition itself.
    return {static_cast<uint16_t>(sign | (as_bits(as_float(magnitude) + 0.5f) - as_bits(0.5f)))};
  }
  return {static_cast<uint16_t>(sign | ((magnitude - 0x38000000u + 0xFFFu + (magnitude >> 13 & 1u)) >> 13))};
}

inline Bfloat narrow(float f, Bfloat) {
  const uint32_t bits = as_bits(f);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return {static_cast<uint16_t>(bits >> 16 | 0x40u)};
  return {static_cast<uint16_t>((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16)};
}

inline float narrow(float f, float) { return f; }

inline F4 load4(const float* p) {
  F4 x;
  memcpy(&x, p, sizeof x);
  return x;
}

inline F4 load4(const Half* p) {
#if defined(__F16C__)
  return static_cast<F4>(_mm_cvtph_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
#else
  return F4{widen(p[0]), widen(p[1]), widen(p[2]), widen(p[3])};
#endif
}

inline F4 load4(const Bfloat* p) { return F4{widen(p[0]), widen(p[1]), widen(p[2]), widen(p[3])}; }

inline F4 load4(const double* p) {
  D4 x;
  memcpy(&x, p, sizeof x);
  return __builtin_convertvector(x, F4);
}

inline void store4(float* p, F4 x) { memcpy(p, &x, sizeof x); }

inline void store4(Half* p, F4 x) {
#if defined(__F16C__)
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_cvtps_ph(static_cast<__m128>(x), _MM_FROUND_TO_NEAREST_INT));
#else
  for (int i = 0; i < 4; i++) p[i] = narrow(x[i], Half{});
#endif
}

inline void store4(Bfloat* p, F4 x) {
  for (int i = 0; i < 4; i++) p[i] = narrow(x[i], Bfloat{});
}

}  // namespace

#endif

/*
 * What is compiled once per instruction set: the loops over elements. Everything that decides something is in plan.h,
 * and compiled once. A level is a table of functions; all levels give the same bits (pumer/token_reduce.h, Numerics).
 */
#ifndef PUMER_CPU_LEVEL_H
#define PUMER_CPU_LEVEL_H

#include "pumer/token_reduce.h"

namespace pumer::cpu {

/* Destinations are packed in columns padded to a multiple of this; so are key panels. */
constexpr int64_t kColumns = 32;

/* Rows that any level multiplies at a time, at most. */
constexpr int64_t kMostRows = 8;

static constexpr int64_t padded(int64_t n) { return (n + kColumns - 1) / kColumns * kColumns; }

/* Floats of scratch that `looks_from_queries` takes. */
static constexpr int64_t looks_scratch(int64_t query_width, int64_t key_count) {
  return kMostRows * query_width + query_width * kColumns + kMostRows * padded(key_count);
}

/* The destinations of one row of the batch, packed for matching. */
struct Destinations {
  const float* columns;  /* [d][padded]: unit keys less the centre */
  const float* closed;   /* [padded]: 0, or minus infinity where a column may not be chosen */
  int64_t padded;
  int64_t count;
};

struct Level {
  const char* name;

  /* Numerics 1: looks[v] of head h of row b, v < n. */
  void (*looks_from_attention)(const pumer_token_reduce& call, int64_t b, int64_t h, double* looks);

  /* Numerics 1': the same from queries and keys. */
  void (*looks_from_queries)(const pumer_token_reduce& call, int64_t b, int64_t h, float* scratch, double* looks);

  /* Numerics 3: keys [count] (pointers to rows of d) as unit vectors, rows of `units`. */
  void (*unit_keys)(const float* const* keys, int64_t count, int64_t d, float* units);

  /* Numerics 4: the best open destination of each of `rows` sources [rows][d], and how similar. */
  void (*match)(const float* sources, int64_t rows, int64_t d, const Destinations& to, float* best, int32_t* place);

  /* Numerics 4: f32 fma chain of a and b. */
  float (*dot)(const float* a, const float* b, int64_t d);

  /* Numerics 5: one token [width] of `type` from `count` rows and their shares; `total` divides. */
  void (*mean)(int type, const void* const* rows, const double* shares, int64_t count, double total, int64_t width,
               void* out);
};

extern const Level kScalar;
#if defined(__x86_64__)
extern const Level kAvx2;
extern const Level kAvx512;
#endif

}  // namespace pumer::cpu

#endif

/*
 * The token reducer as plain C: what the custom ops call, and what tests and other hosts may call without ONNX Runtime.
 * docs/semantics.md says what is computed; this header says how a call looks and in which order it rounds.
 *
 * Numerics. Every backend and instruction set rounds in this order, so all give the same bits (NaN payloads apart).
 * f32 and f64 name the type of a rounding; "ascending" is the order of a sum; 16-bit inputs are widened exactly.
 *
 *  1 Looks, from attention A:  t[h] = sum over r ascending of f64(u[r]) * f64(f32(A[h][r][v])), in f64, from 0.
 *      u is row_weight in safe, 1 in pumer. 64-bit attention is rounded to f32 first.
 *  1'Looks, from queries and keys:  x[r][l] = f32(f32(dot * scale) + bias), dot a chain of f32 fma over the query's
 *      elements ascending from 0;  m = the largest x of the row;  e[l] = exp of f32(x - m) as in pumer/exp.h;
 *      z = sum of e in f64: 16 partial sums, l mod 16, each ascending, then part[i] += part[i + s] for s = 8, 4, 2, 1;
 *      t[h] = sum over r ascending of f64(u[r] / z) * f64(e[first + v]), product and sum rounded to f64 one by one.
 *  2 Saliency:  s[v] = f32((sum over h ascending of t[h]) / (sum over r ascending of f64(row_weight[r]))), all in f64.
 *      NaN becomes the lowest finite f32.
 *  3 Unit keys:  u[i] = f32(f64(key[i]) * (1 / max(sqrt(sum ascending of f64 key[i]^2), 1e-12))), f64; NaN stays.
 *  4 Similarity of a source a and a destination b, c the unit key of the lane's first token (NaN in c: 0):
 *      rel = chain of f32 fma ascending from 0 over a[i] * f32(b[i] - c[i]), NaN becomes -8;
 *      base = the same over a[i] * c[i], NaN becomes 0;  score = f32(best rel + base).
 *  5 Means, from 0, the token itself first, then its sources in ascending position, all in f64, product and sum
 *    rounded one by one:
 *      safe:  (w x + sum of w_s x_s) * (1 / (w + sum of w_s));  pumer:  (x + sum of x_s) * (1 / (1 + their number)).
 *      The result is rounded to f32, then to the tokens' type; 64-bit tokens divide instead and stay in f64.
 *      Weights: safe f32(w + sum of w_s); pumer f32((w + sum of w_s) / (1 + number)).
 *      A token that nothing (safe: nothing with a weight) goes into is copied bit for bit.
 *
 * Orders are total: the larger goes first, -0 equals 0, ties go to the lower index.
 */
#ifndef PUMER_TOKEN_REDUCE_H
#define PUMER_TOKEN_REDUCE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define PUMER_API __declspec(dllexport)
#else
#define PUMER_API __attribute__((visibility("default")))
#endif

enum pumer_type { PUMER_FLOAT32 = 0, PUMER_FLOAT16 = 1, PUMER_BFLOAT16 = 2, PUMER_FLOAT64 = 3 };
enum pumer_semantics { PUMER_SAFE = 0, PUMER_PUMER = 1 };

/* Where saliency comes from. */
enum pumer_looks {
  PUMER_FROM_ATTENTION = 0, /* attention after its softmax, text rows only */
  PUMER_FROM_QUERIES = 1    /* text queries and all keys; the softmax is computed here */
};

/* A tensor of four axes, strides in elements; 0 where an axis of length 1 serves for all. The last stride is 0 or 1. */
typedef struct pumer_view {
  const void* data;
  int64_t stride[4];
} pumer_view;

/*
 * One call. B rows of a batch, n tokens of width D, H heads, R text rows. Tensors are dense and row-major unless a view
 * says otherwise. On CUDA all pointers are device memory but `protected_positions`, which is always host memory.
 * Outputs may not overlap inputs.
 */
typedef struct pumer_token_reduce {
  int32_t semantics;
  int32_t type;       /* pumer_type of tokens and reduced */
  int32_t looks;      /* pumer_looks */
  int32_t looks_type; /* pumer_type of attention, or of queries, keys and bias */

  int64_t batch, tokens_in, width, metric_width, heads, rows;
  int64_t keep;  /* tokens left after pruning, 0 < keep <= n (n = 0: keep = 0) */
  int64_t merge; /* tokens merged away: at most the number of sources (pumer: but the first) */

  const void* tokens;       /* [B, n, D] */
  pumer_view attention;     /* [B, H, R, n]; PUMER_FROM_ATTENTION */
  pumer_view queries;       /* [B, H, R, query_width]; this and the next five: PUMER_FROM_QUERIES */
  pumer_view keys;          /* [B, H, query_width, key_count]: as the product takes them */
  pumer_view bias;          /* [B, H, R, key_count] added after scaling; data null: none */
  int64_t query_width, key_count;
  int64_t first;            /* the key of token 0: first + n <= key_count */
  float scale;
  const float* row_weight;  /* [B|1, R] */
  int64_t row_weight_stride; /* R, or 0 */
  const float* metric;      /* [B, n, metric_width] */
  const float* weight;      /* [B, n] */
  const int64_t* protected_positions; /* host, [protected_count]; negative from the end; beyond the lane: ignored */
  int64_t protected_count;

  void* reduced;     /* [B, keep - merge, D] */
  float* weight_out; /* [B, keep - merge]; each of the last three may be null */
  int64_t* target;   /* [B, n]: place in the output, -1 where pruned */
  int64_t* position; /* [B, keep - merge]: place each had in the lane */
} pumer_token_reduce;

/*
 * Null where the call is well formed, else a sentence that says what is wrong, in `message`. Looks at counts, types and
 * sizes only, never at device memory. `pumer_token_reduce_cpu` and `_cuda` expect a call that passed.
 */
PUMER_API const char* pumer_token_reduce_check(const pumer_token_reduce* call, char* message, size_t capacity);

/* Runs fn(user, i) for i in [0, count), in any order, on any threads, and returns when all are done. */
typedef void (*pumer_parallel_for)(void* context, void (*fn)(void* user, size_t i), size_t count, void* user);

enum pumer_level { PUMER_LEVEL_BEST = -1, PUMER_LEVEL_SCALAR = 0, PUMER_LEVEL_AVX2 = 1, PUMER_LEVEL_AVX512 = 2 };

/* The best level of this processor, and its name ("scalar", "avx2", "avx512"). */
PUMER_API int pumer_cpu_level(void);
PUMER_API const char* pumer_cpu_level_name(int level);

/* Bytes of scratch memory of a call. */
PUMER_API size_t pumer_token_reduce_cpu_scratch(const pumer_token_reduce* call);

/*
 * Runs the call. `scratch` is 64-byte aligned. `parallel_for` may be null: then this thread does all. A level that the
 * processor lacks becomes the best it has. Never allocates, never fails.
 */
PUMER_API void pumer_token_reduce_cpu(const pumer_token_reduce* call, void* scratch, int level,
                                      pumer_parallel_for parallel_for, void* context);

/* 1 where the library was built with CUDA; the two functions below are there in both cases. */
PUMER_API int pumer_has_cuda(void);

/* Bytes of device scratch memory. At most 4096 tokens a row. */
PUMER_API size_t pumer_token_reduce_cuda_scratch(const pumer_token_reduce* call);

/*
 * Enqueues the call on `stream` (a cudaStream_t); returns 0, or a cudaError_t, whose name goes to `message`. Never
 * synchronises, never allocates. -1: built without CUDA, or more than 4096 tokens.
 */
PUMER_API int pumer_token_reduce_cuda(const pumer_token_reduce* call, void* scratch, void* stream, char* message,
                                      size_t capacity);

#ifdef __cplusplus
}
#endif

#endif

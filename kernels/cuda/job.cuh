/*
 * One call as the kernels see it: sizes, the caller's device memory and the scratch memory of the stages, in the order
 * in which the stages fill it. Passed to every kernel by value.
 */
#ifndef PUMER_CUDA_JOB_CUH
#define PUMER_CUDA_JOB_CUH

#include "device.cuh"
#include "pumer/token_reduce.h"

namespace pumer {
namespace cuda {

constexpr int MAX_TOKENS = 4096;
constexpr int ROW_THREADS = 512; /* of a block that works on one row of the batch */

struct Job {
  pumer_token_reduce call;
  bool safe;
  bool ranks;      /* saliency decides: not every token that may be a candidate is one, or it sets their order */
  bool vectors;    /* tokens can be moved 16 bytes at a time */
  int tokens;      /* n */
  int candidates;  /* that take part in matching */
  int merge;
  int left;        /* keep - merge */
  int64_t pairs_at_once; /* pairs of batch row and head whose scores fit into `scores`; PUMER_FROM_QUERIES */

  double* looks;     /* [B, H, n] */
  float* scores;     /* [pairs_at_once, R, key_count] before the exponential */
  float* largest;    /* [pairs_at_once, R] of a row of scores */
  double* share;     /* [pairs_at_once, R] a row's weight over the sum of its exponentials */
  float* saliency;   /* [B, n] */
  int* candidate;    /* [B, candidates] positions in matching order: even places sources, odd ones destinations */
  int* has_real;     /* [B] a destination with a weight is there; safe */
  float* unit;       /* [B, n, metric_width] metric of length 1 */
  Key* best;         /* [B, sources] similarity and place of the best destination; 0: none */
  float* base;       /* [B, sources] what is added to that similarity for the score */
  int* survivor;     /* [B, left] position of each output token */
  int* first_source; /* [B, left + 1] where each output token's sources begin in `source` */
  int* source;       /* [B, merge] positions, by output token, then ascending */

  __host__ __device__ int sources() const { return (candidates + 1) / 2; }
  __host__ __device__ int destinations() const { return candidates / 2; }
};

/* The protected positions, one bit each: host memory, so they travel as a parameter of the kernels that ask. */
struct Protected {
  uint32_t words[MAX_TOKENS / 32];
  __host__ __device__ bool has(int position) const { return words[position / 32] >> (position % 32) & 1; }
};

/* Launches kernel(args...) with as many of `blocks` as a grid can have; kernels loop over the rest. None: no launch. */
template <typename... Parameters, typename... Arguments>
cudaError_t launch(void (*kernel)(Parameters...), int64_t blocks, int threads, cudaStream_t stream,
                   const Arguments&... args) {
  if (blocks <= 0) return cudaSuccess;
  constexpr int64_t MOST = 0x7FFFFFFF;
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(blocks < MOST ? blocks : MOST));
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.stream = stream;
  return cudaLaunchKernelEx(&config, kernel, args...);
}

/* The stages in order. Each enqueues its kernels. */
cudaError_t enqueue_looks(const Job& job, cudaStream_t stream);
cudaError_t enqueue_select(const Job& job, const Protected& is_protected, cudaStream_t stream);
cudaError_t enqueue_match(const Job& job, cudaStream_t stream);
cudaError_t enqueue_plan(const Job& job, const Protected& is_protected, cudaStream_t stream);
cudaError_t enqueue_apply(const Job& job, cudaStream_t stream);

}  // namespace cuda
}  // namespace pumer

#endif

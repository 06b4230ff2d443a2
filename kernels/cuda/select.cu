/*
 * Second stage: saliency, and which tokens may be matched, in matching order. One block for each row of the batch.
 * Ranks by unique 64-bit keys, so ties, -0 and the way of sorting decide nothing.
 */
#include "job.cuh"

namespace pumer {
namespace cuda {
namespace {

/* Saliency of the row's tokens: heads in order, over the sum of the text rows' weights. NaN ranks below any number. */
__device__ void find_saliency(const Job& job, int64_t b) {
  const pumer_token_reduce& call = job.call;
  double rows = 0;
  for (int64_t r = 0; r < call.rows; r++)
    rows = add(rows, static_cast<double>(call.row_weight[b * call.row_weight_stride + r]));
  for (int v = threadIdx.x; v < job.tokens; v += ROW_THREADS) {
    double sum = 0;
#pragma unroll 4
    for (int64_t h = 0; h < call.heads; h++) sum = add(sum, job.looks[(b * call.heads + h) * job.tokens + v]);
    const float s = narrow(divide(sum, rows));
    job.saliency[b * job.tokens + v] = s == s ? s : -3.4028234663852886e38f;
  }
  __syncthreads();
}

__global__ void __launch_bounds__(ROW_THREADS, 2)
    select(const Job job, const __grid_constant__ Protected is_protected) {
  __shared__ Key keys[MAX_TOKENS];
  __shared__ int warp_sums[ROW_THREADS / 32];
  __shared__ int has_real;
  const int n = job.tokens, count = job.candidates;
  for (int64_t b = blockIdx.x; b < job.call.batch; b += gridDim.x) {
    const float* saliency = job.saliency + b * n;
    int* candidate = job.candidate + b * count;
    Key least = 0;
    if (job.ranks) {
      find_saliency(job, b);
      const int size = sortable_size(n);
      for (int v = threadIdx.x; v < size; v += ROW_THREADS) {
        const bool may = v < n && !(job.safe && is_protected.has(v));
        keys[v] = may ? ranking_key(saliency[v], v) : 0;
      }
      sort_descending(keys, size);
      least = keys[count - 1];
    }
    if (!job.safe) {
      for (int i = threadIdx.x; i < count; i += ROW_THREADS) candidate[i] = index_of(keys[i]);
    } else {
      // Original order: each thread has a run of neighbouring positions.
      const int run = (n + ROW_THREADS - 1) / ROW_THREADS, begin = threadIdx.x * run;
      const auto is_candidate = [&](int v) {
        return v < n && !is_protected.has(v) && (!job.ranks || ranking_key(saliency[v], v) >= least);
      };
      int own = 0, total;
      for (int v = begin; v < begin + run; v++) own += is_candidate(v);
      int place = sum_before(own, warp_sums, &total);
      for (int v = begin; v < begin + run; v++)
        if (is_candidate(v)) candidate[place++] = v;
    }
    // What matching starts from.
    if (threadIdx.x == 0) has_real = 0;
    __syncthreads();
    const float* weight = job.call.weight + b * n;
    for (int j = threadIdx.x; j < job.destinations(); j += ROW_THREADS)
      if (weight[candidate[2 * j + 1]] > 0.0f) atomicOr(&has_real, 1);
    for (int p = threadIdx.x; p < job.sources(); p += ROW_THREADS) job.best[b * job.sources() + p] = 0;
    __syncthreads();
    if (threadIdx.x == 0) job.has_real[b] = has_real;
  }
}

}  // namespace

cudaError_t enqueue_select(const Job& job, const Protected& is_protected, cudaStream_t stream) {
  return launch(select, job.call.batch, ROW_THREADS, stream, job, is_protected);
}

}  // namespace cuda
}  // namespace pumer

/*
 * Fourth stage: which sources leave, where every token of the row ends, and the sources of each output token. One block
 * for each row of the batch. docs/semantics.md has the rules; the order of everything is that of the function's body.
 */
#include "job.cuh"

namespace pumer {
namespace cuda {
namespace {

/* The order of sources among the leavers of one row: by score, then by place. 0: never leaves. */
struct Leaving {
  const Job& job;
  const float* weight;  /* of the row */
  const int* candidate; /* of the row */
  int64_t first;        /* of the row's sources in the batch */

  __device__ Key key(int place) const {
    if (!job.safe && place == 0) return 0;
    float score = float_of(0x7F800000u);  // PAD leaves first
    if (!job.safe || weight[candidate[2 * place]] > 0.0f) {
      const Key best = job.best[first + place];
      score = best == 0 ? -score : add(number_of(static_cast<uint32_t>(best >> 32)), job.base[first + place]);
    }
    return ranking_key(score, place);
  }

  /* The position that a source goes into; -1 where the row has no destination. */
  __device__ int destination(int place) const {
    const Key best = job.best[first + place];
    return best == 0 ? -1 : candidate[2 * index_of(best) + 1];
  }
};

/* Sources of the output tokens as sort keys: by output token, then by position. Never 0. */
__device__ inline Key source_key(int output, int position) {
  return static_cast<Key>(0xFFFF - output) << 16 | static_cast<Key>(0xFFFF - position);
}

/* How many of `count` keys, sorted, are larger than `bound`. */
__device__ inline int count_above(const Key* keys, int count, Key bound) {
  int low = 0, high = count;
  while (low < high) {
    const int middle = (low + high) / 2;
    if (keys[middle] > bound)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/*
 * The place in the output of each of the row's tokens that stays: `safe`. `place` marks candidates that stay with 0.
 * Original order; where positions were protected twice and too few tokens are left, the first others follow.
 */
__device__ void place_in_original_order(const Job& job, const Protected& is_protected, int* place, int* warp_sums) {
  const int run = (job.tokens + ROW_THREADS - 1) / ROW_THREADS, begin = threadIdx.x * run;
  const int end = begin + run < job.tokens ? begin + run : job.tokens;
  int own = 0, all;
  for (int v = begin; v < end; v++) own += place[v] == 0 || is_protected.has(v);
  int staying = sum_before(own, warp_sums, &all);
  for (int v = begin; v < end; v++) {
    const bool stays = place[v] == 0 || is_protected.has(v);
    const int at = stays ? staying : all + v - staying;
    staying += stays;
    place[v] = at < job.left ? at : -1;
  }
}

/* The same in `pumer`: sources by place, then all destinations; as they came where nothing is removed. */
template <typename Leaves>
__device__ void place_best_first(const Job& job, const int* candidate, const Leaves& leaves, int* place,
                                 int* warp_sums) {
  if (job.left == job.tokens) {
    for (int v = threadIdx.x; v < job.tokens; v += ROW_THREADS) place[v] = v;
    return;
  }
  const int run = (job.sources() + ROW_THREADS - 1) / ROW_THREADS, begin = threadIdx.x * run;
  const int end = begin + run < job.sources() ? begin + run : job.sources();
  int own = 0, all;
  for (int p = begin; p < end; p++) own += !leaves(p);
  int at = sum_before(own, warp_sums, &all);
  for (int p = begin; p < end; p++)
    if (!leaves(p)) place[candidate[2 * p]] = at++;
  for (int j = threadIdx.x; j < job.destinations(); j += ROW_THREADS) place[candidate[2 * j + 1]] = all + j;
}

__global__ void __launch_bounds__(ROW_THREADS, 2) plan(const Job job, const __grid_constant__ Protected is_protected) {
  __shared__ Key keys[MAX_TOKENS / 2];
  __shared__ int place[MAX_TOKENS];
  __shared__ int warp_sums[ROW_THREADS / 32];
  const int n = job.tokens, sources = job.sources(), size = sortable_size(sources);
  for (int64_t b = blockIdx.x; b < job.call.batch; b += gridDim.x) {
    const int* candidate = job.candidate + b * job.candidates;
    const Leaving leaving{job, job.call.weight + b * n, candidate, b * sources};

    Key least = ~Key{0};  // of those that leave
    if (job.merge > 0) {
      for (int p = threadIdx.x; p < size; p += ROW_THREADS) keys[p] = p < sources ? leaving.key(p) : 0;
      sort_descending(keys, size);
      least = keys[job.merge - 1];
    }
    const auto leaves = [&](int p) { return job.merge > 0 && leaving.key(p) >= least; };

    for (int v = threadIdx.x; v < n; v += ROW_THREADS) place[v] = -1;
    __syncthreads();
    if (job.safe) {
      for (int i = threadIdx.x; i < job.candidates; i += ROW_THREADS)
        if (i % 2 == 1 || !leaves(i / 2)) place[candidate[i]] = 0;
      __syncthreads();
      place_in_original_order(job, is_protected, place, warp_sums);
    } else {
      place_best_first(job, candidate, leaves, place, warp_sums);
    }
    __syncthreads();

    for (int v = threadIdx.x; v < n; v += ROW_THREADS) {
      if (job.call.target != nullptr) job.call.target[b * n + v] = place[v];
      if (place[v] < 0) continue;
      job.survivor[b * job.left + place[v]] = v;
      if (job.call.position != nullptr) job.call.position[b * job.left + place[v]] = v;
    }
    __syncthreads();  // a token can be both, and is where its destination is then
    for (int p = threadIdx.x; job.merge > 0 && p < size; p += ROW_THREADS) {
      keys[p] = 0;
      if (p >= sources || !leaves(p)) continue;
      const int into = leaving.destination(p), output = into < 0 ? -1 : place[into];
      if (job.call.target != nullptr) job.call.target[b * n + candidate[2 * p]] = output;
      if (output >= 0) keys[p] = source_key(output, candidate[2 * p]);
    }
    if (job.merge > 0) sort_descending(keys, size);
    for (int j = threadIdx.x; j <= job.left; j += ROW_THREADS)
      job.first_source[b * (job.left + 1) + j] = count_above(keys, job.merge, source_key(j, 0));
    for (int i = threadIdx.x; i < job.merge; i += ROW_THREADS)
      job.source[b * job.merge + i] = 0xFFFF - static_cast<int>(keys[i] & 0xFFFF);
    __syncthreads();
  }
}

}  // namespace

cudaError_t enqueue_plan(const Job& job, const Protected& is_protected, cudaStream_t stream) {
  return launch(plan, job.call.batch, ROW_THREADS, stream, job, is_protected);
}

}  // namespace cuda
}  // namespace pumer

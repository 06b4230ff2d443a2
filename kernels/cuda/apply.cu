/*
 * Last stage: moves and averages the tokens, one warp for each output token. Nearly all bytes of a call move here, so
 * the loads are 16 bytes wide where the memory allows. A token that nothing goes into is copied, bit for bit.
 */
#include "job.cuh"

namespace pumer {
namespace cuda {
namespace {

constexpr int THREADS = 256;

/* COUNT neighbouring numbers, moved at once. */
template <typename T, int COUNT>
struct alignas(sizeof(T) * COUNT) Pack {
  T at[COUNT];
};

/* What goes into one output token. */
struct Group {
  const int* source;   /* positions */
  int count;
  const float* weight; /* of the row's tokens */
  double own;          /* the token's own share */
  double total;        /* sum of the shares */
  bool safe;

  __device__ double share(int i) const { return safe ? static_cast<double>(weight[source[i]]) : 1.0; }
};

/* The last rounding of a mean. 64-bit tokens are divided, for their last bit; the others multiplied, for time. */
template <typename T>
__device__ inline T mean(double sum, double, double inverse) {
  return rounded<T>::from(multiply(sum, inverse));
}
template <>
__device__ inline double mean<double>(double sum, double total, double) {
  return divide(sum, total);
}

/* One output token by one warp: `tokens` are the row's. */
template <typename T, int COUNT>
__device__ void average(const Pack<T, COUNT>* tokens, int64_t packs, int own, const Group& group,
                        Pack<T, COUNT>* out) {
  const double inverse = divide(1.0, group.total);
  for (int64_t at = threadIdx.x % 32; at < packs; at += 32) {
    double sum[COUNT];
    const Pack<T, COUNT> x = tokens[own * packs + at];
#pragma unroll
    for (int c = 0; c < COUNT; c++) sum[c] = add(0.0, multiply(group.own, to_double(x.at[c])));
    for (int i = 0; i < group.count; i++) {
      const Pack<T, COUNT> y = tokens[group.source[i] * packs + at];
      const double share = group.share(i);
#pragma unroll
      for (int c = 0; c < COUNT; c++) sum[c] = add(sum[c], multiply(share, to_double(y.at[c])));
    }
    Pack<T, COUNT> made;
#pragma unroll
    for (int c = 0; c < COUNT; c++) made.at[c] = mean<T>(sum[c], group.total, inverse);
    out[at] = made;
  }
}

template <typename T, int COUNT>
__global__ void __launch_bounds__(THREADS) apply(const Job job) {
  using Packed = Pack<T, COUNT>;
  const int64_t packs = job.call.width / COUNT, rows = job.call.batch * job.left;
  const int64_t at_once = int64_t{gridDim.x} * (THREADS / 32);
  for (int64_t row = blockIdx.x * int64_t{THREADS / 32} + threadIdx.x / 32; row < rows; row += at_once) {
    const int64_t b = row / job.left;
    const int own = job.survivor[row];
    const int* first_source = job.first_source + row + b;  // each row of the batch has one more
    Group group;
    group.source = job.source + b * job.merge + first_source[0];
    group.count = first_source[1] - first_source[0];
    group.weight = job.call.weight + b * job.tokens;
    group.safe = job.safe;
    const double own_weight = group.weight[own];
    double added = 0;
    for (int i = 0; i < group.count; i++) added = add(added, static_cast<double>(group.weight[group.source[i]]));
    group.own = job.safe ? own_weight : 1.0;
    group.total = job.safe ? add(own_weight, added) : 1.0 + group.count;
    if (job.call.weight_out != nullptr && threadIdx.x % 32 == 0)
      job.call.weight_out[row] = narrow(job.safe ? group.total : divide(add(own_weight, added), group.total));

    const Packed* tokens = static_cast<const Packed*>(job.call.tokens) + b * job.tokens * packs;
    Packed* out = static_cast<Packed*>(job.call.reduced) + row * packs;
    if (job.safe ? added > 0 : group.count > 0) {
      average<T, COUNT>(tokens, packs, own, group, out);
    } else {
#pragma unroll 4
      for (int64_t at = threadIdx.x % 32; at < packs; at += 32) out[at] = tokens[own * packs + at];
    }
  }
}

template <typename T>
cudaError_t enqueue(const Job& job, cudaStream_t stream) {
  const int64_t blocks = (job.call.batch * job.left + THREADS / 32 - 1) / (THREADS / 32);
  constexpr int COUNT = 16 / sizeof(T);
  if (job.vectors) return launch(apply<T, COUNT>, blocks, THREADS, stream, job);
  return launch(apply<T, 1>, blocks, THREADS, stream, job);
}

}  // namespace

cudaError_t enqueue_apply(const Job& job, cudaStream_t stream) {
  switch (job.call.type) {
    case PUMER_FLOAT16: return enqueue<float16>(job, stream);
    case PUMER_BFLOAT16: return enqueue<bfloat16>(job, stream);
    case PUMER_FLOAT64: return enqueue<double>(job, stream);
    default: return enqueue<float>(job, stream);
  }
}

}  // namespace cuda
}  // namespace pumer

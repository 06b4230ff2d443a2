/*
 * First stage: how much the text looks at each token, for each head, in 64 bits. Either sums of rows of the attention,
 * or, from queries and keys, softmax rows that are computed here and never stored whole: scores of a few heads at a
 * time, then each row's largest score and sum, then the sums over rows.
 */
#include "job.cuh"

namespace pumer {
namespace cuda {
namespace {

constexpr int THREADS = 256;
constexpr int ROWS = 32, KEYS = 64, DEPTH = 32; /* tile of scores, and how much of the dot products is staged at once */

template <typename T>
__device__ inline const T* matrix_of(const pumer_view& view, int64_t b, int64_t h) {
  return static_cast<const T*>(view.data) + b * view.stride[0] + h * view.stride[1];
}

/* One thread for each token of each head. */
template <typename T>
__global__ void __launch_bounds__(THREADS) looks_from_attention(const Job job) {
  const pumer_token_reduce& call = job.call;
  const int64_t total = call.batch * call.heads * job.tokens;
  for (int64_t at = blockIdx.x * int64_t{THREADS} + threadIdx.x; at < total; at += int64_t{gridDim.x} * THREADS) {
    const int64_t pair = at / job.tokens, v = at % job.tokens;
    const int64_t b = pair / call.heads, h = pair % call.heads;
    const float* row_weight = call.row_weight + b * call.row_weight_stride;
    const T* looked = matrix_of<T>(call.attention, b, h) + v * call.attention.stride[3];
    double sum = 0;
#pragma unroll 4
    for (int64_t r = 0; r < call.rows; r++) {
      const double u = job.safe ? row_weight[r] : 1.0;
      sum = add(sum, multiply(u, static_cast<double>(widen(looked[r * call.attention.stride[2]]))));
    }
    job.looks[at] = sum;
  }
}

/* Scores of `pairs` pairs of batch row and head from `first_pair` on: tiles of ROWS x KEYS, 2 x 4 for each thread. */
template <typename T>
__global__ void __launch_bounds__(THREADS, 3) scores(const Job job, int64_t first_pair, int64_t pairs) {
  __shared__ float query[DEPTH][ROWS + 1];
  __shared__ float key[DEPTH][KEYS + 1];
  const pumer_token_reduce& call = job.call;
  const int64_t row_tiles = (call.rows + ROWS - 1) / ROWS, key_tiles = (call.key_count + KEYS - 1) / KEYS;
  const int x = threadIdx.x % 16, y = threadIdx.x / 16;
  for (int64_t work = blockIdx.x; work < pairs * row_tiles * key_tiles; work += gridDim.x) {
    const int64_t pair = work / (row_tiles * key_tiles), tile = work % (row_tiles * key_tiles);
    const int64_t b = (first_pair + pair) / call.heads, h = (first_pair + pair) % call.heads;
    const int64_t row = tile / key_tiles * ROWS, column = tile % key_tiles * KEYS;
    const T* queries = matrix_of<T>(call.queries, b, h) + row * call.queries.stride[2];
    const T* keys = matrix_of<T>(call.keys, b, h) + column;
    const int rows = static_cast<int>(call.rows - row < ROWS ? call.rows - row : ROWS);
    const int columns = static_cast<int>(call.key_count - column < KEYS ? call.key_count - column : KEYS);
    float dot[2][4] = {};
    for (int64_t begin = 0; begin < call.query_width; begin += DEPTH) {
      const int depth = static_cast<int>(call.query_width - begin < DEPTH ? call.query_width - begin : DEPTH);
      __syncthreads();
#pragma unroll
      for (int t = threadIdx.x; t < ROWS * DEPTH; t += THREADS) {
        const int i = t % DEPTH, r = t / DEPTH;
        query[i][r] = i < depth && r < rows ? widen(queries[r * call.queries.stride[2] + begin + i]) : 0.0f;
      }
#pragma unroll
      for (int t = threadIdx.x; t < KEYS * DEPTH; t += THREADS) {
        const int l = t % KEYS, i = t / KEYS;
        key[i][l] = i < depth && l < columns ? widen(keys[(begin + i) * call.keys.stride[2] + l]) : 0.0f;
      }
      __syncthreads();
      for (int i = 0; i < depth; i++)
#pragma unroll
        for (int r = 0; r < 2; r++)
#pragma unroll
          for (int l = 0; l < 4; l++) dot[r][l] = fma_f32(query[i][y + 16 * r], key[i][x + 16 * l], dot[r][l]);
    }
#pragma unroll
    for (int r = 0; r < 2; r++)
#pragma unroll
      for (int l = 0; l < 4; l++) {
        const int i = y + 16 * r, j = x + 16 * l;
        if (i >= rows || j >= columns) continue;
        float score = multiply(dot[r][l], call.scale);
        if (call.bias.data != nullptr) {
          const T* bias = matrix_of<T>(call.bias, b, h) + (row + i) * call.bias.stride[2];
          score = add(score, widen(bias[(column + j) * call.bias.stride[3]]));
        }
        job.scores[(pair * call.rows + row + i) * call.key_count + column + j] = score;
      }
  }
}

/* Each row's largest score and its weight over the sum of its exponentials: 16 threads a row, which is what fixes the
   order of that sum. */
__global__ void __launch_bounds__(THREADS) shares(const Job job, int64_t first_pair, int64_t pairs) {
  const pumer_token_reduce& call = job.call;
  const int lane = threadIdx.x % 16;
  const int64_t rows = pairs * call.rows, at_once = int64_t{gridDim.x} * (THREADS / 16);
  // All threads of a warp take part in each round, as the exchange between them needs.
  for (int64_t begin = blockIdx.x * int64_t{THREADS / 16}; begin < rows; begin += at_once) {
    const int64_t at = begin + threadIdx.x / 16;
    const float* score = job.scores + (at < rows ? at : begin) * call.key_count;
    // A NaN is left out here and makes the sum NaN below.
    float largest = float_of(0xFF800000u);
    for (int64_t l = lane; l < call.key_count; l += 16) largest = score[l] > largest ? score[l] : largest;
    for (int step = 8; step > 0; step /= 2) {
      const float other = __shfl_xor_sync(0xFFFFFFFFu, largest, step);
      largest = other > largest ? other : largest;
    }
    double sum = 0;
    for (int64_t l = lane; l < call.key_count; l += 16)
      sum = add(sum, static_cast<double>(exp_nonpositive(subtract(score[l], largest))));
    for (int step = 8; step > 0; step /= 2) sum = add(sum, __shfl_xor_sync(0xFFFFFFFFu, sum, step));
    if (lane != 0 || at >= rows) continue;
    const int64_t b = (first_pair + at / call.rows) / call.heads, r = at % call.rows;
    const double u = job.safe ? call.row_weight[b * call.row_weight_stride + r] : 1.0;
    job.largest[at] = largest;
    job.share[at] = divide(u, sum);
  }
}

/* Sums over the rows, one thread for each token of each head. */
__global__ void __launch_bounds__(THREADS) looks_from_scores(const Job job, int64_t first_pair, int64_t pairs) {
  const pumer_token_reduce& call = job.call;
  const int64_t total = pairs * job.tokens;
  for (int64_t at = blockIdx.x * int64_t{THREADS} + threadIdx.x; at < total; at += int64_t{gridDim.x} * THREADS) {
    const int64_t row = at / job.tokens * call.rows, v = at % job.tokens;
    const float* score = job.scores + row * call.key_count + call.first + v;
    double sum = 0;
#pragma unroll 4
    for (int64_t r = 0; r < call.rows; r++) {
      const float e = exp_nonpositive(subtract(score[r * call.key_count], job.largest[row + r]));
      sum = add(sum, multiply(job.share[row + r], static_cast<double>(e)));
    }
    job.looks[first_pair * job.tokens + at] = sum;
  }
}

template <typename T>
cudaError_t enqueue(const Job& job, cudaStream_t stream) {
  const pumer_token_reduce& call = job.call;
  const auto blocks = [](int64_t items, int64_t each) { return (items + each - 1) / each; };
  const int64_t all = call.batch * call.heads;
  if (call.looks == PUMER_FROM_ATTENTION)
    return launch(looks_from_attention<T>, blocks(all * job.tokens, THREADS), THREADS, stream, job);
  for (int64_t first = 0; first < all; first += job.pairs_at_once) {
    const int64_t pairs = all - first < job.pairs_at_once ? all - first : job.pairs_at_once;
    const int64_t tiles = blocks(call.rows, ROWS) * blocks(call.key_count, KEYS);
    cudaError_t error = launch(scores<T>, pairs * tiles, THREADS, stream, job, first, pairs);
    if (error == cudaSuccess)
      error = launch(shares, blocks(pairs * call.rows, THREADS / 16), THREADS, stream, job, first, pairs);
    if (error == cudaSuccess)
      error = launch(looks_from_scores, blocks(pairs * job.tokens, THREADS), THREADS, stream, job, first, pairs);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

}  // namespace

cudaError_t enqueue_looks(const Job& job, cudaStream_t stream) {
  switch (job.call.looks_type) {
    case PUMER_FLOAT16: return enqueue<float16>(job, stream);
    case PUMER_BFLOAT16: return enqueue<bfloat16>(job, stream);
    case PUMER_FLOAT64: return enqueue<double>(job, stream);
    default: return enqueue<float>(job, stream);
  }
}

}  // namespace cuda
}  // namespace pumer

/*
 * Third stage: the best destination of each source. Keys are brought to length 1, then compared in tiles of 64 sources
 * by 64 destinations; the matrix of similarities is never stored. Tiles meet in a 64-bit integer maximum of similarity
 * and place, which is the same in whatever order they come.
 */
#include "job.cuh"

namespace pumer {
namespace cuda {
namespace {

constexpr int THREADS = 256;
constexpr int TILE = 64;  /* tokens in a tile */
constexpr int DEPTH = 32; /* how much of their keys is staged at once: one lane of a warp each */
constexpr float NAN_SIMILARITY = -8.0f;

/* Keys of length 1, 64 tokens a block. A length is one chain of additions, so one thread adds it up. */
__global__ void __launch_bounds__(THREADS) unit_keys(const Job job) {
  __shared__ float staged[TILE][DEPTH + 1];
  __shared__ double inverse[TILE];
  const int64_t width = job.call.metric_width, all = job.call.batch * job.tokens;
  const int thread = threadIdx.x, lane = thread % 32, warp = thread / 32;
  for (int64_t first = blockIdx.x * int64_t{TILE}; first < all; first += int64_t{gridDim.x} * TILE) {
    const int count = static_cast<int>(all - first < TILE ? all - first : TILE);
    double sum = 0;
    for (int64_t begin = 0; begin < width; begin += DEPTH) {
      const int depth = static_cast<int>(width - begin < DEPTH ? width - begin : DEPTH);
      __syncthreads();
      for (int t = warp; t < count; t += THREADS / 32)
        if (lane < depth) staged[t][lane] = job.call.metric[(first + t) * width + begin + lane];
      __syncthreads();
      if (thread < count)
        for (int i = 0; i < depth; i++) {
          const double x = staged[thread][i];
          sum = add(sum, multiply(x, x));
        }
    }
    if (thread < count) {
      const double length = square_root(sum);
      inverse[thread] = divide(1.0, length < 1e-12 ? 1e-12 : length);  // a NaN stays
    }
    __syncthreads();
    for (int t = warp; t < count; t += THREADS / 32)
      for (int64_t i = lane; i < width; i += 32) {
        const int64_t at = (first + t) * width + i;
        job.unit[at] = narrow(multiply(static_cast<double>(job.call.metric[at]), inverse[t]));
      }
    __syncthreads();
  }
}

/* The same element of four neighbouring tokens' keys, read at once; of a tile's, with room that spreads the writes. */
struct alignas(16) Four {
  float at[4];
};
constexpr int FOURS = TILE / 4 + 1;

__global__ void __launch_bounds__(THREADS, 3) match(const Job job) {
  __shared__ Four source[DEPTH][FOURS];
  __shared__ Four destination[DEPTH][FOURS];  // less the centre, the lane's first token
  __shared__ float centre[DEPTH];
  __shared__ int source_position[TILE], destination_position[TILE];  // -1: none to compare
  const int64_t width = job.call.metric_width;
  const int64_t source_tiles = (job.sources() + TILE - 1) / TILE, tiles = (job.destinations() + TILE - 1) / TILE;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, x = threadIdx.x % 16, y = threadIdx.x / 16;
  for (int64_t work = blockIdx.x; work < job.call.batch * source_tiles * tiles; work += gridDim.x) {
    const int64_t b = work / (source_tiles * tiles), tile = work % (source_tiles * tiles);
    const int first_source = static_cast<int>(tile / tiles) * TILE, first = static_cast<int>(tile % tiles) * TILE;
    const float* unit = job.unit + b * job.tokens * width;
    __syncthreads();
    if (threadIdx.x < 2 * TILE) {
      const bool is_source = threadIdx.x < TILE;
      const int place = is_source ? first_source + threadIdx.x : first + threadIdx.x - TILE;
      int position = -1;
      if (place < (is_source ? job.sources() : job.destinations()))
        position = job.candidate[b * job.candidates + 2 * place + !is_source];
      if (!is_source && position >= 0 && job.safe && job.has_real[b] != 0 &&
          !(job.call.weight[b * job.tokens + position] > 0.0f))
        position = -1;  // PAD is a destination only where the row has no other
      int* positions = is_source ? source_position : destination_position;
      positions[threadIdx.x % TILE] = position;
    }

    float relative[4][4] = {}, base[4] = {};
    const bool with_base = first == 0 && x == 0;
    for (int64_t begin = 0; begin < width; begin += DEPTH) {
      const int depth = static_cast<int>(width - begin < DEPTH ? width - begin : DEPTH);
      __syncthreads();
      const float c = lane < depth ? unit[begin + lane] : 0.0f, middle = c == c ? c : 0.0f;
      if (warp == 0) centre[lane] = middle;
      for (int t = warp; t < TILE; t += THREADS / 32) {
        const int s = source_position[t], d = destination_position[t];
        source[lane][t / 4].at[t % 4] = s >= 0 && lane < depth ? unit[s * width + begin + lane] : 0.0f;
        destination[lane][t / 4].at[t % 4] =
            d >= 0 && lane < depth ? subtract(unit[d * width + begin + lane], middle) : 0.0f;
      }
      __syncthreads();
      for (int i = 0; i < depth; i++) {
        const Four s = source[i][y], d = destination[i][x];
#pragma unroll
        for (int p = 0; p < 4; p++)
#pragma unroll
          for (int j = 0; j < 4; j++) relative[p][j] = fma_f32(s.at[p], d.at[j], relative[p][j]);
        if (with_base)
#pragma unroll
          for (int p = 0; p < 4; p++) base[p] = fma_f32(s.at[p], centre[i], base[p]);
      }
    }

    if (width == 0) __syncthreads();  // the positions, which are read below
#pragma unroll
    for (int p = 0; p < 4; p++) {
      Key best = 0;
#pragma unroll
      for (int j = 0; j < 4; j++) {
        if (destination_position[4 * x + j] < 0) continue;
        const float r = relative[p][j];
        const Key key = ranking_key(r == r ? r : NAN_SIMILARITY, first + 4 * x + j);
        best = key > best ? key : best;
      }
      for (int step = 8; step > 0; step /= 2) {
        const Key other = __shfl_xor_sync(0xFFFFFFFFu, best, step);
        best = other > best ? other : best;
      }
      const int place = first_source + 4 * y + p;
      if (place >= job.sources()) continue;
      if (x == 0) atomicMax(&job.best[b * job.sources() + place], best);
      if (with_base) job.base[b * job.sources() + place] = base[p] == base[p] ? base[p] : 0.0f;
    }
  }
}

}  // namespace

cudaError_t enqueue_match(const Job& job, cudaStream_t stream) {
  const auto blocks = [](int64_t items, int64_t each) { return (items + each - 1) / each; };
  const cudaError_t error = launch(unit_keys, blocks(job.call.batch * job.tokens, TILE), THREADS, stream, job);
  if (error != cudaSuccess) return error;
  const int64_t tiles = blocks(job.sources(), TILE) * blocks(job.destinations(), TILE);
  return launch(match, job.call.batch * tiles, THREADS, stream, job);
}

}  // namespace cuda
}  // namespace pumer

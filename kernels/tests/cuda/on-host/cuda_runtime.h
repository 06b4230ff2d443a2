/*
 * Takes the place of CUDA's header of that name and runs kernels on a processor, so that the kernels' logic can be
 * tested where no GPU is. Only what kernels/cuda uses is here. A block's threads are fibers that run one after another
 * from barrier to barrier, in an order that a test can change: a result that depends on the order is a race.
 */
#ifndef PUMER_ON_HOST_CUDA_RUNTIME_H
#define PUMER_ON_HOST_CUDA_RUNTIME_H

#include <stddef.h>
#include <string.h>

#include <functional>

#define __global__
#define __device__
#define __host__
#define __shared__ static /* blocks run one at a time */
#define __launch_bounds__(...)
#define __grid_constant__

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
extern dim3 threadIdx, blockIdx, blockDim, gridDim;

typedef struct on_host_stream* cudaStream_t;
enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidConfiguration = 9 };
inline const char* cudaGetErrorName(cudaError_t error) { return error == cudaSuccess ? "cudaSuccess" : "cudaError"; }
inline const char* cudaGetErrorString(cudaError_t error) { return cudaGetErrorName(error); }

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
};

namespace on_host {

#define PUMER_ON_HOST __attribute__((visibility("default")))

/* In which order the threads of a block run between two barriers. */
enum Order { ASCENDING, DESCENDING, SHUFFLED };
PUMER_ON_HOST void set_order(Order order);

/* The most blocks a launch gets; kernels must do with any number. */
PUMER_ON_HOST void set_most_blocks(unsigned count);

cudaError_t run(dim3 grid, dim3 block, const std::function<void()>& thread);

void block_barrier();
void warp_barrier();

/* What lane `from` of this thread's warp gives as `bytes` bytes; each lane calls it. */
void exchange(const void* given, void* taken, size_t bytes, int from);
int lane();

}  // namespace on_host

template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               const Arguments&... args) {
  return on_host::run(config->gridDim, config->blockDim, [&] { kernel(args...); });
}

inline void __syncthreads() { on_host::block_barrier(); }
inline void __syncwarp() { on_host::warp_barrier(); }

template <typename T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  T taken;
  on_host::exchange(&value, &taken, sizeof value, on_host::lane() ^ mask);
  return taken;
}

template <typename T>
T __shfl_up_sync(unsigned, T value, int step) {
  T taken;
  on_host::exchange(&value, &taken, sizeof value, on_host::lane() < step ? on_host::lane() : on_host::lane() - step);
  return taken;
}

template <typename T>
T atomicMax(T* at, T value) {
  const T before = *at;
  if (value > before) *at = value;
  return before;
}

template <typename T>
T atomicOr(T* at, T value) {
  const T before = *at;
  *at = before | value;
  return before;
}

#endif

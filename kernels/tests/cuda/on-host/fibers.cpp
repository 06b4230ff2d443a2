/*
 * Threads of a block as fibers: each runs until it waits or ends, then the next one does. A barrier that not all
 * threads of the block (or warp) reach is undefined on a GPU and stops the program here.
 */
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <vector>

#include "cuda_runtime.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace on_host {

namespace {

constexpr size_t STACK = 128 << 10;
constexpr unsigned WARP = 32, MOST_THREADS = 1024;

enum State { READY, AT_BLOCK_BARRIER, AT_WARP_BARRIER, ENDED };

struct Fiber {
  ucontext_t context;
  jmp_buf at;
  bool begun = false;
  std::vector<char> stack = std::vector<char>(STACK);
  State state = ENDED;
  unsigned char given[16];
};

std::vector<Fiber> fibers;
#if defined(__SANITIZE_ADDRESS__)
ucontext_t scheduler;
#else
jmp_buf scheduler;
#endif
const std::function<void()>* body;
unsigned current;
Order order = ASCENDING;
unsigned most_blocks = ~0u;
uint32_t seed = 1;
#if defined(__SANITIZE_ADDRESS__)
const void* scheduler_stack;
size_t scheduler_size;
#endif

/*
 * Changing stacks. swapcontext asks the system each time, so it only begins a fiber; jumps do the rest. The address
 * sanitizer follows the former only, and wants to be told.
 */
#if defined(__SANITIZE_ADDRESS__)
void leave() {
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, scheduler_stack, scheduler_size);
  swapcontext(&fibers[current].context, &scheduler);
  __sanitizer_finish_switch_fiber(fake, &scheduler_stack, &scheduler_size);
}

void enter() {
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, fibers[current].stack.data(), STACK);
  swapcontext(&scheduler, &fibers[current].context);
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
}
#else
void leave() {
  if (_setjmp(fibers[current].at) == 0) _longjmp(scheduler, 1);
}

void enter() {
  Fiber& fiber = fibers[current];
  if (_setjmp(scheduler) != 0) return;
  if (fiber.begun) _longjmp(fiber.at, 1);
  fiber.begun = true;
  setcontext(&fiber.context);
}
#endif

/* A fiber's life: one thread of each block after another. */
void live() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_size);
#endif
  for (;;) {
    (*body)();
    fibers[current].state = ENDED;
    leave();
  }
}

void wait(State barrier) {
  fibers[current].state = barrier;
  leave();
}

[[noreturn]] void stop(const char* why) {
  fprintf(stderr, "kernel on the host: %s\n", why);
  abort();
}

/* Lets the threads from `first` on go where all of them wait at `barrier`. */
bool release(unsigned first, unsigned count, State barrier) {
  const auto begin = fibers.begin() + first, end = begin + count;
  if (!std::all_of(begin, end, [&](const Fiber& f) { return f.state == barrier; })) return false;
  std::for_each(begin, end, [](Fiber& f) { f.state = READY; });
  return true;
}

void prepare(Fiber& fiber) {
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack.data();
  fiber.context.uc_stack.ss_size = STACK;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, live, 0);
}

template <typename Sequence>
void shuffle(Sequence& sequence) {
  for (size_t i = sequence.size(); i > 1; i--) {
    seed = seed * 1664525u + 1013904223u;
    std::swap(sequence[i - 1], sequence[(seed >> 8) % i]);
  }
}

/* Runs the threads of a warp until they wait for other warps or have ended. */
void run_warp(unsigned first, std::array<unsigned, WARP>& turn) {
  do {
    if (order == SHUFFLED) shuffle(turn);
    for (const unsigned t : turn)
      if (fibers[first + t].state == READY) {
        current = first + t;
        threadIdx = dim3(current, 0, 0);
        enter();
      }
  } while (release(first, WARP, AT_WARP_BARRIER));
}

/* Each warp runs ahead as far as it can: so results show where a barrier of the warp is too little. */
void run_block(unsigned count) {
  std::vector<unsigned> warps(count / WARP);
  std::array<unsigned, WARP> lanes;
  std::iota(warps.begin(), warps.end(), 0);
  std::iota(lanes.begin(), lanes.end(), 0);
  if (order == DESCENDING) {
    std::reverse(warps.begin(), warps.end());
    std::reverse(lanes.begin(), lanes.end());
  }
  for (unsigned t = 0; t < count; t++) fibers[t].state = READY;
  do {
    if (order == SHUFFLED) shuffle(warps);
    for (const unsigned warp : warps) run_warp(warp * WARP, lanes);
  } while (release(0, count, AT_BLOCK_BARRIER));
  const auto end = fibers.begin() + count;
  if (!std::all_of(fibers.begin(), end, [](const Fiber& f) { return f.state == ENDED; }))
    stop("threads wait at a barrier that others do not reach");
}

}  // namespace

void set_order(Order chosen) { order = chosen; }
void set_most_blocks(unsigned count) { most_blocks = count; }

cudaError_t run(dim3 grid, dim3 block, const std::function<void()>& thread) {
  if (grid.x == 0 || block.x == 0 || block.x > MOST_THREADS || block.x % WARP != 0)
    return cudaErrorInvalidConfiguration;
  if (fibers.empty()) {
    fibers = std::vector<Fiber>(MOST_THREADS);
    for (Fiber& fiber : fibers) prepare(fiber);
  }
  body = &thread;
  gridDim = dim3(std::min(grid.x, most_blocks));
  blockDim = block;
  for (unsigned b = 0; b < gridDim.x; b++) {
    blockIdx = dim3(b, 0, 0);
    run_block(block.x);
  }
  return cudaSuccess;
}

void block_barrier() { wait(AT_BLOCK_BARRIER); }
void warp_barrier() { wait(AT_WARP_BARRIER); }

int lane() { return static_cast<int>(current % WARP); }

void exchange(const void* given, void* taken, size_t bytes, int from) {
  memcpy(fibers[current].given, given, bytes);
  warp_barrier();
  memcpy(taken, fibers[current / WARP * WARP + static_cast<unsigned>(from)].given, bytes);
  warp_barrier();
}

}  // namespace on_host

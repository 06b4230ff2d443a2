/*
 * The CUDA reducer's entry points: lays out the scratch memory and enqueues the stages. No synchronisation, no
 * allocation, no copy: what the host knows travels in kernel parameters, so a call can be captured in a graph.
 */
#include <stdio.h>

#include "job.cuh"

namespace pumer {
namespace cuda {
namespace {

/* Scores of queries and keys are made for so many bytes of heads at a time: little enough to stay in a large cache. */
constexpr int64_t SCORES_AT_ONCE = 32 << 20;

constexpr size_t ALIGNMENT = 256;

/* Hands out aligned parts of the scratch memory; with a null base it only counts. */
class Layout {
 public:
  explicit Layout(void* base) : base_(static_cast<char*>(base)) {}
  template <typename T>
  void place(T*& part, int64_t count) {
    part = base_ == nullptr ? nullptr : reinterpret_cast<T*>(base_ + used_);
    used_ += (static_cast<size_t>(count) * sizeof(T) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  }
  size_t used() const { return used_; }

 private:
  char* base_;
  size_t used_ = 0;
};

Protected protected_in(const pumer_token_reduce& call) {
  Protected is_protected = {};
  if (call.semantics != PUMER_SAFE) return is_protected;
  for (int64_t i = 0; i < call.protected_count; i++) {
    const int64_t given = call.protected_positions[i], position = given < 0 ? given + call.tokens_in : given;
    if (position < 0 || position >= call.tokens_in) continue;
    is_protected.words[position / 32] |= uint32_t{1} << (position % 32);
  }
  return is_protected;
}

/* Sizes and scratch. The same layout whatever positions are protected: their memory may not be there yet. */
Job job_of(const pumer_token_reduce& call, void* scratch, size_t* bytes) {
  Job job = {};
  job.call = call;
  job.safe = call.semantics == PUMER_SAFE;
  job.tokens = static_cast<int>(call.tokens_in);
  const int64_t candidates = job.safe ? call.keep - call.protected_count : call.keep;
  job.candidates = candidates < 0 ? 0 : static_cast<int>(candidates);
  job.merge = static_cast<int>(call.merge);
  job.left = static_cast<int>(call.keep - call.merge);

  Layout layout(scratch);
  const int64_t pairs = call.batch * call.heads, tokens = call.batch * call.tokens_in;
  layout.place(job.looks, pairs * call.tokens_in);
  if (call.looks == PUMER_FROM_QUERIES) {
    const int64_t each = call.rows * call.key_count * static_cast<int64_t>(sizeof(float));
    const int64_t fit = each == 0 ? pairs : SCORES_AT_ONCE / each;
    job.pairs_at_once = fit < 1 ? 1 : fit < pairs ? fit : pairs;
    layout.place(job.scores, job.pairs_at_once * call.rows * call.key_count);
    layout.place(job.largest, job.pairs_at_once * call.rows);
    layout.place(job.share, job.pairs_at_once * call.rows);
  }
  layout.place(job.saliency, tokens);
  layout.place(job.candidate, call.batch * job.candidates);
  layout.place(job.has_real, call.batch);
  layout.place(job.unit, tokens * call.metric_width);
  layout.place(job.best, call.batch * job.sources());
  layout.place(job.base, call.batch * job.sources());
  layout.place(job.survivor, call.batch * job.left);
  layout.place(job.first_source, call.batch * (job.left + 1));
  layout.place(job.source, call.batch * job.merge);
  *bytes = layout.used();
  return job;
}

bool can_move_vectors(const pumer_token_reduce& call) {
  const int64_t size = call.type == PUMER_FLOAT64 ? 8 : call.type == PUMER_FLOAT32 ? 4 : 2;
  const auto aligned = [](const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; };
  return call.width * size % 16 == 0 && aligned(call.tokens) && aligned(call.reduced);
}

cudaError_t enqueue(Job& job, cudaStream_t stream) {
  const Protected is_protected = protected_in(job.call);
  int free = job.tokens;
  for (const uint32_t word : is_protected.words) free -= __builtin_popcount(word);
  job.ranks = job.candidates > 0 && (!job.safe || job.candidates < free);
  job.vectors = can_move_vectors(job.call);

  cudaError_t error = cudaSuccess;
  if (job.ranks) error = enqueue_looks(job, stream);
  if (error == cudaSuccess && job.candidates > 0) error = enqueue_select(job, is_protected, stream);
  if (error == cudaSuccess && job.merge > 0) error = enqueue_match(job, stream);
  if (error == cudaSuccess) error = enqueue_plan(job, is_protected, stream);
  if (error == cudaSuccess) error = enqueue_apply(job, stream);
  return error;
}

}  // namespace
}  // namespace cuda
}  // namespace pumer

int pumer_has_cuda(void) { return 1; }

size_t pumer_token_reduce_cuda_scratch(const pumer_token_reduce* call) {
  size_t bytes = 0;
  if (call->tokens_in <= pumer::cuda::MAX_TOKENS) pumer::cuda::job_of(*call, nullptr, &bytes);
  return bytes;
}

int pumer_token_reduce_cuda(const pumer_token_reduce* call, void* scratch, void* stream, char* message,
                            size_t capacity) {
  using namespace pumer::cuda;
  if (call->tokens_in > MAX_TOKENS) {
    snprintf(message, capacity, "the CUDA kernels take at most %d tokens, not %lld", MAX_TOKENS,
             static_cast<long long>(call->tokens_in));
    return -1;
  }
  if (call->batch == 0 || call->tokens_in == 0) return 0;
  size_t bytes;
  Job job = job_of(*call, scratch, &bytes);
  const cudaError_t error = enqueue(job, static_cast<cudaStream_t>(stream));
  if (error != cudaSuccess)
    snprintf(message, capacity, "%s: %s", cudaGetErrorName(error), cudaGetErrorString(error));
  return static_cast<int>(error);
}

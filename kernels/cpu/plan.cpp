/* Selection and merging as orders over 64-bit keys: a float in its high half, the lower index first in its low half. */
#include "plan.h"

#include <string.h>

#include <algorithm>

namespace pumer::cpu {

namespace {

/* Larger for a larger float, the same for -0 and 0; no NaN. */
uint32_t ordered(float f) {
  f += 0.0f;
  uint32_t bits;
  memcpy(&bits, &f, sizeof bits);
  return bits ^ (bits >> 31 ? 0xFFFFFFFFu : 0x80000000u);
}

uint64_t key_of(float score, int64_t index) {
  return static_cast<uint64_t>(ordered(score)) << 32 | (0xFFFFFFFFu - static_cast<uint32_t>(index));
}

int32_t index_of(uint64_t key) { return static_cast<int32_t>(0xFFFFFFFFu - static_cast<uint32_t>(key)); }

/* The `count` largest of keys to the front; in order where `sorted`. */
void largest_first(uint64_t* keys, int64_t total, int64_t count, bool sorted) {
  const auto larger = [](uint64_t a, uint64_t b) { return a > b; };
  if (count < total) std::nth_element(keys, keys + count, keys + total, larger);
  if (sorted) std::sort(keys, keys + count, larger);
}

void mark_protected(const pumer_token_reduce& call, uint8_t* is_protected) {
  const int64_t n = call.tokens_in;
  memset(is_protected, 0, static_cast<size_t>(n));
  if (call.semantics != PUMER_SAFE) return;
  for (int64_t i = 0; i < call.protected_count; i++) {
    const int64_t p = call.protected_positions[i];
    const int64_t position = p < 0 ? p + n : p;
    if (position >= 0 && position < n) is_protected[position] = 1;
  }
}

/* `pumer`: remaining sources by place, then all destinations; positions in order where nothing is removed. */
void survivors_best_first(const pumer_token_reduce& call, Plan& plan) {
  int64_t count = 0;
  for (int64_t c = 0; c < plan.candidate_count; c += 2)
    if (plan.into[plan.candidates[c]] < 0) plan.survivors[count++] = plan.candidates[c];
  for (int64_t c = 1; c < plan.candidate_count; c += 2) plan.survivors[count++] = plan.candidates[c];
  if (count == call.tokens_in) std::sort(plan.survivors, plan.survivors + count);
}

/*
 * `safe`: protected and remaining tokens in original order. Positions named twice leave room at the end of the count:
 * the first tokens that are neither fill it, as they do in the function's body.
 */
void survivors_in_order(const pumer_token_reduce& call, Plan& plan) {
  const int64_t n = call.tokens_in, kept = call.keep - call.merge;
  uint8_t* stays = plan.is_protected;
  for (int64_t c = 0; c < plan.candidate_count; c++)
    if (plan.into[plan.candidates[c]] < 0) stays[plan.candidates[c]] = 1;
  int64_t count = 0;
  for (int64_t v = 0; v < n && count < kept; v++)
    if (stays[v]) plan.survivors[count++] = static_cast<int32_t>(v);
  for (int64_t v = 0; v < n && count < kept; v++)
    if (!stays[v]) plan.survivors[count++] = static_cast<int32_t>(v);
}

/* The sources of each survivor, ascending: counted, then filled in order of position. */
void group_sources(const pumer_token_reduce& call, Plan& plan) {
  const int64_t kept = call.keep - call.merge;
  int32_t* start = plan.first_source;
  memset(start, 0, static_cast<size_t>(kept + 1) * sizeof *start);
  const auto place_of = [&](int32_t source) { return plan.place[plan.into[source]]; };
  for (int64_t s = 0; s < call.merge; s++)
    if (place_of(plan.leaving[s]) >= 0) start[place_of(plan.leaving[s]) + 1]++;
  for (int64_t j = 0; j < kept; j++) start[j + 1] += start[j];
  for (int64_t s = 0; s < call.merge; s++) {
    const int32_t source = plan.leaving[s];
    if (place_of(source) >= 0) plan.sources[start[place_of(source)]++] = source;
  }
  // Filling moved every start to its end.
  for (int64_t j = kept; j > 0; j--) start[j] = start[j - 1];
  start[0] = 0;
}

}  // namespace

int64_t candidate_count(const pumer_token_reduce& call) {
  if (call.semantics == PUMER_PUMER) return call.keep;
  return std::max<int64_t>(call.keep - call.protected_count, 0);
}

bool begin(const pumer_token_reduce& call, Plan& plan) {
  mark_protected(call, plan.is_protected);
  if (call.semantics == PUMER_PUMER) return true;
  const int64_t others = std::count(plan.is_protected, plan.is_protected + call.tokens_in, 0);
  return candidate_count(call) < others;
}

void choose_candidates(const pumer_token_reduce& call, const float* saliency, Plan& plan) {
  const bool safe = call.semantics == PUMER_SAFE;
  if (saliency == nullptr) {
    plan.candidate_count = 0;
    for (int64_t v = 0; v < call.tokens_in; v++)
      if (!plan.is_protected[v]) plan.candidates[plan.candidate_count++] = static_cast<int32_t>(v);
    return;
  }
  int64_t total = 0;
  for (int64_t v = 0; v < call.tokens_in; v++)
    if (!plan.is_protected[v]) plan.keys[total++] = key_of(saliency[v], v);
  const int64_t count = std::min(candidate_count(call), total);
  plan.candidate_count = count;
  largest_first(plan.keys, total, count, !safe);
  for (int64_t c = 0; c < count; c++) plan.candidates[c] = index_of(plan.keys[c]);
  if (safe) std::sort(plan.candidates, plan.candidates + count);
}

void decide(const pumer_token_reduce& call, const float* weight, const float* score, const int32_t* best, Plan& plan) {
  const bool safe = call.semantics == PUMER_SAFE;
  const int64_t n = call.tokens_in, kept = call.keep - call.merge;
  const int64_t sources = (plan.candidate_count + 1) / 2;
  for (int64_t v = 0; v < n; v++) plan.into[v] = -1;

  if (call.merge > 0) {
    // `pumer`: the first never leaves. `safe`: PAD leaves first, in order.
    const int64_t from = safe ? 0 : 1;
    for (int64_t s = from; s < sources; s++) {
      const bool pad = safe && !(weight[plan.candidates[2 * s]] > 0);
      plan.keys[s - from] = key_of(pad ? __builtin_inff() : score[s], s);
    }
    largest_first(plan.keys, sources - from, call.merge, false);
    for (int64_t m = 0; m < call.merge; m++) {
      const int32_t s = index_of(plan.keys[m]);
      const int32_t source = plan.candidates[2 * s];
      plan.leaving[m] = source;
      plan.into[source] = plan.candidates[2 * best[s] + 1];
    }
    std::sort(plan.leaving, plan.leaving + call.merge);
  }

  if (safe) survivors_in_order(call, plan);
  else survivors_best_first(call, plan);
  for (int64_t v = 0; v < n; v++) plan.place[v] = -1;
  for (int64_t j = 0; j < kept; j++) plan.place[plan.survivors[j]] = static_cast<int32_t>(j);
  group_sources(call, plan);
  for (int64_t m = 0; m < call.merge; m++) plan.place[plan.leaving[m]] = plan.place[plan.into[plan.leaving[m]]];
}

}  // namespace pumer::cpu

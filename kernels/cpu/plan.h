/*
 * The decisions of one row of the batch: which tokens are candidates, who is merged into whom, who stays and where.
 * Positions only; nothing here reads a token. docs/semantics.md has the rules.
 */
#ifndef PUMER_CPU_PLAN_H
#define PUMER_CPU_PLAN_H

#include <stdint.h>

#include "pumer/token_reduce.h"

namespace pumer::cpu {

/* Scratch and results of one row; arrays of n unless said otherwise. */
struct Plan {
  uint64_t* keys;
  uint8_t* is_protected;
  int32_t* candidates;   /* [candidate_count], in matching order: even places are sources, odd ones destinations */
  int64_t candidate_count;
  int32_t* leaving;      /* [merge] sources, by position */
  int32_t* into;         /* [n] the destination of a source that leaves, else -1 */
  int32_t* survivors;    /* [keep - merge] */
  int32_t* place;        /* [n] place in the output, -1: pruned */
  int32_t* first_source; /* [keep - merge + 1]: entries of `sources` that go into each survivor */
  int32_t* sources;      /* [merge] by survivor, then ascending */
};

/* How many candidates a call has. */
int64_t candidate_count(const pumer_token_reduce& call);

/* Marks the protected tokens. False where all others are candidates, in their order: saliency decides nothing. */
bool begin(const pumer_token_reduce& call, Plan& plan);

/* Fills candidates from saliencies [n]; null where `begin` said that they are not looked at. */
void choose_candidates(const pumer_token_reduce& call, const float* saliency, Plan& plan);

/*
 * Fills the rest: `score` and `place` [sources] are what matching found, place among the destinations; `weight` [n] is
 * the row's.
 */
void decide(const pumer_token_reduce& call, const float* weight, const float* score, const int32_t* best, Plan& plan);

}  // namespace pumer::cpu

#endif

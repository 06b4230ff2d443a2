/*
 * From the tensors of a node to a call of the plain C reducer: shapes are compared with one another, and the first that
 * does not fit is named. Inputs as in src/reduction/token-reduce/contract.ts.
 */
#ifndef PUMER_OPS_CALL_H
#define PUMER_OPS_CALL_H

#include "api.h"
#include "pumer/token_reduce.h"

namespace pumer::ops {

/* Inputs of ai.pumer::TokenReduce and ai.pumer::TokenReduceQK, in order. */
constexpr size_t kMostInputs = 12;
constexpr size_t kOutputs = 4;

constexpr size_t input_count(int looks) { return looks == PUMER_FROM_QUERIES ? 12 : 8; }

/* Inputs that lie in host memory whatever the device: counts, positions, scale. */
constexpr bool is_host_input(int looks, size_t index) {
  return looks == PUMER_FROM_QUERIES ? index == 4 || index == 5 || index >= 9 : index >= 5;
}

/* ONNX element type of input `index`, ORT_UNDEFINED where any float will do; `tokens` is the type of input 0. */
int input_type(int looks, size_t index, int tokens);

/* pumer_type of an ONNX element type, or -1. */
int float_type(int element_type);

/* Fills all but the outputs' pointers. Null, or the sentence that says what does not fit. */
const char* call_from(int looks, int semantics, const Tensor* inputs, pumer_token_reduce& call, char* message,
                      size_t capacity);

}  // namespace pumer::ops

#endif

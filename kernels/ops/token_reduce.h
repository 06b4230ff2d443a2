/* The custom ops: one for each of the two operators, each type of tokens and each device. */
#ifndef PUMER_OPS_TOKEN_REDUCE_H
#define PUMER_OPS_TOKEN_REDUCE_H

#include <stddef.h>

#include "../ort/abi.h"

namespace pumer::ops {

/* All ops of this build; `count` says how many. They live as long as the library, and infer shapes through `table`. */
const OrtCustomOp* const* all_ops(const OrtApi* table, size_t& count);

}  // namespace pumer::ops

#endif

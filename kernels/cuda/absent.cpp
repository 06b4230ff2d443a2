/* The CUDA entry points of a library that was built without CUDA: they say so. */
#include <stdio.h>

#include "pumer/token_reduce.h"

int pumer_has_cuda(void) { return 0; }

size_t pumer_token_reduce_cuda_scratch(const pumer_token_reduce*) { return 0; }

int pumer_token_reduce_cuda(const pumer_token_reduce*, void*, void*, char* message, size_t capacity) {
  snprintf(message, capacity, "this library was built without CUDA kernels");
  return -1;
}

/* The few functions of ONNX Runtime's table that a custom op calls, with types. Failures are statuses, not exceptions. */
#ifndef PUMER_OPS_API_H
#define PUMER_OPS_API_H

#include <stdint.h>

#include "../ort/abi.h"

namespace pumer::ops {

constexpr int kMostDims = 8;

/* A tensor that went into or came out of an op. */
struct Tensor {
  bool present = false;
  int type = ORT_UNDEFINED;
  int64_t rank = 0;
  int64_t dims[kMostDims] = {};
  void* data = nullptr;
  OrtValue* value = nullptr;
};

class Api {
 public:
  explicit Api(const OrtApi* table) : table_(table) {}

  OrtStatus* error(const char* message) const {
    return ort::call<OrtStatus*>(table_, ORT_CreateStatus, static_cast<int>(ORT_INVALID_ARGUMENT), message);
  }

  void release(OrtStatus* status) const { ort::call<void>(table_, ORT_ReleaseStatus, status); }

  OrtStatus* input(OrtKernelContext* context, size_t index, Tensor& tensor) const;
  /* Null data where the node does not list the output. */
  OrtStatus* output(OrtKernelContext* context, size_t index, const int64_t* dims, size_t rank, void** data) const;

  const OrtApi* table() const { return table_; }

 private:
  const OrtApi* table_;
};

/* Scratch memory where `like` lies, 64-byte aligned, given back when this goes out of scope. */
class Scratch {
 public:
  Scratch(const Api& api) : api_(api) {}
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch();
  OrtStatus* take(OrtKernelContext* context, const Tensor& like, size_t bytes);
  void* data() const { return data_; }

 private:
  const Api& api_;
  OrtAllocator* allocator_ = nullptr;
  void* block_ = nullptr;
  void* data_ = nullptr;
};

}  // namespace pumer::ops

#endif

/* See api.h. Every object taken from ONNX Runtime is given back on every path. */
#include "api.h"

namespace pumer::ops {

using ort::call;

OrtStatus* Api::input(OrtKernelContext* context, size_t index, Tensor& tensor) const {
  const OrtValue* value = nullptr;
  const auto* kernel_context = static_cast<const OrtKernelContext*>(context);
  if (auto* failed = call<OrtStatus*>(table_, ORT_KernelContext_GetInput, kernel_context, index, &value)) return failed;
  tensor = Tensor{};
  if (value == nullptr) return nullptr;
  OrtTensorTypeAndShapeInfo* info = nullptr;
  if (auto* failed = call<OrtStatus*>(table_, ORT_GetTensorTypeAndShape, value, &info)) return failed;
  const auto* known = static_cast<const OrtTensorTypeAndShapeInfo*>(info);
  size_t rank = 0;
  OrtStatus* status = call<OrtStatus*>(table_, ORT_GetTensorElementType, known, &tensor.type);
  if (status == nullptr) status = call<OrtStatus*>(table_, ORT_GetDimensionsCount, known, &rank);
  if (status == nullptr && rank > kMostDims) status = error("an input of TokenReduce has more than 8 axes");
  if (status == nullptr) status = call<OrtStatus*>(table_, ORT_GetDimensions, known, tensor.dims, rank);
  call<void>(table_, ORT_ReleaseTensorTypeAndShapeInfo, info);
  if (status != nullptr) return status;
  tensor.present = true;
  tensor.rank = static_cast<int64_t>(rank);
  tensor.value = const_cast<OrtValue*>(value);
  return call<OrtStatus*>(table_, ORT_GetTensorMutableData, tensor.value, &tensor.data);
}

OrtStatus* Api::output(OrtKernelContext* context, size_t index, const int64_t* dims, size_t rank, void** data) const {
  *data = nullptr;
  size_t count = 0;
  const auto* kernel_context = static_cast<const OrtKernelContext*>(context);
  if (auto* failed = call<OrtStatus*>(table_, ORT_KernelContext_GetOutputCount, kernel_context, &count)) return failed;
  if (index >= count) return nullptr;
  OrtValue* value = nullptr;
  if (auto* failed = call<OrtStatus*>(table_, ORT_KernelContext_GetOutput, context, index, dims, rank, &value))
    return failed;
  return value == nullptr ? nullptr : call<OrtStatus*>(table_, ORT_GetTensorMutableData, value, data);
}

OrtStatus* Scratch::take(OrtKernelContext* context, const Tensor& like, size_t bytes) {
  const OrtApi* table = api_.table();
  const OrtMemoryInfo* where = nullptr;
  const auto* value = static_cast<const OrtValue*>(like.value);
  const auto* kernel_context = static_cast<const OrtKernelContext*>(context);
  if (auto* failed = call<OrtStatus*>(table, ORT_GetTensorMemoryInfo, value, &where)) return failed;
  if (auto* failed = call<OrtStatus*>(table, ORT_KernelContext_GetAllocator, kernel_context, where, &allocator_))
    return failed;
  if (auto* failed = call<OrtStatus*>(table, ORT_AllocatorAlloc, allocator_, bytes + 63, &block_)) return failed;
  data_ = reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(block_) + 63) / 64 * 64);
  return nullptr;
}

Scratch::~Scratch() {
  const OrtApi* table = api_.table();
  if (block_ != nullptr) {
    auto* failed = call<OrtStatus*>(table, ORT_AllocatorFree, allocator_, block_);
    if (failed != nullptr) api_.release(failed);
  }
  if (allocator_ != nullptr) call<void>(table, ORT_ReleaseAllocator, allocator_);
}

}  // namespace pumer::ops

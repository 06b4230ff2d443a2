/*
 * The custom ops of the domain ai.pumer. Each is a table of functions for ONNX Runtime; what differs between them (the
 * operator, the type of tokens, the device) is data behind the table. Shapes are told as far as they do not depend on
 * counts, which are inputs.
 */
#include "token_reduce.h"

#include <stdio.h>
#include <string.h>

#include <array>
#include <atomic>

#include "call.h"

namespace pumer::ops {

using ort::call;

namespace {

enum Device { kCpu, kCuda };

struct Op : OrtCustomOp {
  int looks;
  int tokens; /* ONNX element type */
  Device device;
};

const Op& op_of(const OrtCustomOp* op) { return *static_cast<const Op*>(op); }

struct Kernel {
  Api api;
  const Op* op;
  int semantics;
};

OrtStatus* read_semantics(const Api& api, const OrtKernelInfo* info, int& semantics) {
  char text[16] = {};
  size_t size = sizeof text;
  OrtStatus* failed = call<OrtStatus*>(api.table(), ORT_KernelInfoGetAttribute_string, info,
                                       static_cast<const char*>("semantics"), static_cast<char*>(text), &size);
  if (failed != nullptr) return failed;
  if (strcmp(text, "safe") == 0) semantics = PUMER_SAFE;
  else if (strcmp(text, "pumer") == 0) semantics = PUMER_PUMER;
  else return api.error("attribute semantics of TokenReduce is neither \"safe\" nor \"pumer\"");
  return nullptr;
}

OrtStatus* PUMER_ORT_CALL create(const OrtCustomOp* op, const OrtApi* table, const OrtKernelInfo* info, void** kernel) {
  const Api api(table);
  int semantics = PUMER_SAFE;
  if (auto* failed = read_semantics(api, info, semantics)) return failed;
  *kernel = new Kernel{api, &op_of(op), semantics};
  return nullptr;
}

void PUMER_ORT_CALL destroy(void* kernel) { delete static_cast<Kernel*>(kernel); }

struct Threads {
  const Api* api;
  OrtKernelContext* context;
  OrtStatus* failed = nullptr;
};

void parallel_for(void* user, void (*fn)(void*, size_t), size_t count, void* data) {
  auto* threads = static_cast<Threads*>(user);
  const auto* context = static_cast<const OrtKernelContext*>(threads->context);
  const size_t batches = 0;  // as many as the pool has threads
  OrtStatus* failed =
      call<OrtStatus*>(threads->api->table(), ORT_KernelContext_ParallelFor, context, fn, count, batches, data);
  if (failed == nullptr) return;
  threads->api->release(failed);
  for (size_t i = 0; i < count; i++) fn(data, i);
}

OrtStatus* run_cuda(const Api& api, OrtKernelContext* context, const pumer_token_reduce& reduce, void* scratch,
                    char* message, size_t capacity) {
  void* stream = nullptr;
  const auto* kernel_context = static_cast<const OrtKernelContext*>(context);
  if (auto* failed = call<OrtStatus*>(api.table(), ORT_KernelContext_GetGPUComputeStream, kernel_context, &stream))
    return failed;
  return pumer_token_reduce_cuda(&reduce, scratch, stream, message, capacity) == 0 ? nullptr : api.error(message);
}

OrtStatus* PUMER_ORT_CALL compute(void* data, OrtKernelContext* context) {
  const Kernel& kernel = *static_cast<const Kernel*>(data);
  const Api& api = kernel.api;
  const Op& op = *kernel.op;
  char message[256];

  size_t given = 0;
  const auto* kernel_context = static_cast<const OrtKernelContext*>(context);
  if (auto* failed = call<OrtStatus*>(api.table(), ORT_KernelContext_GetInputCount, kernel_context, &given))
    return failed;
  if (given != input_count(op.looks)) {
    snprintf(message, sizeof message, "a call of %s has %zu inputs instead of %zu", op.GetName(&op), given,
             input_count(op.looks));
    return api.error(message);
  }
  Tensor inputs[kMostInputs];
  for (size_t i = 0; i < given; i++)
    if (auto* failed = api.input(context, i, inputs[i])) return failed;

  pumer_token_reduce reduce;
  if (const char* fault = call_from(op.looks, kernel.semantics, inputs, reduce, message, sizeof message))
    return api.error(fault);

  const int64_t kept = reduce.keep - reduce.merge;
  const int64_t tokens[] = {reduce.batch, kept, reduce.width}, survivors[] = {reduce.batch, kept};
  const int64_t lane[] = {reduce.batch, reduce.tokens_in};
  void* out[kOutputs];
  OrtStatus* failed = api.output(context, 0, tokens, 3, &out[0]);
  if (failed == nullptr) failed = api.output(context, 1, survivors, 2, &out[1]);
  if (failed == nullptr) failed = api.output(context, 2, lane, 2, &out[2]);
  if (failed == nullptr) failed = api.output(context, 3, survivors, 2, &out[3]);
  if (failed != nullptr) return failed;
  if (reduce.batch == 0) return nullptr;
  reduce.reduced = out[0];
  reduce.weight_out = static_cast<float*>(out[1]);
  reduce.target = static_cast<int64_t*>(out[2]);
  reduce.position = static_cast<int64_t*>(out[3]);

  Scratch scratch(api);
  const size_t bytes =
      op.device == kCuda ? pumer_token_reduce_cuda_scratch(&reduce) : pumer_token_reduce_cpu_scratch(&reduce);
  if ((failed = scratch.take(context, inputs[0], bytes)) != nullptr) return failed;
  if (op.device == kCuda) return run_cuda(api, context, reduce, scratch.data(), message, sizeof message);
  Threads threads{&api, context};
  pumer_token_reduce_cpu(&reduce, scratch.data(), pumer_cpu_level(), parallel_for, &threads);
  return nullptr;
}

/* One output's type and shape; a symbol where a size is not known. */
OrtStatus* tell_shape(const OrtApi* table, OrtShapeInferContext* context, size_t index, int type, size_t rank,
                      const int64_t* sizes, const char* const* symbols) {
  OrtTensorTypeAndShapeInfo* info = nullptr;
  if (auto* failed = call<OrtStatus*>(table, ORT_CreateTensorTypeAndShapeInfo, &info)) return failed;
  OrtStatus* status = call<OrtStatus*>(table, ORT_SetTensorElementType, info, type);
  if (status == nullptr) status = call<OrtStatus*>(table, ORT_SetDimensions, info, sizes, rank);
  if (status == nullptr) {
    const char* names[3] = {symbols[0], symbols[1], rank > 2 ? symbols[2] : ""};
    status = call<OrtStatus*>(table, ORT_SetSymbolicDimensions, info, static_cast<const char**>(names), rank);
  }
  const auto* told = static_cast<const OrtTensorTypeAndShapeInfo*>(info);
  if (status == nullptr)
    status = call<OrtStatus*>(table, ORT_ShapeInferContext_SetOutputTypeShape, context, index, told);
  call<void>(table, ORT_ReleaseTensorTypeAndShapeInfo, info);
  return status;
}

/* Type and sizes of the tokens, with symbols ("" where a size is known). False where the rank is another. */
bool tokens_of(const OrtApi* table, const OrtShapeInferContext* context, int& type, int64_t* sizes,
               const char** symbols) {
  constexpr size_t index = 0, rank = 3;
  OrtTensorTypeAndShapeInfo* info = nullptr;  // the context's own
  OrtStatus* status = call<OrtStatus*>(table, ORT_ShapeInferContext_GetInputTypeShape, context, index, &info);
  const auto* known = static_cast<const OrtTensorTypeAndShapeInfo*>(info);
  size_t found = 0;
  if (status == nullptr) status = call<OrtStatus*>(table, ORT_GetDimensionsCount, known, &found);
  const bool fits = status == nullptr && found == rank;
  if (fits) status = call<OrtStatus*>(table, ORT_GetTensorElementType, known, &type);
  if (fits && status == nullptr) status = call<OrtStatus*>(table, ORT_GetDimensions, known, sizes, rank);
  if (fits && status == nullptr) status = call<OrtStatus*>(table, ORT_GetSymbolicDimensions, known, symbols, rank);
  if (status == nullptr) return fits;
  call<void>(table, ORT_ReleaseStatus, status);
  return false;
}

const OrtApi* infer_table = nullptr;

/* One op speaks for all that share its name, so the type of the tokens is read and not the op's own. */
OrtStatus* PUMER_ORT_CALL infer(const OrtCustomOp*, OrtShapeInferContext* context) {
  const OrtApi* table = infer_table;
  int type = ORT_UNDEFINED;
  int64_t sizes[3];
  const char* symbols[3];
  if (table == nullptr || !tokens_of(table, context, type, sizes, symbols)) return nullptr;
  // How many tokens are left depends on counts. Equal symbols mean equal sizes, so each call gets one of its own, and
  // sizes without a name get one, too.
  static std::atomic<unsigned> calls{0};
  const unsigned serial = calls++;
  std::array<char[32], 4> made;
  for (int i = 0; i < 3; i++)
    if (sizes[i] < 0 && symbols[i][0] == '\0') {
      snprintf(made[i], sizeof made[i], "pumer_%u_%d", serial, i);
      symbols[i] = made[i];
    }
  snprintf(made[3], sizeof made[3], "pumer_%u_kept", serial);
  const int64_t kept[] = {sizes[0], -1, sizes[2]};
  const char* kept_symbols[] = {symbols[0], made[3], symbols[2]};
  OrtStatus* failed = tell_shape(table, context, 0, type, 3, kept, kept_symbols);
  if (failed == nullptr) failed = tell_shape(table, context, 1, ORT_FLOAT, 2, kept, kept_symbols);
  if (failed == nullptr) failed = tell_shape(table, context, 2, ORT_INT64, 2, sizes, symbols);
  if (failed == nullptr) failed = tell_shape(table, context, 3, ORT_INT64, 2, kept, kept_symbols);
  return failed;
}

const char* PUMER_ORT_CALL name_of(const OrtCustomOp* op) {
  return op_of(op).looks == PUMER_FROM_QUERIES ? "TokenReduceQK" : "TokenReduce";
}

const char* PUMER_ORT_CALL provider_of(const OrtCustomOp* op) {
  return op_of(op).device == kCuda ? "CUDAExecutionProvider" : nullptr;
}

size_t PUMER_ORT_CALL inputs_of(const OrtCustomOp* op) { return input_count(op_of(op).looks); }

int PUMER_ORT_CALL type_of_input(const OrtCustomOp* op, size_t index) {
  return input_type(op_of(op).looks, index, op_of(op).tokens);
}

int PUMER_ORT_CALL memory_of_input(const OrtCustomOp* op, size_t index) {
  const bool host = op_of(op).device == kCuda && is_host_input(op_of(op).looks, index);
  return host ? ORT_MEM_CPU_INPUT : ORT_MEM_DEFAULT;
}

int PUMER_ORT_CALL type_of_output(const OrtCustomOp* op, size_t index) {
  return index == 0 ? op_of(op).tokens : index == 1 ? ORT_FLOAT : ORT_INT64;
}

Op make_op(int looks, int tokens, Device device) {
  Op op{};
  op.looks = looks;
  op.tokens = tokens;
  op.device = device;
  op.version = PUMER_ORT_API_VERSION;
  op.GetName = name_of;
  op.GetExecutionProviderType = provider_of;
  op.GetInputTypeCount = inputs_of;
  op.GetInputType = type_of_input;
  op.GetInputMemoryType = memory_of_input;
  op.GetInputCharacteristic = [](const OrtCustomOp*, size_t) -> int { return ORT_REQUIRED; };
  op.GetOutputTypeCount = [](const OrtCustomOp*) -> size_t { return kOutputs; };
  op.GetOutputType = type_of_output;
  op.GetOutputCharacteristic = [](const OrtCustomOp*, size_t i) -> int { return i == 0 ? ORT_REQUIRED : ORT_OPTIONAL; };
  op.GetVariadicInputMinArity = [](const OrtCustomOp*) -> int { return 1; };
  op.GetVariadicInputHomogeneity = [](const OrtCustomOp*) -> int { return 1; };
  op.GetVariadicOutputMinArity = [](const OrtCustomOp*) -> int { return 1; };
  op.GetVariadicOutputHomogeneity = [](const OrtCustomOp*) -> int { return 1; };
  op.CreateKernelV2 = create;
  op.KernelComputeV2 = compute;
  op.KernelDestroy = destroy;
  op.InferOutputShapeFn = infer;
  op.GetStartVersion = [](const OrtCustomOp*) -> int { return 1; };
  op.GetEndVersion = [](const OrtCustomOp*) -> int { return 1; };
  return op;
}

constexpr int kTypes[] = {ORT_FLOAT, ORT_FLOAT16, ORT_BFLOAT16, ORT_DOUBLE};
constexpr size_t kTypeCount = sizeof kTypes / sizeof *kTypes;

struct Ops {
  Op ops[2 * 2 * kTypeCount];
  const OrtCustomOp* list[2 * 2 * kTypeCount];
  size_t count = 0;

  Ops() {
    for (const Device device : {kCpu, kCuda}) {
      if (device == kCuda && !pumer_has_cuda()) continue;
      for (const int looks : {PUMER_FROM_ATTENTION, PUMER_FROM_QUERIES})
        for (const int type : kTypes) {
          ops[count] = make_op(looks, type, device);
          list[count] = &ops[count];
          count++;
        }
    }
  }
};

}  // namespace

const OrtCustomOp* const* all_ops(const OrtApi* table, size_t& count) {
  static const Ops made;
  infer_table = table;
  count = made.count;
  return made.list;
}

}  // namespace pumer::ops

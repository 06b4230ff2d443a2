/*
 * The part of ONNX Runtime's C interface that this project uses, by hand: types, the table's slots, the custom-op
 * struct. The table (OrtApi) is append-only, so a slot's index never changes; its first 278 entries are there from API
 * version 17 on (ONNX Runtime 1.17), the version every pointer here is asked for with. Source: ONNX Runtime,
 * onnxruntime_c_api.h (API version 29), which no package of the npm registry contains.
 */
#ifndef PUMER_ORT_ABI_H
#define PUMER_ORT_ABI_H

#include <stddef.h>
#include <stdint.h>

#ifdef _WIN32
#define PUMER_ORT_CALL __stdcall
#else
#define PUMER_ORT_CALL
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct OrtStatus OrtStatus;
typedef struct OrtEnv OrtEnv;
typedef struct OrtSession OrtSession;
typedef struct OrtSessionOptions OrtSessionOptions;
typedef struct OrtRunOptions OrtRunOptions;
typedef struct OrtValue OrtValue;
typedef struct OrtTypeInfo OrtTypeInfo;
typedef struct OrtTensorTypeAndShapeInfo OrtTensorTypeAndShapeInfo;
typedef struct OrtMemoryInfo OrtMemoryInfo;
typedef struct OrtAllocator OrtAllocator;
typedef struct OrtCustomOpDomain OrtCustomOpDomain;
typedef struct OrtKernelInfo OrtKernelInfo;
typedef struct OrtKernelContext OrtKernelContext;
typedef struct OrtShapeInferContext OrtShapeInferContext;
typedef struct OrtOpAttr OrtOpAttr;

/* API version everything here is written for. */
enum { PUMER_ORT_API_VERSION = 17 };

enum OrtErrorCode { ORT_FAIL = 1, ORT_INVALID_ARGUMENT = 2 };

/* ONNXTensorElementDataType; the numbers are those of ONNX's TensorProto. */
enum OrtElementType {
  ORT_UNDEFINED = 0,
  ORT_FLOAT = 1,
  ORT_UINT8 = 2,
  ORT_INT8 = 3,
  ORT_UINT16 = 4,
  ORT_INT16 = 5,
  ORT_INT32 = 6,
  ORT_INT64 = 7,
  ORT_STRING = 8,
  ORT_BOOL = 9,
  ORT_FLOAT16 = 10,
  ORT_DOUBLE = 11,
  ORT_UINT32 = 12,
  ORT_UINT64 = 13,
  ORT_BFLOAT16 = 16
};

enum OrtOnnxType { ORT_TYPE_UNKNOWN = 0, ORT_TYPE_TENSOR = 1 };
enum OrtMemType { ORT_MEM_CPU_INPUT = -2, ORT_MEM_CPU_OUTPUT = -1, ORT_MEM_DEFAULT = 0 };
enum OrtAllocatorType { ORT_DEVICE_ALLOCATOR = 0, ORT_ARENA_ALLOCATOR = 1 };
enum OrtCharacteristic { ORT_REQUIRED = 0, ORT_OPTIONAL = 1, ORT_VARIADIC = 2 };
enum OrtLogLevel { ORT_LOG_WARNING = 2, ORT_LOG_FATAL = 4 };

/* Slots of OrtApi. */
enum OrtSlot {
  ORT_CreateStatus = 0,
  ORT_GetErrorCode = 1,
  ORT_GetErrorMessage = 2,
  ORT_CreateEnv = 3,
  ORT_CreateSession = 7,
  ORT_CreateSessionFromArray = 8,
  ORT_Run = 9,
  ORT_CreateSessionOptions = 10,
  ORT_EnableProfiling = 14,
  ORT_SetSessionLogSeverityLevel = 22,
  ORT_SetSessionGraphOptimizationLevel = 23,
  ORT_SetIntraOpNumThreads = 24,
  ORT_SetInterOpNumThreads = 25,
  ORT_CreateCustomOpDomain = 26,
  ORT_CustomOpDomain_Add = 27,
  ORT_AddCustomOpDomain = 28,
  ORT_SessionGetInputCount = 30,
  ORT_SessionGetOutputCount = 31,
  ORT_SessionGetInputTypeInfo = 33,
  ORT_SessionGetOutputTypeInfo = 34,
  ORT_SessionGetInputName = 36,
  ORT_SessionGetOutputName = 37,
  ORT_CreateTensorAsOrtValue = 48,
  ORT_CreateTensorWithDataAsOrtValue = 49,
  ORT_IsTensor = 50,
  ORT_GetTensorMutableData = 51,
  ORT_CastTypeInfoToTensorInfo = 55,
  ORT_GetOnnxTypeFromTypeInfo = 56,
  ORT_CreateTensorTypeAndShapeInfo = 57,
  ORT_SetTensorElementType = 58,
  ORT_SetDimensions = 59,
  ORT_GetTensorElementType = 60,
  ORT_GetDimensionsCount = 61,
  ORT_GetDimensions = 62,
  ORT_GetSymbolicDimensions = 63,
  ORT_GetTensorShapeElementCount = 64,
  ORT_GetTensorTypeAndShape = 65,
  ORT_CreateCpuMemoryInfo = 69,
  ORT_AllocatorAlloc = 75,
  ORT_AllocatorFree = 76,
  ORT_GetAllocatorWithDefaultOptions = 78,
  ORT_KernelInfoGetAttribute_float = 85,
  ORT_KernelInfoGetAttribute_int64 = 86,
  ORT_KernelInfoGetAttribute_string = 87,
  ORT_KernelContext_GetInputCount = 88,
  ORT_KernelContext_GetOutputCount = 89,
  ORT_KernelContext_GetInput = 90,
  ORT_KernelContext_GetOutput = 91,
  ORT_ReleaseEnv = 92,
  ORT_ReleaseStatus = 93,
  ORT_ReleaseMemoryInfo = 94,
  ORT_ReleaseSession = 95,
  ORT_ReleaseValue = 96,
  ORT_ReleaseTypeInfo = 98,
  ORT_ReleaseTensorTypeAndShapeInfo = 99,
  ORT_ReleaseSessionOptions = 100,
  ORT_SessionEndProfiling = 110,
  ORT_AddSessionConfigEntry = 130,
  ORT_ReleaseAllocator = 132,
  ORT_KernelContext_GetGPUComputeStream = 193,
  ORT_GetTensorMemoryInfo = 194,
  ORT_SessionOptionsAppendExecutionProvider_CUDA_V2 = 204,
  ORT_CreateCUDAProviderOptions = 205,
  ORT_ReleaseCUDAProviderOptions = 208,
  ORT_RegisterCustomOpsLibrary_V2 = 228,
  ORT_KernelContext_GetAllocator = 253,
  ORT_ShapeInferContext_GetInputCount = 267,
  ORT_ShapeInferContext_GetInputTypeShape = 268,
  ORT_ShapeInferContext_GetAttribute = 269,
  ORT_ShapeInferContext_SetOutputTypeShape = 270,
  ORT_SetSymbolicDimensions = 271,
  ORT_KernelContext_ParallelFor = 274,
  ORT_SLOTS = 278
};

/* OrtApi: a table of functions. */
typedef struct OrtApi {
  void* slot[ORT_SLOTS];
} OrtApi;

/* What OrtGetApiBase returns and RegisterCustomOps is given. Null from GetApi: older than the version asked for. */
typedef struct OrtApiBase {
  const OrtApi*(PUMER_ORT_CALL* GetApi)(uint32_t version);
  const char*(PUMER_ORT_CALL* GetVersionString)(void);
} OrtApiBase;

/* A custom op; ONNX Runtime reads `version` to know how far the struct goes. Complete for version 17. */
typedef struct OrtCustomOp {
  uint32_t version;
  void*(PUMER_ORT_CALL* CreateKernel)(const struct OrtCustomOp*, const OrtApi*, const OrtKernelInfo*);
  const char*(PUMER_ORT_CALL* GetName)(const struct OrtCustomOp*);
  const char*(PUMER_ORT_CALL* GetExecutionProviderType)(const struct OrtCustomOp*);
  int(PUMER_ORT_CALL* GetInputType)(const struct OrtCustomOp*, size_t);
  size_t(PUMER_ORT_CALL* GetInputTypeCount)(const struct OrtCustomOp*);
  int(PUMER_ORT_CALL* GetOutputType)(const struct OrtCustomOp*, size_t);
  size_t(PUMER_ORT_CALL* GetOutputTypeCount)(const struct OrtCustomOp*);
  void(PUMER_ORT_CALL* KernelCompute)(void*, OrtKernelContext*);
  void(PUMER_ORT_CALL* KernelDestroy)(void*);
  int(PUMER_ORT_CALL* GetInputCharacteristic)(const struct OrtCustomOp*, size_t);
  int(PUMER_ORT_CALL* GetOutputCharacteristic)(const struct OrtCustomOp*, size_t);
  int(PUMER_ORT_CALL* GetInputMemoryType)(const struct OrtCustomOp*, size_t);
  int(PUMER_ORT_CALL* GetVariadicInputMinArity)(const struct OrtCustomOp*);
  int(PUMER_ORT_CALL* GetVariadicInputHomogeneity)(const struct OrtCustomOp*);
  int(PUMER_ORT_CALL* GetVariadicOutputMinArity)(const struct OrtCustomOp*);
  int(PUMER_ORT_CALL* GetVariadicOutputHomogeneity)(const struct OrtCustomOp*);
  OrtStatus*(PUMER_ORT_CALL* CreateKernelV2)(const struct OrtCustomOp*, const OrtApi*, const OrtKernelInfo*, void**);
  OrtStatus*(PUMER_ORT_CALL* KernelComputeV2)(void*, OrtKernelContext*);
  OrtStatus*(PUMER_ORT_CALL* InferOutputShapeFn)(const struct OrtCustomOp*, OrtShapeInferContext*);
  int(PUMER_ORT_CALL* GetStartVersion)(const struct OrtCustomOp*);
  int(PUMER_ORT_CALL* GetEndVersion)(const struct OrtCustomOp*);
  size_t(PUMER_ORT_CALL* GetMayInplace)(int**, int**);
  void(PUMER_ORT_CALL* ReleaseMayInplace)(int*, int*);
  size_t(PUMER_ORT_CALL* GetAliasMap)(int**, int**);
  void(PUMER_ORT_CALL* ReleaseAliasMap)(int*, int*);
} OrtCustomOp;

#ifdef __cplusplus
}

namespace pumer::ort {

/* Calls a slot: call<OrtStatus*>(api, ORT_GetDimensionsCount, info, &count). Arguments have the slot's own types. */
template <typename Result, typename... Arguments>
inline Result call(const OrtApi* api, OrtSlot slot, Arguments... arguments) {
  return reinterpret_cast<Result(PUMER_ORT_CALL*)(Arguments...)>(api->slot[slot])(arguments...);
}

}  // namespace pumer::ort
#endif

#endif

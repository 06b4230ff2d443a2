/* ONNX Runtime through its table of functions: see runtime.h. */
#include "runtime.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstring>
#include <map>

namespace pumer::node {

using ort::call;

namespace {

/* Runs `release` at the end of a scope. */
template <typename Release>
class Finally {
 public:
  explicit Finally(Release release) : release_(std::move(release)) {}
  ~Finally() { release_(); }
  Finally(const Finally&) = delete;
  Finally& operator=(const Finally&) = delete;

 private:
  Release release_;
};

/* Libraries stay loaded: threads and exit handlers of theirs outlive any use of ours. */
void* open_library(const std::string& path) {
  void* library = dlopen(path.c_str(), RTLD_LAZY | RTLD_LOCAL);
  if (library != nullptr) return library;
  const char* reason = dlerror();
  throw Failure(reason != nullptr ? reason : "cannot load " + path);
}

template <typename Function>
Function find(void* library, const std::string& path, const char* name) {
  void* symbol = dlsym(library, name);
  if (symbol == nullptr) throw Failure(path + " has no function " + name);
  return reinterpret_cast<Function>(symbol);
}

ValueInfo describe(const Runtime& runtime, const OrtTypeInfo* type) {
  const OrtApi* api = runtime.api();
  ValueInfo info;
  int kind = ORT_TYPE_UNKNOWN;
  runtime.check(call<OrtStatus*>(api, ORT_GetOnnxTypeFromTypeInfo, type, &kind));
  if (kind != ORT_TYPE_TENSOR) return info;
  const OrtTensorTypeAndShapeInfo* tensor = nullptr;  // the type's own: not released apart
  runtime.check(call<OrtStatus*>(api, ORT_CastTypeInfoToTensorInfo, type, &tensor));
  if (tensor == nullptr) return info;
  size_t rank = 0;
  runtime.check(call<OrtStatus*>(api, ORT_GetTensorElementType, tensor, &info.type));
  runtime.check(call<OrtStatus*>(api, ORT_GetDimensionsCount, tensor, &rank));
  std::vector<int64_t> sizes(rank);
  std::vector<const char*> symbols(rank, nullptr);
  runtime.check(call<OrtStatus*>(api, ORT_GetDimensions, tensor, sizes.data(), rank));
  runtime.check(call<OrtStatus*>(api, ORT_GetSymbolicDimensions, tensor, symbols.data(), rank));
  for (size_t i = 0; i < rank; i++) info.dims.push_back({sizes[i], symbols[i] == nullptr ? "" : symbols[i]});
  return info;
}

}  // namespace

std::shared_ptr<Runtime> Runtime::load(const std::string& path) {
  static std::mutex mutex;
  // Never destroyed: other threads may still look here while the process ends.
  static auto& known = *new std::map<std::string, std::weak_ptr<Runtime>>;
  std::lock_guard<std::mutex> lock(mutex);
  std::shared_ptr<Runtime> runtime = known[path].lock();
  if (runtime == nullptr) {
    runtime = std::make_shared<Runtime>(path);
    known[path] = runtime;
  }
  return runtime;
}

Runtime::Runtime(const std::string& path) {
  void* library = open_library(path);
  const auto base = find<const OrtApiBase*(PUMER_ORT_CALL*)()>(library, path, "OrtGetApiBase")();
  version_ = base->GetVersionString();
  api_ = base->GetApi(PUMER_ORT_API_VERSION);
  if (api_ == nullptr) throw Failure("ONNX Runtime " + version_ + " is too old: the kernels need 1.17 or later");
}

Runtime::~Runtime() {
  if (env_ != nullptr) call<void>(api_, ORT_ReleaseEnv, env_);
}

OrtEnv* Runtime::env() {
  std::lock_guard<std::mutex> lock(mutex_);
  // One per process: where onnxruntime-node has made it already, this is that one, counted. It logs as that would.
  if (env_ == nullptr)
    check(call<OrtStatus*>(api_, ORT_CreateEnv, static_cast<int>(ORT_LOG_WARNING), "pumer", &env_));
  return env_;
}

void Runtime::check(OrtStatus* status) const {
  if (status == nullptr) return;
  const Finally release([&] { call<void>(api_, ORT_ReleaseStatus, status); });
  throw Failure(call<const char*>(api_, ORT_GetErrorMessage, const_cast<const OrtStatus*>(status)));
}

OpsLibrary describe_ops(const std::string& path) {
  void* library = open_library(path);
  find<void*>(library, path, "RegisterCustomOps");
  const int level = find<int (*)()>(library, path, "pumer_cpu_level")();
  const char* name = find<const char* (*)(int)>(library, path, "pumer_cpu_level_name")(level);
  return {name, find<int (*)()>(library, path, "pumer_has_cuda")() != 0};
}

size_t element_size(int type) {
  switch (type) {
    case ORT_UINT8:
    case ORT_INT8:
    case ORT_BOOL:
      return 1;
    case ORT_UINT16:
    case ORT_INT16:
    case ORT_FLOAT16:
    case ORT_BFLOAT16:
      return 2;
    case ORT_FLOAT:
    case ORT_INT32:
    case ORT_UINT32:
      return 4;
    case ORT_DOUBLE:
    case ORT_INT64:
    case ORT_UINT64:
      return 8;
    default:
      return 0;
  }
}

RunValue::~RunValue() {
  if (value_ != nullptr) call<void>(runtime_->api(), ORT_ReleaseValue, value_);
}

RunValue RunValue::tensor(const std::shared_ptr<Runtime>& runtime, const std::string& name, int type,
                    const std::vector<int64_t>& dims, const void* bytes, size_t size) {
  const size_t element = element_size(type);
  if (element == 0) throw Failure("'" + name + "': elements of type " + std::to_string(type) + " cannot be passed");
  bool is_empty = false;
  for (const int64_t dim : dims) {
    if (dim < 0) throw Failure("'" + name + "': an axis of length " + std::to_string(dim));
    is_empty = is_empty || dim == 0;
  }
  size_t expected = is_empty ? 0 : element;
  bool fits = true;
  for (const int64_t dim : dims)
    fits = fits && !__builtin_mul_overflow(expected, static_cast<size_t>(dim), &expected);
  if (!fits || expected != size)
    throw Failure("'" + name + "': " + std::to_string(size) + " bytes of data do not fill its shape");
  const OrtApi* api = runtime->api();
  OrtAllocator* allocator = nullptr;  // ONNX Runtime's own, not released
  runtime->check(call<OrtStatus*>(api, ORT_GetAllocatorWithDefaultOptions, &allocator));
  OrtValue* made = nullptr;
  runtime->check(
      call<OrtStatus*>(api, ORT_CreateTensorAsOrtValue, allocator, dims.data(), dims.size(), type, &made));
  RunValue value(runtime, made);
  if (size > 0) {
    void* data = nullptr;
    runtime->check(call<OrtStatus*>(api, ORT_GetTensorMutableData, made, &data));
    std::memcpy(data, bytes, size);
  }
  return value;
}

RunValue::View RunValue::view() const {
  View view;
  const OrtApi* api = runtime_->api();
  int is_tensor = 0;
  if (value_ == nullptr) return view;
  runtime_->check(call<OrtStatus*>(api, ORT_IsTensor, const_cast<const OrtValue*>(value_), &is_tensor));
  if (is_tensor == 0) return view;
  OrtTensorTypeAndShapeInfo* info = nullptr;
  runtime_->check(call<OrtStatus*>(api, ORT_GetTensorTypeAndShape, const_cast<const OrtValue*>(value_), &info));
  const Finally release([&] { call<void>(api, ORT_ReleaseTensorTypeAndShapeInfo, info); });
  const OrtTensorTypeAndShapeInfo* known = info;
  size_t rank = 0;
  size_t count = 0;
  runtime_->check(call<OrtStatus*>(api, ORT_GetTensorElementType, known, &view.type));
  runtime_->check(call<OrtStatus*>(api, ORT_GetDimensionsCount, known, &rank));
  view.dims.resize(rank);
  runtime_->check(call<OrtStatus*>(api, ORT_GetDimensions, known, view.dims.data(), rank));
  runtime_->check(call<OrtStatus*>(api, ORT_GetTensorShapeElementCount, known, &count));
  view.size = count * element_size(view.type);
  if (view.size == 0) return view;
  void* data = nullptr;
  runtime_->check(call<OrtStatus*>(api, ORT_GetTensorMutableData, value_, &data));
  view.data = data;
  return view;
}

Session::Session(std::shared_ptr<Runtime> runtime, const std::string& path, const std::vector<uint8_t>& bytes,
                 const SessionOptions& options)
    : runtime_(std::move(runtime)) {
  const OrtApi* api = runtime_->api();
  const auto check = [&](OrtStatus* status) { runtime_->check(status); };
  OrtEnv* env = runtime_->env();
  OrtSessionOptions* settings = nullptr;
  check(call<OrtStatus*>(api, ORT_CreateSessionOptions, &settings));
  const Finally release_settings([&] { call<void>(api, ORT_ReleaseSessionOptions, settings); });
  // Failures come as statuses; the log would only repeat them on stderr.
  check(call<OrtStatus*>(api, ORT_SetSessionLogSeverityLevel, settings, static_cast<int>(ORT_LOG_FATAL)));
  constexpr int no_optimization = 0, all_optimizations = 99;
  check(call<OrtStatus*>(api, ORT_SetSessionGraphOptimizationLevel, settings,
                         options.optimize ? all_optimizations : no_optimization));
  if (options.threads > 0) {
    check(call<OrtStatus*>(api, ORT_SetIntraOpNumThreads, settings, options.threads));
    check(call<OrtStatus*>(api, ORT_SetInterOpNumThreads, settings, 1));
  }
  if (!options.profile.empty())
    check(call<OrtStatus*>(api, ORT_EnableProfiling, settings, options.profile.c_str()));
  if (!options.ops.empty())
    check(call<OrtStatus*>(api, ORT_RegisterCustomOpsLibrary_V2, settings, options.ops.c_str()));
  if (options.cuda) {
    void* cuda = nullptr;
    check(call<OrtStatus*>(api, ORT_CreateCUDAProviderOptions, &cuda));
    const Finally release_cuda([&] { call<void>(api, ORT_ReleaseCUDAProviderOptions, cuda); });
    check(call<OrtStatus*>(api, ORT_SessionOptionsAppendExecutionProvider_CUDA_V2, settings,
                           const_cast<const void*>(cuda)));
  }
  const OrtSessionOptions* chosen = settings;
  const OrtEnv* shared = env;
  check(path.empty() ? call<OrtStatus*>(api, ORT_CreateSessionFromArray, shared,
                                        static_cast<const void*>(bytes.data()), bytes.size(), chosen, &session_)
                     : call<OrtStatus*>(api, ORT_CreateSession, shared, path.c_str(), chosen, &session_));
  try {
    inputs_ = values(ORT_SessionGetInputCount, ORT_SessionGetInputName, ORT_SessionGetInputTypeInfo);
    outputs_ = values(ORT_SessionGetOutputCount, ORT_SessionGetOutputName, ORT_SessionGetOutputTypeInfo);
  } catch (...) {
    call<void>(api, ORT_ReleaseSession, session_);
    throw;
  }
}

Session::~Session() { call<void>(runtime_->api(), ORT_ReleaseSession, session_); }

std::vector<ValueInfo> Session::values(OrtSlot count, OrtSlot name, OrtSlot info) const {
  const OrtApi* api = runtime_->api();
  const OrtSession* session = session_;
  OrtAllocator* allocator = nullptr;
  size_t number = 0;
  runtime_->check(call<OrtStatus*>(api, ORT_GetAllocatorWithDefaultOptions, &allocator));
  runtime_->check(call<OrtStatus*>(api, count, session, &number));
  std::vector<ValueInfo> found;
  for (size_t i = 0; i < number; i++) {
    OrtTypeInfo* type = nullptr;
    runtime_->check(call<OrtStatus*>(api, info, session, i, &type));
    const Finally release_type([&] { call<void>(api, ORT_ReleaseTypeInfo, type); });
    ValueInfo value = describe(*runtime_, type);
    char* text = nullptr;
    runtime_->check(call<OrtStatus*>(api, name, session, i, allocator, &text));
    // The status of a free says nothing that could be acted on, but is an object all the same.
    const Finally release_text([&] {
      OrtStatus* status = call<OrtStatus*>(api, ORT_AllocatorFree, allocator, static_cast<void*>(text));
      if (status != nullptr) call<void>(api, ORT_ReleaseStatus, status);
    });
    value.name = text;
    found.push_back(std::move(value));
  }
  return found;
}

std::vector<RunValue> Session::run(const std::vector<std::string>& names, const std::vector<RunValue>& values) const {
  // ONNX Runtime itself does not look for them, and kernels differ in what they do without.
  for (const ValueInfo& input : inputs_)
    if (std::find(names.begin(), names.end(), input.name) == names.end())
      throw Failure("input '" + input.name + "' is missing");
  std::vector<const char*> input_names, output_names;
  std::vector<const OrtValue*> inputs;
  for (const std::string& name : names) input_names.push_back(name.c_str());
  for (const RunValue& value : values) inputs.push_back(value.get());
  for (const ValueInfo& output : outputs_) output_names.push_back(output.name.c_str());
  std::vector<OrtValue*> made(outputs_.size(), nullptr);
  OrtStatus* status = call<OrtStatus*>(
      runtime_->api(), ORT_Run, session_, static_cast<const OrtRunOptions*>(nullptr),
      static_cast<const char* const*>(input_names.data()), static_cast<const OrtValue* const*>(inputs.data()),
      inputs.size(), static_cast<const char* const*>(output_names.data()), output_names.size(), made.data());
  std::vector<RunValue> results;
  results.reserve(made.size());
  for (OrtValue* value : made) results.emplace_back(runtime_, value);
  runtime_->check(status);
  return results;
}

std::string Session::end_profiling() {
  const OrtApi* api = runtime_->api();
  OrtAllocator* allocator = nullptr;
  runtime_->check(call<OrtStatus*>(api, ORT_GetAllocatorWithDefaultOptions, &allocator));
  char* text = nullptr;
  runtime_->check(call<OrtStatus*>(api, ORT_SessionEndProfiling, session_, allocator, &text));
  const std::string file = text;
  runtime_->check(call<OrtStatus*>(api, ORT_AllocatorFree, allocator, static_cast<void*>(text)));
  return file;
}

}  // namespace pumer::node

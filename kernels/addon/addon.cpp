/*
 * The Node face: runtime(path), ops(path), open(options), and sessions with inputs, outputs, run, endProfiling and
 * release. Opening and running happen on Node's thread pool, never on the JavaScript thread. Everything of JavaScript's
 * is copied before a call returns, so no thread looks at memory that a script may change or give away. May be loaded
 * in any number of worker threads. src/runtime/addon.ts is its only caller and declares the types.
 */
#include <napi.h>

#include <atomic>
#include <cstring>
#include <map>

#include "runtime.h"

namespace {

using pumer::node::Failure;
using pumer::node::Runtime;
using pumer::node::Session;
using pumer::node::SessionOptions;
using pumer::node::RunValue;
using pumer::node::ValueInfo;

/* A session and the runs that are under way in it; the last of them to end releases it after release(). */
struct Shared {
  template <typename... Arguments>
  explicit Shared(Arguments&&... arguments) : session(std::forward<Arguments>(arguments)...) {}
  Session session;
  std::atomic<int> running{0};
};

/* What one Node environment (the main thread's, a worker's) holds. */
struct Instance {
  Napi::FunctionReference session_class;
  std::shared_ptr<Shared> opened; /* passed from open() to the constructor, which scripts cannot use */
  std::map<std::string, std::shared_ptr<Runtime>> runtimes;

  std::shared_ptr<Runtime> runtime(const std::string& path) {
    std::shared_ptr<Runtime>& known = runtimes[path];
    if (known == nullptr) known = Runtime::load(path);
    return known;
  }
};

Instance& instance_of(Napi::Env env) { return *env.GetInstanceData<Instance>(); }

Napi::Error type_error(Napi::Env env, const std::string& message) { return Napi::TypeError::New(env, message); }

std::string text_of(const Napi::Value& value, const char* what) {
  if (!value.IsString()) throw type_error(value.Env(), std::string(what) + " must be a string");
  return value.As<Napi::String>().Utf8Value();
}

std::string text_or_none(const Napi::Object& options, const char* name) {
  const Napi::Value value = options.Get(name);
  return value.IsUndefined() ? "" : text_of(value, name);
}

/* Bytes of any typed array or DataView. */
std::pair<const uint8_t*, size_t> bytes_of(const Napi::Value& value, const std::string& what) {
  napi_env env = value.Env();
  void* data = nullptr;
  size_t size = 0;
  if (value.IsTypedArray()) {
    const auto array = value.As<Napi::TypedArray>();
    // The length is asked of the array and the address of N-API: of a detached buffer these are 0 and null.
    if (napi_get_typedarray_info(env, value, nullptr, nullptr, &data, nullptr, nullptr) != napi_ok)
      throw Napi::Error::New(value.Env());
    size = array.ByteLength();
  } else if (value.IsDataView()) {
    if (napi_get_dataview_info(env, value, &size, &data, nullptr, nullptr) != napi_ok)
      throw Napi::Error::New(value.Env());
  } else {
    throw type_error(value.Env(), what + " must be a typed array");
  }
  return {static_cast<const uint8_t*>(data), data == nullptr ? 0 : size};
}

Napi::Array values_to_js(Napi::Env env, const std::vector<ValueInfo>& values) {
  Napi::Array list = Napi::Array::New(env, values.size());
  for (size_t i = 0; i < values.size(); i++) {
    const ValueInfo& value = values[i];
    Napi::Array dims = Napi::Array::New(env, value.dims.size());
    for (size_t axis = 0; axis < value.dims.size(); axis++) {
      const auto& [size, symbol] = value.dims[axis];
      if (!symbol.empty())
        dims.Set(static_cast<uint32_t>(axis), Napi::String::New(env, symbol));
      else
        dims.Set(static_cast<uint32_t>(axis),
                 size < 0 ? env.Null() : Napi::Value(Napi::Number::New(env, static_cast<double>(size))));
    }
    Napi::Object info = Napi::Object::New(env);
    info.Set("name", Napi::String::New(env, value.name));
    info.Set("type", Napi::Number::New(env, value.type));
    info.Set("dims", dims);
    list.Set(static_cast<uint32_t>(i), info);
  }
  return list;
}

/* A task of the thread pool that settles a promise. */
class Task : public Napi::AsyncWorker {
 public:
  explicit Task(Napi::Env env) : AsyncWorker(env), promise_(Napi::Promise::Deferred::New(env)) {}
  Napi::Promise promise() const { return promise_.Promise(); }

 protected:
  virtual Napi::Value result(Napi::Env env) = 0;

  void OnOK() override {
    try {
      promise_.Resolve(result(Env()));
    } catch (const Napi::Error& error) {
      promise_.Reject(error.Value());
    } catch (const std::exception& error) {
      promise_.Reject(Napi::Error::New(Env(), error.what()).Value());
    }
  }
  void OnError(const Napi::Error& error) override { promise_.Reject(error.Value()); }

 private:
  Napi::Promise::Deferred promise_;
};

class OpenTask final : public Task {
 public:
  OpenTask(Napi::Env env, std::shared_ptr<Runtime> runtime, std::string path, std::vector<uint8_t> bytes,
           SessionOptions options)
      : Task(env),
        runtime_(std::move(runtime)),
        path_(std::move(path)),
        bytes_(std::move(bytes)),
        options_(std::move(options)) {}

 protected:
  void Execute() override {
    opened_ = std::make_shared<Shared>(runtime_, path_, bytes_, options_);
    bytes_ = {};
  }
  Napi::Value result(Napi::Env env) override {
    Instance& instance = instance_of(env);
    instance.opened = std::move(opened_);
    return instance.session_class.New({});
  }

 private:
  std::shared_ptr<Runtime> runtime_;
  std::string path_;
  std::vector<uint8_t> bytes_;
  SessionOptions options_;
  std::shared_ptr<Shared> opened_;
};

class RunTask final : public Task {
 public:
  RunTask(Napi::Env env, std::shared_ptr<Shared> shared, std::vector<std::string> names, std::vector<RunValue> values)
      : Task(env), shared_(std::move(shared)), names_(std::move(names)), values_(std::move(values)) {
    shared_->running++;
  }
  ~RunTask() override { shared_->running--; }

 protected:
  void Execute() override {
    results_ = shared_->session.run(names_, values_);
    values_.clear();
  }
  Napi::Value result(Napi::Env env) override {
    const std::vector<ValueInfo>& outputs = shared_->session.outputs();
    Napi::Array list = Napi::Array::New(env, results_.size());
    for (size_t i = 0; i < results_.size(); i++) {
      const RunValue::View view = results_[i].view();
      Napi::Object output = Napi::Object::New(env);
      Napi::Array dims = Napi::Array::New(env, view.dims.size());
      for (size_t axis = 0; axis < view.dims.size(); axis++)
        dims.Set(static_cast<uint32_t>(axis), Napi::Number::New(env, static_cast<double>(view.dims[axis])));
      output.Set("name", Napi::String::New(env, outputs[i].name));
      output.Set("type", Napi::Number::New(env, view.type));
      output.Set("dims", dims);
      Napi::ArrayBuffer data = Napi::ArrayBuffer::New(env, view.size);
      if (view.size > 0) std::memcpy(data.Data(), view.data, view.size);
      output.Set("data", data);
      list.Set(static_cast<uint32_t>(i), output);
    }
    return list;
  }

 private:
  std::shared_ptr<Shared> shared_;
  std::vector<std::string> names_;
  std::vector<RunValue> values_, results_;
};

class SessionObject final : public Napi::ObjectWrap<SessionObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "NativeSession",
                       {InstanceAccessor<&SessionObject::inputs>("inputs"),
                        InstanceAccessor<&SessionObject::outputs>("outputs"),
                        InstanceMethod<&SessionObject::run>("run"),
                        InstanceMethod<&SessionObject::end_profiling>("endProfiling"),
                        InstanceMethod<&SessionObject::release>("release")});
  }

  explicit SessionObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    shared_ = std::move(instance_of(info.Env()).opened);
    if (shared_ == nullptr) throw type_error(info.Env(), "sessions are made by open()");
  }

 private:
  Shared& opened(Napi::Env env) const {
    if (shared_ == nullptr) throw Napi::Error::New(env, "the session has been released");
    return *shared_;
  }

  Napi::Value inputs(const Napi::CallbackInfo& info) {
    return values_to_js(info.Env(), opened(info.Env()).session.inputs());
  }
  Napi::Value outputs(const Napi::CallbackInfo& info) {
    return values_to_js(info.Env(), opened(info.Env()).session.outputs());
  }

  /* run([{ name, type, dims, data }]): a promise of the same for every output, `data` an ArrayBuffer. */
  Napi::Value run(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    Shared& shared = opened(env);
    if (!info[0].IsArray()) throw type_error(env, "inputs must be a list");
    const auto list = info[0].As<Napi::Array>();
    std::vector<std::string> names;
    std::vector<RunValue> values;
    for (uint32_t i = 0; i < list.Length(); i++) {
      const Napi::HandleScope scope(env);
      const Napi::Value item = list.Get(i);
      if (!item.IsObject()) throw type_error(env, "an input must be an object");
      const auto input = item.As<Napi::Object>();
      const std::string name = text_of(input.Get("name"), "name");
      const Napi::Value type = input.Get("type");
      const Napi::Value axes = input.Get("dims");
      if (!type.IsNumber() || !axes.IsArray()) throw type_error(env, "'" + name + "' needs a type and dims");
      std::vector<int64_t> dims;
      for (uint32_t axis = 0; axis < axes.As<Napi::Array>().Length(); axis++) {
        const Napi::Value dim = axes.As<Napi::Array>().Get(axis);
        if (!dim.IsNumber()) throw type_error(env, "'" + name + "': dims must be numbers");
        dims.push_back(dim.As<Napi::Number>().Int64Value());
      }
      const auto [data, size] = bytes_of(input.Get("data"), "'" + name + "'");
      const int element = type.As<Napi::Number>().Int32Value();
      values.push_back(RunValue::tensor(shared.session.runtime(), name, element, dims, data, size));
      names.push_back(name);
    }
    auto* task = new RunTask(env, shared_, std::move(names), std::move(values));
    const Napi::Promise promise = task->promise();
    task->Queue();
    return promise;
  }

  Napi::Value end_profiling(const Napi::CallbackInfo& info) {
    Shared& shared = opened(info.Env());
    if (shared.running > 0) throw Napi::Error::New(info.Env(), "a run is under way: profiling cannot end");
    return Napi::String::New(info.Env(), shared.session.end_profiling());
  }

  void release(const Napi::CallbackInfo&) { shared_ = nullptr; }

  std::shared_ptr<Shared> shared_;
};

/* runtime(path): ONNX Runtime's version. Throws where the library does not load or is too old. */
Napi::Value runtime(const Napi::CallbackInfo& info) {
  const std::string path = text_of(info[0], "the path of ONNX Runtime");
  return Napi::String::New(info.Env(), instance_of(info.Env()).runtime(path)->version());
}

/* ops(path): { level, cuda } of the custom-op library. */
Napi::Value ops(const Napi::CallbackInfo& info) {
  const pumer::node::OpsLibrary library = pumer::node::describe_ops(text_of(info[0], "the path of the library"));
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("level", Napi::String::New(info.Env(), library.level));
  result.Set("cuda", Napi::Boolean::New(info.Env(), library.cuda));
  return result;
}

/* open({ runtime, model, threads, optimize, profile, ops, cuda }): a promise of a session. */
Napi::Value open(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsObject()) throw type_error(env, "options must be an object");
  const auto given = info[0].As<Napi::Object>();
  const std::string library = text_of(given.Get("runtime"), "runtime");
  const Napi::Value model = given.Get("model");
  std::string path;
  std::vector<uint8_t> bytes;
  if (model.IsString()) {
    path = model.As<Napi::String>().Utf8Value();
    if (path.empty()) throw type_error(env, "the model's path is empty");
  } else {
    const auto [data, size] = bytes_of(model, "the model");
    bytes.assign(data, data + size);
  }
  SessionOptions options;
  const Napi::Value threads = given.Get("threads");
  if (threads.IsNumber()) options.threads = threads.As<Napi::Number>().Int32Value();
  const Napi::Value optimize = given.Get("optimize");
  if (optimize.IsBoolean()) options.optimize = optimize.As<Napi::Boolean>().Value();
  options.profile = text_or_none(given, "profile");
  options.ops = text_or_none(given, "ops");
  const Napi::Value cuda = given.Get("cuda");
  if (cuda.IsBoolean()) options.cuda = cuda.As<Napi::Boolean>().Value();
  auto* task = new OpenTask(env, instance_of(env).runtime(library), std::move(path), std::move(bytes), options);
  const Napi::Promise promise = task->promise();
  task->Queue();
  return promise;
}

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  auto* instance = new Instance;
  env.SetInstanceData(instance);
  instance->session_class = Napi::Persistent(SessionObject::define(env));
  exports.Set("runtime", Napi::Function::New(env, runtime, "runtime"));
  exports.Set("ops", Napi::Function::New(env, ops, "ops"));
  exports.Set("open", Napi::Function::New(env, open, "open"));
  return exports;
}

}  // namespace

NODE_API_MODULE(pumer_node, initialise)

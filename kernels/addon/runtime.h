/*
 * ONNX Runtime's sessions through its C interface, opened by path: no header or library of it at build time. Owns what
 * the interface hands out (each thing is released once) and turns every failure into an exception with ONNX Runtime's
 * own words. Knows nothing of Node.
 */
#ifndef PUMER_ADDON_RUNTIME_H
#define PUMER_ADDON_RUNTIME_H

#include <cstdint>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "abi.h"

namespace pumer::node {

struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/* One libonnxruntime in this process: its table, and its environment, which all sessions of a process share. */
class Runtime {
 public:
  /* The library at `path`; the one that is loaded already where there is one. Throws where it is absent or too old. */
  static std::shared_ptr<Runtime> load(const std::string& path);

  explicit Runtime(const std::string& path);
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  const OrtApi* api() const { return api_; }
  const std::string& version() const { return version_; }
  OrtEnv* env();

  /* Throws what a status says and releases it; null is success. */
  void check(OrtStatus* status) const;

 private:
  const OrtApi* api_ = nullptr;
  std::string version_;
  std::mutex mutex_;
  OrtEnv* env_ = nullptr;
};

/* What the custom-op library says of itself. */
struct OpsLibrary {
  std::string level;
  bool cuda = false;
};
OpsLibrary describe_ops(const std::string& path);

/* Bytes of an element; 0 for types whose elements are not plain bytes (strings, sub-byte types). */
size_t element_size(int type);

/* A tensor, or whatever else a session gave. Released with the object. */
class RunValue {
 public:
  RunValue(std::shared_ptr<Runtime> runtime, OrtValue* value) : runtime_(std::move(runtime)), value_(value) {}
  ~RunValue();
  RunValue(RunValue&& other) noexcept : runtime_(std::move(other.runtime_)), value_(other.value_) {
    other.value_ = nullptr;
  }
  RunValue(const RunValue&) = delete;
  RunValue& operator=(const RunValue&) = delete;

  /* A tensor with a copy of `bytes`; throws where their number does not fit. */
  static RunValue tensor(const std::shared_ptr<Runtime>& runtime, const std::string& name, int type,
                      const std::vector<int64_t>& dims, const void* bytes, size_t size);

  OrtValue* get() const { return value_; }

  struct View {
    int type = ORT_UNDEFINED; /* stays so where it is no tensor */
    std::vector<int64_t> dims;
    const void* data = nullptr; /* null where there are no elements, or none that are plain bytes */
    size_t size = 0;
  };
  View view() const;

 private:
  std::shared_ptr<Runtime> runtime_;
  OrtValue* value_;
};

struct Dim {
  int64_t size; /* below 0: open, `symbol` may name it */
  std::string symbol;
};

struct ValueInfo {
  std::string name;
  int type = ORT_UNDEFINED; /* no tensor */
  std::vector<Dim> dims;
};

struct SessionOptions {
  int threads = 0; /* inside one operator; 0: ONNX Runtime's choice */
  bool optimize = true;
  std::string profile; /* prefix of the profile's file; empty: none */
  std::string ops;     /* the custom-op library; empty: none */
  bool cuda = false;
};

class Session {
 public:
  /* Opens a model from `path`, or from `bytes` where the path is empty. */
  Session(std::shared_ptr<Runtime> runtime, const std::string& path, const std::vector<uint8_t>& bytes,
          const SessionOptions& options);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  const std::shared_ptr<Runtime>& runtime() const { return runtime_; }
  const std::vector<ValueInfo>& inputs() const { return inputs_; }
  const std::vector<ValueInfo>& outputs() const { return outputs_; }

  /* Runs once and returns a value per output, in order. Any number of threads may do so at a time. */
  std::vector<RunValue> run(const std::vector<std::string>& names, const std::vector<RunValue>& values) const;

  /* Stops profiling and returns the file it went to. */
  std::string end_profiling();

 private:
  std::vector<ValueInfo> values(OrtSlot count, OrtSlot name, OrtSlot info) const;

  std::shared_ptr<Runtime> runtime_;
  OrtSession* session_ = nullptr;
  std::vector<ValueInfo> inputs_, outputs_;
};

}  // namespace pumer::node

#endif

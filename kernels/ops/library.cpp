/*
 * RegisterCustomOps: what ONNX Runtime looks for in a custom-op library. An ONNX Runtime that is older than the table
 * this was written for gets no op, and its models run on the function's body.
 */
#include "../ort/abi.h"
#include "pumer/token_reduce.h"
#include "token_reduce.h"

using pumer::ort::call;

namespace {

/* The domain with all ops in it, or null. Never released: it has to outlive every session that was made with it. */
OrtCustomOpDomain* make_domain(const OrtApi* table) {
  OrtCustomOpDomain* domain = nullptr;
  OrtStatus* status = call<OrtStatus*>(table, ORT_CreateCustomOpDomain, static_cast<const char*>("ai.pumer"), &domain);
  size_t count = 0;
  const OrtCustomOp* const* ops = pumer::ops::all_ops(table, count);
  for (size_t i = 0; i < count && status == nullptr; i++)
    status = call<OrtStatus*>(table, ORT_CustomOpDomain_Add, domain, ops[i]);
  if (status == nullptr) return domain;
  call<void>(table, ORT_ReleaseStatus, status);
  return nullptr;
}

}  // namespace

extern "C" PUMER_API OrtStatus* PUMER_ORT_CALL RegisterCustomOps(OrtSessionOptions* options, const OrtApiBase* base) {
  const OrtApi* table = base->GetApi(PUMER_ORT_API_VERSION);
  if (table == nullptr) return nullptr;
  static OrtCustomOpDomain* const domain = make_domain(table);
  if (domain == nullptr)
    return call<OrtStatus*>(table, ORT_CreateStatus, static_cast<int>(ORT_FAIL),
                            static_cast<const char*>("the custom ops of ai.pumer could not be made"));
  return call<OrtStatus*>(table, ORT_AddCustomOpDomain, options, domain);
}

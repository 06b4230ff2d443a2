/* See call.h. A size that differs is named with the input, the axis and both values. */
#include "call.h"

#include <stdio.h>

namespace pumer::ops {

namespace {

constexpr const char* kAttentionInputs[] = {"tokens", "attention", "row_weight", "metric",
                                            "weight", "protected", "keep",       "merge"};
constexpr const char* kQueryInputs[] = {"tokens",     "queries", "keys",   "bias",      "scale", "first",
                                        "row_weight", "metric",  "weight", "protected", "keep",  "merge"};

/* Reads inputs in order; after the first fault everything else is skipped. */
class Reader {
 public:
  Reader(int looks, const Tensor* inputs, char* message, size_t capacity)
      : names_(looks == PUMER_FROM_QUERIES ? kQueryInputs : kAttentionInputs),
        inputs_(inputs),
        message_(message),
        capacity_(capacity) {}

  const char* fault() const { return faulty_ ? message_ : nullptr; }

  /* An input of that rank; -1 as a size takes any, -2 takes 1 or what `alternative` says. */
  const Tensor& tensor(size_t index, int64_t rank) {
    const Tensor& t = inputs_[index];
    if (faulty_) return t;
    if (!t.present) fail("input %s is missing", names_[index]);
    else if (t.rank != rank)
      fail("input %s has %lld axes instead of %lld", names_[index], static_cast<long long>(t.rank),
           static_cast<long long>(rank));
    return t;
  }

  void size(size_t index, int64_t axis, int64_t expected) {
    const int64_t found = inputs_[index].dims[axis];
    if (!faulty_ && found != expected)
      fail("input %s has %lld entries on axis %lld instead of %lld", names_[index], static_cast<long long>(found),
           static_cast<long long>(axis), static_cast<long long>(expected));
  }

  /* One entry that serves for all, or as many as expected. */
  bool serves_all(size_t index, int64_t axis, int64_t expected) {
    if (!faulty_ && inputs_[index].dims[axis] == 1) return expected != 1;
    size(index, axis, expected);
    return false;
  }

  int64_t number(size_t index) {
    const Tensor& t = tensor(index, 1);
    size(index, 0, 1);
    return faulty_ ? 0 : *static_cast<const int64_t*>(t.data);
  }

  int type(size_t index) {
    const int found = float_type(inputs_[index].type);
    if (!faulty_ && found < 0)
      fail("input %s has element type %d, which is no float", names_[index], inputs_[index].type);
    return found;
  }

  /* Dense [b, h, r, c], each axis as expected or 1 where it may be. */
  pumer_view view(size_t index, const int64_t (&expected)[4], const bool (&may_be_one)[4]) {
    const Tensor& t = tensor(index, 4);
    pumer_view view{t.data, {}};
    int64_t stride = 1;
    for (int axis = 3; axis >= 0; axis--) {
      const bool shared = may_be_one[axis] && serves_all(index, axis, expected[axis]);
      if (!may_be_one[axis]) size(index, axis, expected[axis]);
      view.stride[axis] = shared ? 0 : stride;
      stride *= t.dims[axis];
    }
    return view;
  }

 private:
  template <class... Arguments>
  void fail(const char* format, Arguments... arguments) {
    faulty_ = true;
    snprintf(message_, capacity_, format, arguments...);
  }

  const char* const* names_;
  const Tensor* inputs_;
  char* message_;
  size_t capacity_;
  bool faulty_ = false;
};

}  // namespace

int input_type(int looks, size_t index, int tokens) {
  if (index == 0) return tokens;
  if (looks == PUMER_FROM_QUERIES) {
    if (index <= 3) return ORT_UNDEFINED;
    if (index == 5 || index >= 9) return ORT_INT64;
    return ORT_FLOAT;
  }
  if (index == 1) return ORT_UNDEFINED;
  return index >= 5 ? ORT_INT64 : ORT_FLOAT;
}

int float_type(int element_type) {
  switch (element_type) {
    case ORT_FLOAT: return PUMER_FLOAT32;
    case ORT_FLOAT16: return PUMER_FLOAT16;
    case ORT_BFLOAT16: return PUMER_BFLOAT16;
    case ORT_DOUBLE: return PUMER_FLOAT64;
    default: return -1;
  }
}

const char* call_from(int looks, int semantics, const Tensor* inputs, pumer_token_reduce& call, char* message,
                      size_t capacity) {
  Reader read(looks, inputs, message, capacity);
  const bool queries = looks == PUMER_FROM_QUERIES;
  const size_t row_weight = queries ? 6 : 2, metric = row_weight + 1, weight = row_weight + 2, guarded = row_weight + 3;
  call = pumer_token_reduce{};
  call.semantics = semantics;
  call.looks = looks;

  const Tensor& tokens = read.tensor(0, 3);
  call.type = read.type(0);
  call.batch = tokens.dims[0];
  call.tokens_in = tokens.dims[1];
  call.width = tokens.dims[2];
  call.tokens = tokens.data;

  const Tensor& rows = read.tensor(row_weight, 2);
  call.rows = rows.dims[1];
  call.row_weight = static_cast<const float*>(rows.data);
  call.row_weight_stride = read.serves_all(row_weight, 0, call.batch) ? 0 : call.rows;

  call.heads = read.tensor(1, 4).dims[1];
  call.looks_type = read.type(1);
  if (queries) {
    call.query_width = inputs[1].dims[3];
    call.key_count = read.tensor(2, 4).dims[3];
    call.queries = read.view(1, {call.batch, call.heads, call.rows, call.query_width}, {true, false, true, false});
    call.keys = read.view(2, {call.batch, call.heads, call.query_width, call.key_count}, {true, true, false, false});
    call.bias = read.view(3, {call.batch, call.heads, call.rows, call.key_count}, {true, true, true, true});
    const Tensor& scale = read.tensor(4, 1);
    read.size(4, 0, 1);
    if (read.type(2) != call.looks_type || read.type(3) != call.looks_type) {
      snprintf(message, capacity, "queries, keys and bias differ in element type");
      return message;
    }
    if (read.fault() == nullptr) call.scale = *static_cast<const float*>(scale.data);
    call.first = read.number(5);
  } else {
    call.attention = read.view(1, {call.batch, call.heads, call.rows, call.tokens_in}, {true, false, true, true});
  }

  const Tensor& keys = read.tensor(metric, 3);
  read.size(metric, 0, call.batch);
  read.size(metric, 1, call.tokens_in);
  call.metric_width = keys.dims[2];
  call.metric = static_cast<const float*>(keys.data);

  call.weight = static_cast<const float*>(read.tensor(weight, 2).data);
  read.size(weight, 0, call.batch);
  read.size(weight, 1, call.tokens_in);

  const Tensor& positions = read.tensor(guarded, 1);
  call.protected_count = positions.dims[0];
  call.protected_positions = static_cast<const int64_t*>(positions.data);
  call.keep = read.number(guarded + 1);
  call.merge = read.number(guarded + 2);
  if (read.fault() != nullptr) return read.fault();
  return pumer_token_reduce_check(&call, message, capacity);
}

}  // namespace pumer::ops

/*
 * CUDA kernels, run on the processor, against the CPU reducer: the same bits in every output, whatever the order in
 * which a block's threads run and however few blocks a grid has. Buffers have exactly their size and start poisoned.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "cuda_runtime.h"
#include "pumer/token_reduce.h"

namespace {

enum Flavour {
  RANDOM, /* numbers of any kind */
  EXACT,  /* all sums exact, ties everywhere */
  BROKEN  /* NaN, infinities, -0 and zero keys among them */
};

struct Shape {
  int semantics, type, looks, looks_type;
  int64_t batch, tokens, width, metric_width, heads, rows, keep, merge;
  std::vector<int64_t> is_protected;
  Flavour flavour;
  double pads; /* how many of the tokens have no weight */
  bool shared_attention, one_look, shifted; /* batch of 1 for all; one number for all; tokens not aligned */
};

std::mt19937 generator;

double uniform() { return generator() / 4294967296.0; }
int64_t below(int64_t n) { return static_cast<int64_t>(generator() % static_cast<uint64_t>(n)); }

size_t bytes_of(int type) { return type == PUMER_FLOAT64 ? 8 : type == PUMER_FLOAT32 ? 4 : 2; }

void put(void* at, int type, double x) {
  const float f = static_cast<float>(x);
  uint32_t bits;
  memcpy(&bits, &f, 4);
  if (type == PUMER_FLOAT64) memcpy(at, &x, 8);
  else if (type == PUMER_FLOAT32) memcpy(at, &f, 4);
  else if (type == PUMER_FLOAT16) {
    const _Float16 half = static_cast<_Float16>(f);
    memcpy(at, &half, 2);
  } else {
    const uint16_t high = static_cast<uint16_t>(bits >> 16);
    memcpy(at, &high, 2);
  }
}

/* NaN payloads apart, bit for bit. */
bool same(const unsigned char* a, const unsigned char* b, int type) {
  if (memcmp(a, b, bytes_of(type)) == 0) return true;
  const auto is_nan = [&](const unsigned char* p) {
    if (type == PUMER_FLOAT64) {
      double x;
      memcpy(&x, p, 8);
      return x != x;
    }
    uint32_t bits = 0;
    memcpy(&bits, p, bytes_of(type));
    const uint32_t infinity = type == PUMER_FLOAT32 ? 0x7F800000 : type == PUMER_FLOAT16 ? 0x7C00 : 0x7F80;
    const uint32_t magnitude = bits & (type == PUMER_FLOAT32 ? 0x7FFFFFFF : 0x7FFF);
    return magnitude > infinity;
  };
  return is_nan(a) && is_nan(b);
}

/* Memory of exactly its size, poisoned, `shift` bytes behind an alignment that suits vectors. */
class Buffer {
 public:
  explicit Buffer(size_t size, size_t shift = 0) : bytes_(new unsigned char[size + shift]), size_(size), shift_(shift) {
    memset(bytes_.get(), 0xFF, size + shift);
  }
  unsigned char* data() { return bytes_.get() + shift_; }
  size_t size() const { return size_; }

 private:
  std::unique_ptr<unsigned char[]> bytes_;
  size_t size_, shift_;
};

template <typename Next>
Buffer filled(int type, int64_t count, size_t shift, const Next& next) {
  Buffer buffer(static_cast<size_t>(count) * bytes_of(type), shift);
  for (int64_t i = 0; i < count; i++) put(buffer.data() + static_cast<size_t>(i) * bytes_of(type), type, next());
  return buffer;
}

double broken_or(const Shape& shape, double x) {
  if (shape.flavour != BROKEN || below(12) != 0) return x;
  const double odd[] = {NAN, INFINITY, -INFINITY, -0.0, 0.0, 1e30, 1e-30};
  return odd[below(7)];
}

std::string name_of(const Shape& s) {
  char text[256];
  snprintf(text, sizeof text,
           "%s type %d looks %d/%d B %d n %d D %d d %d H %d R %d keep %d merge %d protected %d flavour %d",
           s.semantics == PUMER_SAFE ? "safe" : "pumer", s.type, s.looks, s.looks_type, int(s.batch), int(s.tokens),
           int(s.width), int(s.metric_width), int(s.heads), int(s.rows), int(s.keep), int(s.merge),
           int(s.is_protected.size()), s.flavour);
  return text;
}

struct Outputs {
  Buffer reduced, weight, target, position;
};

int failures = 0;

void compare(const Shape& shape, const char* what, Buffer& a, Buffer& b, int type) {
  const size_t each = type < 0 ? 8 : bytes_of(type);
  for (size_t i = 0; i < a.size(); i += each) {
    const bool equal = type < 0 ? memcmp(a.data() + i, b.data() + i, 8) == 0 : same(a.data() + i, b.data() + i, type);
    if (equal) continue;
    fprintf(stderr, "%s: %s differs at %zu\n", name_of(shape).c_str(), what, i / each);
    failures++;
    return;
  }
}

void check(const Shape& s) {
  const bool exact = s.flavour == EXACT;
  const size_t shift = s.shifted ? bytes_of(s.type) : 0;
  const int64_t kept = s.keep - s.merge, key_count = s.tokens + 3, query_width = exact ? 4 : 1 + below(40);
  Buffer tokens = filled(s.type, s.batch * s.tokens * s.width, shift, [&] {
    return broken_or(s, exact ? below(17) - 8.0 : below(3) == 0 ? -0.0 : 4 * uniform() - 2);
  });
  const int64_t looking = s.shared_attention ? 1 : s.batch, looked = s.one_look ? 1 : s.tokens;
  Buffer attention = filled(s.looks_type, looking * s.heads * s.rows * looked, 0,
                            [&] { return broken_or(s, exact ? double(below(4)) : uniform() * uniform()); });
  const auto small = [&] { return broken_or(s, exact ? double(below(3)) - 1 : 2 * uniform() - 1); };
  Buffer queries = filled(s.looks_type, s.batch * s.heads * s.rows * query_width, 0, small);
  Buffer keys = filled(s.looks_type, s.batch * s.heads * query_width * key_count, 0, small);
  Buffer bias = filled(s.looks_type, s.batch * key_count, 0, [&] { return below(5) == 0 ? -10000.0 : 0.0; });
  Buffer metric = filled(PUMER_FLOAT32, s.batch * s.tokens * s.metric_width, 0,
                         [&] { return broken_or(s, exact ? double(below(2)) * 2 - 1 : 0.2 * uniform() + 1); });
  if (s.flavour == BROKEN && s.metric_width > 0 && s.batch > 0) memset(metric.data(), 0, size_t(s.metric_width) * 4);
  Buffer weight = filled(PUMER_FLOAT32, s.batch * s.tokens, 0,
                         [&] { return uniform() < s.pads ? 0.0 : exact ? 1.0 + double(below(3)) : 0.5 + uniform(); });
  Buffer row_weight = filled(PUMER_FLOAT32, looking * s.rows, 0, [&] { return double(below(4) != 0); });

  pumer_token_reduce call = {};
  call.semantics = s.semantics, call.type = s.type, call.looks = s.looks, call.looks_type = s.looks_type;
  call.batch = s.batch, call.tokens_in = s.tokens, call.width = s.width, call.metric_width = s.metric_width;
  call.heads = s.heads, call.rows = s.rows, call.keep = s.keep, call.merge = s.merge;
  call.tokens = tokens.data();
  call.attention = {attention.data(),
                    {s.shared_attention ? 0 : s.heads * s.rows * looked, s.rows * looked, looked, s.one_look ? 0 : 1}};
  call.queries = {queries.data(), {s.heads * s.rows * query_width, s.rows * query_width, query_width, 1}};
  call.keys = {keys.data(), {s.heads * query_width * key_count, query_width * key_count, key_count, 1}};
  if (below(2) == 0) call.bias = {bias.data(), {key_count, 0, 0, 1}};
  call.query_width = query_width, call.key_count = key_count, call.first = below(4), call.scale = exact ? 0.5f : 0.3f;
  call.row_weight = reinterpret_cast<float*>(row_weight.data());
  call.row_weight_stride = s.shared_attention ? 0 : s.rows;
  call.metric = reinterpret_cast<float*>(metric.data());
  call.weight = reinterpret_cast<float*>(weight.data());
  call.protected_positions = s.is_protected.data();
  call.protected_count = static_cast<int64_t>(s.is_protected.size());

  char message[256];
  if (const char* wrong = pumer_token_reduce_check(&call, message, sizeof message)) {
    fprintf(stderr, "%s: %s\n", name_of(s).c_str(), wrong);
    failures++;
    return;
  }
  const auto outputs = [&] {
    const size_t out = size_t(s.batch * kept), in = size_t(s.batch * s.tokens);
    return Outputs{Buffer(out * size_t(s.width) * bytes_of(s.type), shift), Buffer(out * 4), Buffer(in * 8),
                   Buffer(out * 8)};
  };
  const auto write_to = [&](Outputs& out, bool all) {
    call.reduced = out.reduced.data();
    call.weight_out = all ? reinterpret_cast<float*>(out.weight.data()) : nullptr;
    call.target = all ? reinterpret_cast<int64_t*>(out.target.data()) : nullptr;
    call.position = all ? reinterpret_cast<int64_t*>(out.position.data()) : nullptr;
  };

  Outputs expected = outputs();
  write_to(expected, true);
  std::vector<unsigned char> cpu(pumer_token_reduce_cpu_scratch(&call) + 64, 0xFF);
  unsigned char* aligned = cpu.data() + (64 - reinterpret_cast<uintptr_t>(cpu.data()) % 64) % 64;
  pumer_token_reduce_cpu(&call, aligned, PUMER_LEVEL_BEST, nullptr, nullptr);

  for (const on_host::Order order : {on_host::ASCENDING, on_host::DESCENDING, on_host::SHUFFLED}) {
    if (s.tokens > 1024 && order != on_host::SHUFFLED) continue;  // for time
    on_host::set_order(order);
    on_host::set_most_blocks(order == on_host::SHUFFLED ? 2 : ~0u);
    const bool all = order != on_host::DESCENDING;
    Outputs made = outputs();
    write_to(made, all);
    Buffer scratch(pumer_token_reduce_cuda_scratch(&call));
    const int error = pumer_token_reduce_cuda(&call, scratch.data(), nullptr, message, sizeof message);
    if (error != 0) {
      fprintf(stderr, "%s: error %d, %s\n", name_of(s).c_str(), error, message);
      failures++;
      return;
    }
    compare(s, "reduced", made.reduced, expected.reduced, s.type);
    if (!all) continue;
    compare(s, "weight", made.weight, expected.weight, PUMER_FLOAT32);
    compare(s, "target", made.target, expected.target, -1);
    compare(s, "position", made.position, expected.position, -1);
  }
}

Shape any_shape() {
  Shape s = {};
  s.semantics = int(below(2)), s.type = int(below(4)), s.looks = int(below(2)), s.looks_type = int(below(4));
  const int64_t sizes[] = {1, 2, 3, 4, 5, 8, 17, 33, 64, 65, 100, 145};
  const int64_t widths[] = {1, 3, 8, 16, 24, 33, 70};
  s.batch = 1 + below(3), s.tokens = sizes[below(12)], s.width = widths[below(7)], s.metric_width = widths[below(7)];
  s.heads = 1 + below(3), s.rows = 1 + below(35);
  s.flavour = static_cast<Flavour>(below(3));
  if (s.flavour == EXACT) s.metric_width = 64;
  s.keep = 1 + below(s.tokens);
  if (below(3) == 0) s.keep = s.tokens;
  const bool safe = s.semantics == PUMER_SAFE;
  for (int64_t i = below(4); safe && i > 0; i--) s.is_protected.push_back(below(3 * s.tokens) - s.tokens);
  const int64_t candidates = safe ? s.keep - int64_t(s.is_protected.size()) : s.keep;
  const int64_t most = candidates < 2 ? 0 : safe ? (candidates + 1) / 2 : (candidates - 1) / 2;
  s.merge = below(4) == 0 ? most : below(most + 1);
  const double pads[] = {0, 0.3, 0.9, 1};
  s.pads = pads[below(4)];
  s.shared_attention = below(4) == 0, s.one_look = below(6) == 0, s.shifted = below(3) == 0;
  return s;
}

/* What the random shapes are too small for, or never hit. */
std::vector<Shape> large_shapes() {
  std::vector<Shape> shapes;
  const auto add = [&](int semantics, int64_t batch, int64_t n, int64_t width, int64_t keep, int64_t merge, int looks,
                       std::vector<int64_t> is_protected = {}) {
    Shape s = {};
    s.semantics = semantics, s.type = PUMER_FLOAT16, s.looks = looks, s.looks_type = PUMER_FLOAT32;
    s.batch = batch, s.tokens = n, s.width = width, s.metric_width = n == 4096 ? 16 : 64, s.heads = 2, s.rows = 5;
    s.keep = keep, s.merge = merge, s.is_protected = is_protected, s.flavour = EXACT, s.pads = 0.1;
    shapes.push_back(s);
  };
  for (const int semantics : {PUMER_SAFE, PUMER_PUMER}) {
    add(semantics, 1, 577, 40, 462, 115, PUMER_FROM_ATTENTION, {0});
    add(semantics, 2, 577, 8, 577, 173, PUMER_FROM_QUERIES, {0});
    add(semantics, 1, 1025, 16, 800, 300, PUMER_FROM_ATTENTION, {0, 1, -1, -1});
    add(semantics, 1, 4096, 8, 4096, 2000, PUMER_FROM_ATTENTION);
    add(semantics, 1, 4096, 8, 3000, 1000, PUMER_FROM_QUERIES, {0, 4095, 4095, 77, 77});
    add(semantics, 300, 9, 8, 7, 2, PUMER_FROM_ATTENTION, {0});
    add(semantics, 0, 9, 8, 7, 2, PUMER_FROM_ATTENTION);
    add(semantics, 2, 0, 8, 0, 0, PUMER_FROM_ATTENTION);
    add(semantics, 2, 9, 0, 7, 2, PUMER_FROM_ATTENTION);
  }
  add(PUMER_SAFE, 2, 30, 8, 3, 0, PUMER_FROM_ATTENTION, {0, 1, 2, 3, 4});           // fewer kept than protected
  add(PUMER_SAFE, 2, 30, 8, 20, 7, PUMER_FROM_ATTENTION, {0, 0, -30, 5, 99, -99});  // named twice, and beyond the lane
  shapes.back().flavour = RANDOM;
  add(PUMER_PUMER, 1, 4096, 8, 4000, 0, PUMER_FROM_QUERIES);  // scores of all heads do not fit at once
  shapes.back().heads = 5, shapes.back().rows = 600;
  return shapes;
}

}  // namespace

int main(int argc, char** argv) {
  const int count = argc > 1 ? atoi(argv[1]) : 300;
  int done = 0;
  for (const Shape& shape : large_shapes()) check(shape), done++;
  for (int i = 0; i < count; i++) {
    generator.seed(static_cast<uint32_t>(i));
    check(any_shape());
    done++;
  }
  pumer_token_reduce long_call = {};
  long_call.batch = 1, long_call.tokens_in = 4097, long_call.keep = 4097;
  char message[256] = "";
  if (pumer_token_reduce_cuda(&long_call, nullptr, nullptr, message, sizeof message) != -1 || message[0] == 0) {
    fprintf(stderr, "4097 tokens are not refused\n");
    failures++;
  }
  printf("%d calls, %d failures\n", done, failures);
  return failures == 0 ? 0 : 1;
}

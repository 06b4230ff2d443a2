/*
 * Random calls through the plain C entry points: every instruction set this processor has, with and without threads,
 * rows alone and in a batch, must give the same bits; counts and means must obey the laws of conservation; malformed
 * calls must be told. Buffers have exactly the sizes of the call, so AddressSanitizer sees every step beyond them.
 * What is decided is checked against the float64 reference from Node (test/kernels).
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "pumer/token_reduce.h"

namespace {

int failures = 0;

void expect(bool holds, const char* law, const std::string& where) {
  if (holds) return;
  failures++;
  printf("FAILED %s: %s\n", law, where.c_str());
}

constexpr size_t kBytes[] = {4, 2, 2, 8};

using Bytes = std::vector<unsigned char>;

class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  int64_t between(int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(engine_); }
  bool chance(double p) { return std::uniform_real_distribution<>(0, 1)(engine_) < p; }
  double normal() { return std::normal_distribution<>()(engine_); }

 private:
  std::mt19937 engine_;
};

uint16_t half_of(float f) { /* small integers and simple fractions only */
  if (f == 0) return 0;
  int exponent;
  const float mantissa = frexpf(fabsf(f), &exponent);
  const auto bits = static_cast<uint16_t>((exponent + 14) << 10 | (static_cast<int>(mantissa * 2048) & 0x3FF));
  return static_cast<uint16_t>(f < 0 ? bits | 0x8000 : bits);
}

Bytes elements(int type, int64_t count, Random& random, bool exact) {
  Bytes bytes(static_cast<size_t>(count) * kBytes[type]);
  for (int64_t i = 0; i < count; i++) {
    const double x = exact || type == PUMER_FLOAT16 ? static_cast<double>(random.between(-8, 8)) : random.normal();
    const float f = static_cast<float>(x);
    uint32_t bits;
    memcpy(&bits, &f, 4);
    const auto brain = static_cast<uint16_t>(bits >> 16);
    const uint16_t half = type == PUMER_FLOAT16 ? half_of(f) : 0;
    const void* from = type == PUMER_FLOAT64 ? static_cast<const void*>(&x)
                       : type == PUMER_FLOAT32 ? static_cast<const void*>(&f)
                       : type == PUMER_FLOAT16 ? static_cast<const void*>(&half)
                                               : static_cast<const void*>(&brain);
    memcpy(bytes.data() + static_cast<size_t>(i) * kBytes[type], from, kBytes[type]);
  }
  return bytes;
}

std::vector<float> floats(int64_t count, Random& random, bool exact, float low) {
  std::vector<float> values(static_cast<size_t>(count));
  for (auto& v : values)
    v = exact ? static_cast<float>(random.between(static_cast<int64_t>(low), 3))
              : static_cast<float>(fabs(random.normal())) + low;
  return values;
}

bool same_bits(const void* a, const void* b, size_t bytes) { return bytes == 0 || memcmp(a, b, bytes) == 0; }

/* One call with everything it points to. */
struct Case {
  pumer_token_reduce call{};
  Bytes tokens, looks, queries, keys, bias;
  std::vector<float> row_weight, metric, weight;
  std::vector<int64_t> guarded;
  std::string name;
};

struct Result {
  Bytes reduced;
  std::vector<float> weight;
  std::vector<int64_t> target, position;
  bool operator==(const Result& other) const {
    return reduced == other.reduced && target == other.target && position == other.position &&
           same_bits(weight.data(), other.weight.data(), weight.size() * sizeof(float));
  }
};

Case make_case(Random& random, int64_t batch, int64_t n, int64_t width, bool exact) {
  Case made;
  pumer_token_reduce& c = made.call;
  c.semantics = static_cast<int32_t>(random.between(0, 1));
  c.type = static_cast<int32_t>(random.between(0, 3));
  c.looks = static_cast<int32_t>(random.between(0, 1));
  c.looks_type = static_cast<int32_t>(random.between(0, 3));
  c.batch = batch;
  c.tokens_in = n;
  c.width = width;
  c.metric_width = exact ? 64 : random.between(1, 70);
  c.heads = random.between(1, 13);
  c.rows = random.between(1, 11);
  made.tokens = elements(c.type, batch * n * width, random, exact);
  made.row_weight = floats(batch * c.rows, random, exact, 0);
  made.metric.resize(static_cast<size_t>(batch * n * c.metric_width));
  for (auto& m : made.metric) m = exact ? (random.chance(0.5) ? 1.0f : -1.0f) : static_cast<float>(random.normal());
  if (!exact && !made.metric.empty() && random.chance(0.2)) made.metric[0] = NAN;
  made.weight = floats(batch * n, random, exact, 0);
  for (auto& w : made.weight) w = random.chance(0.2) ? 0 : w;
  for (int64_t i = random.between(0, 3); i > 0 && n > 3; i--) made.guarded.push_back(random.between(-n - 1, n));
  const int64_t guarded = c.semantics == PUMER_SAFE ? static_cast<int64_t>(made.guarded.size()) : 1;
  c.keep = n == 0 ? 0 : random.between(std::min<int64_t>(std::max<int64_t>(guarded, 1), n), n);
  const int64_t most = std::max<int64_t>(c.keep - guarded, 0) / 2;
  c.merge = random.between(0, most);
  if (c.looks == PUMER_FROM_ATTENTION) {
    made.looks = elements(c.looks_type, batch * c.heads * c.rows * n, random, exact);
    c.attention = {made.looks.data(), {c.heads * c.rows * n, c.rows * n, n, 1}};
  } else {
    c.query_width = random.between(1, 40);
    c.first = random.between(0, 20);
    c.key_count = c.first + n + random.between(0, 20);
    c.scale = 0.25f;
    made.queries = elements(c.looks_type, batch * c.heads * c.rows * c.query_width, random, exact);
    made.keys = elements(c.looks_type, batch * c.heads * c.query_width * c.key_count, random, exact);
    const int64_t row = c.query_width, lane = c.key_count;
    c.queries = {made.queries.data(), {c.heads * c.rows * row, c.rows * row, row, 1}};
    c.keys = {made.keys.data(), {c.heads * row * lane, row * lane, lane, 1}};
    if (random.chance(0.7)) {
      made.bias = elements(c.looks_type, batch * lane, random, exact);
      c.bias = {made.bias.data(), {lane, 0, 0, 1}};
    }
  }
  c.tokens = made.tokens.data();
  c.row_weight = made.row_weight.data();
  c.row_weight_stride = c.rows;
  c.metric = made.metric.data();
  c.weight = made.weight.data();
  c.protected_positions = made.guarded.data();
  c.protected_count = static_cast<int64_t>(made.guarded.size());
  char text[160];
  snprintf(text, sizeof text, "%s %s type %d looks %d/%d B %lld n %lld D %lld d %lld keep %lld merge %lld",
           exact ? "exact" : "real", c.semantics == PUMER_SAFE ? "safe" : "pumer", c.type, c.looks, c.looks_type,
           static_cast<long long>(batch), static_cast<long long>(n), static_cast<long long>(width),
           static_cast<long long>(c.metric_width), static_cast<long long>(c.keep), static_cast<long long>(c.merge));
  made.name = text;
  return made;
}

/* Real threads, so that ThreadSanitizer and AddressSanitizer see what a pool would do. */
void on_threads(void*, void (*fn)(void*, size_t), size_t count, void* user) {
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t i = next++; i < count; i = next++) fn(user, i);
  };
  std::thread other(work);
  work();
  other.join();
}

Result run(const pumer_token_reduce& given, int level, pumer_parallel_for loop) {
  pumer_token_reduce call = given;
  const int64_t kept = call.keep - call.merge;
  Result result;
  result.reduced.assign(static_cast<size_t>(call.batch * kept * call.width) * kBytes[call.type], 0xCD);
  result.weight.assign(static_cast<size_t>(call.batch * kept), -12345.0f);
  result.target.assign(static_cast<size_t>(call.batch * call.tokens_in), -99);
  result.position.assign(static_cast<size_t>(call.batch * kept), -99);
  call.reduced = result.reduced.data();
  call.weight_out = result.weight.data();
  call.target = result.target.data();
  call.position = result.position.data();
  const size_t bytes = pumer_token_reduce_cpu_scratch(&call);
  void* block = aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
  memset(block, 0xCD, bytes);  // what is read before it is written shows
  pumer_token_reduce_cpu(&call, block, level, loop, nullptr);
  free(block);
  return result;
}

/* Every token is somewhere or pruned, every place is held by its own survivor, and sizes add up. */
void check_laws(const Case& made, const Result& result) {
  const pumer_token_reduce& c = made.call;
  const int64_t kept = c.keep - c.merge, n = c.tokens_in;
  for (int64_t b = 0; b < c.batch; b++) {
    const int64_t* target = result.target.data() + b * n;
    const int64_t* position = result.position.data() + b * kept;
    int64_t gone = 0;
    double before = 0, after = 0;
    for (int64_t v = 0; v < n; v++) {
      expect(target[v] >= -1 && target[v] < kept, "targets are places", made.name);
      if (target[v] < 0) gone++;
      else before += static_cast<double>(made.weight[static_cast<size_t>(b * n + v)]);
    }
    for (int64_t j = 0; j < kept; j++) {
      expect(position[j] >= 0 && position[j] < n, "survivors are tokens", made.name);
      after += static_cast<double>(result.weight[static_cast<size_t>(b * kept + j)]);
    }
    std::vector<int64_t> distinct;
    for (const int64_t p : made.guarded) {
      const int64_t at = p < 0 ? p + n : p;
      if (at < 0 || at >= n) continue;
      if (std::find(distinct.begin(), distinct.end(), at) == distinct.end()) distinct.push_back(at);
    }
    const bool named_once = distinct.size() == made.guarded.size();
    if (c.semantics == PUMER_PUMER || named_once) {
      expect(gone == n - c.keep, "n - keep tokens are pruned", made.name);
      for (int64_t j = 0; j < kept; j++) expect(target[position[j]] == j, "survivors stand at their place", made.name);
      if (c.semantics == PUMER_SAFE) {
        expect(fabs(before - after) <= 1e-5 * (1 + before), "sizes add up", made.name);
        for (const int64_t p : distinct)
          expect(target[p] >= 0 && position[target[p]] == p, "protected stay", made.name);
      }
    }
  }
}

void check_case(const Case& made) {
  char message[256];
  const char* fault = pumer_token_reduce_check(&made.call, message, sizeof message);
  expect(fault == nullptr, fault == nullptr ? "" : fault, made.name);
  if (fault != nullptr) return;
  const Result scalar = run(made.call, PUMER_LEVEL_SCALAR, nullptr);
  const int best = pumer_cpu_level();
  for (int level = PUMER_LEVEL_SCALAR; level <= best; level++) {
    expect(run(made.call, level, nullptr) == scalar, pumer_cpu_level_name(level), made.name);
    expect(run(made.call, level, on_threads) == scalar, "threads change nothing", made.name);
  }
  check_laws(made, scalar);
  if (made.call.batch < 2) return;
  // The last row, alone.
  pumer_token_reduce alone = made.call;
  const int64_t last = alone.batch - 1, n = alone.tokens_in, kept = alone.keep - alone.merge;
  const auto step = [&](pumer_view& view) {
    if (view.data == nullptr) return;
    view.data = static_cast<const char*>(view.data) +
                static_cast<size_t>(last * view.stride[0]) * kBytes[alone.looks_type];
  };
  alone.batch = 1;
  alone.tokens = made.tokens.data() + static_cast<size_t>(last * n * alone.width) * kBytes[alone.type];
  step(alone.attention);
  step(alone.queries);
  step(alone.keys);
  step(alone.bias);
  alone.row_weight += last * alone.row_weight_stride;
  alone.metric += last * n * alone.metric_width;
  alone.weight += last * n;
  const Result single = run(alone, PUMER_LEVEL_BEST, nullptr);
  const size_t row = static_cast<size_t>(kept * alone.width) * kBytes[alone.type];
  expect(same_bits(single.reduced.data(), scalar.reduced.data() + static_cast<size_t>(last) * row, row),
         "a row alone is a row of a batch", made.name);
}

void check_faults(Random& random) {
  Case made = make_case(random, 2, 9, 4, true);
  made.call.semantics = PUMER_SAFE;
  made.call.protected_count = 0;
  made.call.keep = 8;
  made.call.merge = 2;
  char message[256];
  const auto told = [&](const char* what, auto change) {
    pumer_token_reduce broken = made.call;
    change(broken);
    const char* fault = pumer_token_reduce_check(&broken, message, sizeof message);
    expect(fault != nullptr && fault[0] != '\0', "a malformed call is told", what);
  };
  expect(pumer_token_reduce_check(&made.call, message, sizeof message) == nullptr, "a good call passes", made.name);
  told("keep > n", [](auto& c) { c.keep = 10; });
  told("keep 0", [](auto& c) { c.keep = 0; c.merge = 0; });
  told("keep < 0", [](auto& c) { c.keep = -1; });
  told("merge < 0", [](auto& c) { c.merge = -1; });
  told("merge too large", [](auto& c) { c.merge = 5; });
  told("more protected than kept", [](auto& c) { c.protected_count = 8; });
  told("negative size", [](auto& c) { c.width = -1; });
  told("no such type", [](auto& c) { c.type = 4; });
  told("no such semantics", [](auto& c) { c.semantics = 2; });
  told("image keys beyond the end", [](auto& c) {
    c.looks = PUMER_FROM_QUERIES;
    c.query_width = 1;
    c.key_count = 12;
    c.first = 4;
  });
}

}  // namespace

int main(int argc, char** argv) {
  const unsigned seed = argc > 1 ? static_cast<unsigned>(atoi(argv[1])) : 1;
  const int rounds = argc > 2 ? atoi(argv[2]) : 300;
  Random random(seed);
  printf("seed %u, best level %s\n", seed, pumer_cpu_level_name(pumer_cpu_level()));
  constexpr int64_t lengths[] = {1, 2, 3, 4, 5, 33, 65};
  for (int i = 0; i < rounds && failures < 20; i++) {
    const int64_t n = random.chance(0.5) ? lengths[random.between(0, 6)] : random.between(1, 90);
    check_case(make_case(random, random.between(0, 4), n, random.between(1, 70), random.chance(0.5)));
  }
  // Rows that are cut into pieces, and more rows than are in flight.
  for (const bool exact : {true, false}) {
    check_case(make_case(random, 1, 577, 129, exact));
    check_case(make_case(random, 2, 1025, 33, exact));
    check_case(make_case(random, 1, 4096, 8, exact));
    check_case(make_case(random, 300, 17, 5, exact));
  }
  check_faults(random);
  printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}

/*
 * One level: compiled once per instruction set, with PUMER_LEVEL naming the table. Lanes run across tokens, so each
 * token's own sums are chains in the order of pumer/token_reduce.h whatever the width of a register. Nothing here may
 * be shared between sets: only static functions, no standard library. PUMER_SIXTEEN_LANES gives AVX-512's lanes and
 * tiles without its instructions, for tests on processors that lack them.
 */
#include "level.h"

#include "floats.h"
#include "pumer/exp.h"

#if defined(__FMA__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

using namespace pumer;
using namespace pumer::cpu;

namespace {

#if defined(__AVX512F__) || defined(PUMER_SIXTEEN_LANES)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

typedef float F __attribute__((vector_size(4 * kLanes)));
typedef int32_t I __attribute__((vector_size(4 * kLanes)));

constexpr float kInfinity = __builtin_inff();
/* Rows of a tile, whose columns are two registers: as many sums as there are registers for. */
#if defined(__AVX512F__) || defined(PUMER_SIXTEEN_LANES)
constexpr int kTile = 8;
#elif defined(__AVX2__)
constexpr int kTile = 6;
#else
constexpr int kTile = 4;
#endif
static_assert(kTile <= kMostRows, "");

inline F load(const float* p) {
  F x;
  memcpy(&x, p, sizeof x);
  return x;
}

inline void store(float* p, F x) { memcpy(p, &x, sizeof x); }

inline F spread(float f) {
#if defined(__AVX512F__)
  return static_cast<F>(_mm512_set1_ps(f));
#elif defined(__AVX2__) && !defined(PUMER_SIXTEEN_LANES)
  return static_cast<F>(_mm256_set1_ps(f));
#else
  F x;
  for (int l = 0; l < kLanes; l++) x[l] = f;
  return x;
#endif
}

inline F fma(F a, F b, F c) {
#if defined(__AVX512F__)
  return static_cast<F>(_mm512_fmadd_ps(static_cast<__m512>(a), static_cast<__m512>(b), static_cast<__m512>(c)));
#elif defined(__FMA__) && !defined(PUMER_SIXTEEN_LANES)
  return static_cast<F>(_mm256_fmadd_ps(static_cast<__m256>(a), static_cast<__m256>(b), static_cast<__m256>(c)));
#else
  for (int l = 0; l < kLanes; l++) c[l] = __builtin_fmaf(a[l], b[l], c[l]);
  return c;
#endif
}

/* Calls f with a value of the element type: f(float{}), f(Half{}), ... */
template <class Body>
inline void with_type(int type, Body f) {
  switch (type) {
    case PUMER_FLOAT32: return f(float{});
    case PUMER_FLOAT16: return f(Half{});
    case PUMER_BFLOAT16: return f(Bfloat{});
    default: return f(double{});
  }
}

template <class T>
inline const T* at(const pumer_view& view, int64_t b, int64_t h, int64_t r) {
  return static_cast<const T*>(view.data) + b * view.stride[0] + h * view.stride[1] + r * view.stride[2];
}

/* Sums of products of kTile rows with 2 * kLanes columns: fma chains over d. */
inline void tile(const float* const* rows, const float* columns, int64_t stride, int64_t d, F (*sums)[2]) {
  F s[kTile][2] = {};
  const float* row[kTile];  // in registers
  for (int r = 0; r < kTile; r++) row[r] = rows[r];
  for (int64_t i = 0; i < d; i++, columns += stride) {
    const F c0 = load(columns);
    const F c1 = load(columns + kLanes);
    for (int r = 0; r < kTile; r++) {
      const F a = spread(row[r][i]);
      s[r][0] = fma(a, c0, s[r][0]);
      s[r][1] = fma(a, c1, s[r][1]);
    }
  }
  for (int r = 0; r < kTile; r++) {
    sums[r][0] = s[r][0];
    sums[r][1] = s[r][1];
  }
}

inline double row_share(const pumer_token_reduce& call, int64_t b, int64_t r) {
  return call.semantics == PUMER_SAFE ? static_cast<double>(call.row_weight[b * call.row_weight_stride + r]) : 1.0;
}

template <class T>
void looks_typed(const pumer_token_reduce& call, int64_t b, int64_t h, double* looks) {
  const pumer_view& a = call.attention;
  const int64_t n = call.tokens_in;
  if (a.stride[3] == 0) {  // one value for all tokens
    double sum = 0;
    for (int64_t r = 0; r < call.rows; r++)
      sum += row_share(call, b, r) * static_cast<double>(widen(*at<T>(a, b, h, r)));
    for (int64_t v = 0; v < n; v++) looks[v] = sum;
    return;
  }
  // Rows in the order they lie in memory, a few at a time: fewer passes over the sums.
  for (int64_t v = 0; v < n; v++) looks[v] = 0;
  constexpr int kTogether = 4;
  int64_t r = 0;
  for (; r + kTogether <= call.rows; r += kTogether) {
    const T* row[kTogether];
    double u[kTogether];
    for (int i = 0; i < kTogether; i++) {
      row[i] = at<T>(a, b, h, r + i);
      u[i] = row_share(call, b, r + i);
    }
    int64_t v = 0;
    for (; v + 16 <= n; v += 16) {
      // The next rows' elements, which lie behind all of these: memory works while sums are made.
      for (int i = 0; i < kTogether; i++) __builtin_prefetch(row[i] + v + kTogether * a.stride[2]);
      for (int q = 0; q < 4; q++) {
        D4 sum;
        memcpy(&sum, looks + v + 4 * q, sizeof sum);
        for (int i = 0; i < kTogether; i++) sum += u[i] * __builtin_convertvector(load4(row[i] + v + 4 * q), D4);
        memcpy(looks + v + 4 * q, &sum, sizeof sum);
      }
    }
    for (; v < n; v++)
      for (int i = 0; i < kTogether; i++) looks[v] += u[i] * static_cast<double>(widen(row[i][v]));
  }
  for (; r < call.rows; r++) {
    const T* row = at<T>(a, b, h, r);
    const double u = row_share(call, b, r);
    for (int64_t v = 0; v < n; v++) looks[v] += u * static_cast<double>(widen(row[v]));
  }
}

void looks_from_attention(const pumer_token_reduce& call, int64_t b, int64_t h, double* looks) {
  with_type(call.looks_type, [&](auto t) { looks_typed<decltype(t)>(call, b, h, looks); });
}

/* scores[kTile][padded]: text queries times all keys. */
template <class T>
void scores_typed(const pumer_token_reduce& call, int64_t b, int64_t h, const float* const* queries, float* panel,
                  float* scores) {
  const int64_t q = call.query_width, count = call.key_count, stride = call.keys.stride[2];
  const T* keys = at<T>(call.keys, b, h, 0);
  for (int64_t l = 0; l < count; l += 2 * kLanes) {
    const int64_t here = count - l < 2 * kLanes ? count - l : 2 * kLanes;
    const float* columns = panel;
    int64_t column_stride = 2 * kLanes;
    if (sizeof(T) == 4 && here == 2 * kLanes) {
      columns = reinterpret_cast<const float*>(keys + l);
      column_stride = stride;
    } else {
      for (int64_t i = 0; i < q; i++)
        for (int64_t j = 0; j < 2 * kLanes; j++)
          panel[i * 2 * kLanes + j] = j < here ? widen(keys[i * stride + l + j]) : 0.0f;
    }
    F sums[kTile][2];
    tile(queries, columns, column_stride, q, sums);
    for (int r = 0; r < kTile; r++) {
      store(scores + r * padded(count) + l, sums[r][0]);
      store(scores + r * padded(count) + l + kLanes, sums[r][1]);
    }
  }
}

/* Numerics 1': scores to e, in place; returns z. */
template <class T>
double exponentials(const pumer_token_reduce& call, int64_t b, int64_t h, int64_t r, float* x) {
  const int64_t count = call.key_count;
  const T* bias = call.bias.data == nullptr ? nullptr : at<T>(call.bias, b, h, r);
  const int64_t step = call.bias.stride[3];
  for (int64_t l = 0; l < count; l++) x[l] = x[l] * call.scale;
  if (bias != nullptr)
    for (int64_t l = 0; l < count; l++) x[l] = x[l] + widen(bias[l * step]);
  // The largest, in any order; NaN is never larger and comes back in the differences.
  F wide = spread(-kInfinity);
  int64_t l = 0;
  for (; l + kLanes <= count; l += kLanes) wide = load(x + l) > wide ? load(x + l) : wide;
  float most = -kInfinity;
  for (; l < count; l++) most = x[l] > most ? x[l] : most;
  for (int i = 0; i < kLanes; i++) most = wide[i] > most ? wide[i] : most;
  for (l = 0; l < count; l++) x[l] = exp_nonpositive(x[l] - most);
  double part[16] = {};
  l = 0;
  for (; l + 16 <= count; l += 16)
    for (int i = 0; i < 16; i++) part[i] += static_cast<double>(x[l + i]);
  for (int i = 0; l + i < count; i++) part[i] += static_cast<double>(x[l + i]);
  for (int s = 8; s > 0; s /= 2)
    for (int i = 0; i < s; i++) part[i] += part[i + s];
  return part[0];
}

template <class T>
void looks_from_queries_typed(const pumer_token_reduce& call, int64_t b, int64_t h, float* scratch, double* looks) {
  const int64_t q = call.query_width, n = call.tokens_in;
  float* widened = scratch;
  float* panel = widened + kTile * q;
  float* scores = panel + q * kColumns;
  for (int64_t v = 0; v < n; v++) looks[v] = 0;
  for (int64_t r = 0; r < call.rows; r += kTile) {
    const float* queries[kTile];
    for (int i = 0; i < kTile; i++) {
      const int64_t row = r + i < call.rows ? r + i : call.rows - 1;
      const T* query = at<T>(call.queries, b, h, row);
      for (int64_t c = 0; c < q; c++) widened[i * q + c] = widen(query[c]);
      queries[i] = widened + i * q;
    }
    scores_typed<T>(call, b, h, queries, panel, scores);
    for (int64_t i = 0; i < kTile && r + i < call.rows; i++) {
      float* x = scores + i * padded(call.key_count);
      const double z = exponentials<T>(call, b, h, r + i, x);
      const double u = row_share(call, b, r + i) / z;
      const float* e = x + call.first;
      for (int64_t v = 0; v < n; v++) looks[v] += u * static_cast<double>(e[v]);
    }
  }
}

void looks_from_queries(const pumer_token_reduce& call, int64_t b, int64_t h, float* scratch, double* looks) {
  with_type(call.looks_type, [&](auto t) { looks_from_queries_typed<decltype(t)>(call, b, h, scratch, looks); });
}

void unit_keys(const float* const* keys, int64_t count, int64_t d, float* units) {
  constexpr int kTogether = 8;  // chains side by side: one alone waits for its own additions
  for (int64_t t = 0; t < count; t += kTogether) {
    const float* row[kTogether];
    for (int i = 0; i < kTogether; i++) row[i] = keys[t + i < count ? t + i : count - 1];
    double square[kTogether] = {};
    for (int64_t c = 0; c < d; c++)
      for (int i = 0; i < kTogether; i++) {
        const double x = row[i][c];
        square[i] += x * x;
      }
    for (int i = 0; i < kTogether && t + i < count; i++) {
      const double norm = __builtin_sqrt(square[i]);
      const double inverse = 1.0 / (norm <= 1e-12 ? 1e-12 : norm);  // so written, NaN stays
      float* unit = units + (t + i) * d;
      for (int64_t c = 0; c < d; c++) unit[c] = static_cast<float>(static_cast<double>(row[i][c]) * inverse);
    }
  }
}

void match(const float* sources, int64_t rows, int64_t d, const Destinations& to, float* best, int32_t* place) {
  I lane;
  for (int l = 0; l < kLanes; l++) lane[l] = l;
  for (int64_t r = 0; r < rows; r += kTile) {
    const float* row[kTile];
    for (int i = 0; i < kTile; i++) row[i] = sources + (r + i < rows ? r + i : rows - 1) * d;
    F most[kTile];
    I where[kTile];
    for (int i = 0; i < kTile; i++) {
      most[i] = spread(-kInfinity);
      where[i] = I{};
    }
    for (int64_t j = 0; j < to.padded; j += 2 * kLanes) {
      F sums[kTile][2];
      tile(row, to.columns + j, to.padded, d, sums);
      for (int half = 0; half < 2; half++) {
        const int32_t first = static_cast<int32_t>(j) + half * kLanes;
        const F closed = load(to.closed + first);
        for (int i = 0; i < kTile; i++) {
          F s = sums[i][half];
          s = s != s ? spread(-8.0f) : s;
          s = s + closed;
          where[i] = s > most[i] ? lane + first : where[i];
          most[i] = s > most[i] ? s : most[i];
        }
      }
    }
    for (int i = 0; i < kTile && r + i < rows; i++) {
      float value = most[i][0];
      int32_t column = where[i][0];
      for (int l = 1; l < kLanes; l++)
        if (most[i][l] > value || (most[i][l] == value && where[i][l] < column)) {
          value = most[i][l];
          column = where[i][l];
        }
      best[r + i] = value;
      place[r + i] = column;
    }
  }
}

float dot(const float* a, const float* b, int64_t d) {
  float sum = 0;
  for (int64_t i = 0; i < d; i++) sum = __builtin_fmaf(a[i], b[i], sum);
  return sum;
}

template <class T>
void mean_typed(const void* const* rows, const double* shares, int64_t count, double total, int64_t width, void* out) {
  const double inverse = 1.0 / total;
  T* to = static_cast<T*>(out);
  int64_t c = 0;
  for (; c + 16 <= width; c += 16) {
    D4 sum[4] = {};
    for (int64_t s = 0; s < count; s++) {
      const T* from = static_cast<const T*>(rows[s]) + c;
      const double share = shares[s];
      for (int q = 0; q < 4; q++) sum[q] += share * __builtin_convertvector(load4(from + 4 * q), D4);
    }
    for (int q = 0; q < 4; q++) store4(to + c + 4 * q, __builtin_convertvector(sum[q] * inverse, F4));
  }
  for (; c < width; c++) {
    double sum = 0;
    for (int64_t s = 0; s < count; s++)
      sum += shares[s] * static_cast<double>(widen(static_cast<const T*>(rows[s])[c]));
    to[c] = narrow(static_cast<float>(sum * inverse), T{});
  }
}

void mean_double(const void* const* rows, const double* shares, int64_t count, double total, int64_t width, void* out) {
  for (int64_t c = 0; c < width; c++) {
    double sum = 0;
    for (int64_t s = 0; s < count; s++) sum += shares[s] * static_cast<const double*>(rows[s])[c];
    static_cast<double*>(out)[c] = sum / total;
  }
}

void mean(int type, const void* const* rows, const double* shares, int64_t count, double total, int64_t width,
          void* out) {
  switch (type) {
    case PUMER_FLOAT32: return mean_typed<float>(rows, shares, count, total, width, out);
    case PUMER_FLOAT16: return mean_typed<Half>(rows, shares, count, total, width, out);
    case PUMER_BFLOAT16: return mean_typed<Bfloat>(rows, shares, count, total, width, out);
    default: return mean_double(rows, shares, count, total, width, out);
  }
}

}  // namespace

namespace pumer::cpu {

extern const Level PUMER_LEVEL = {PUMER_LEVEL_NAME, looks_from_attention, looks_from_queries, unit_keys,
                                  match,            dot,                  mean};

}  // namespace pumer::cpu

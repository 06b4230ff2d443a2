/* Is a call well formed? Sizes and counts only. The sentences reach users through ONNX Runtime's status. */
#include <stdarg.h>
#include <stdio.h>

#include "pumer/token_reduce.h"

namespace {

struct Sentence {
  char* text;
  size_t capacity;
  const char* operator()(const char* format, ...) __attribute__((format(printf, 2, 3))) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, capacity, format, arguments);
    va_end(arguments);
    return text;
  }
};

bool is_type(int32_t type) { return type >= PUMER_FLOAT32 && type <= PUMER_FLOAT64; }

typedef long long ll;

}  // namespace

const char* pumer_token_reduce_check(const pumer_token_reduce* call, char* message, size_t capacity) {
  Sentence say{message, capacity};
  const pumer_token_reduce& c = *call;
  if (c.semantics != PUMER_SAFE && c.semantics != PUMER_PUMER) return say("semantics is neither safe nor pumer");
  if (!is_type(c.type) || !is_type(c.looks_type)) return say("tokens or attention have a type that is no float");
  const int64_t sizes[] = {c.batch, c.tokens_in, c.width, c.metric_width, c.heads, c.rows, c.protected_count};
  for (const int64_t size : sizes)
    if (size < 0) return say("a size is negative (%lld)", static_cast<ll>(size));
  if (c.tokens_in > 0x3FFFFFFF) return say("%lld tokens are more than 2^30", static_cast<ll>(c.tokens_in));
  const ll n = c.tokens_in, keep = c.keep, merge = c.merge;
  if (keep < 0 || keep > n || (keep == 0 && n > 0))
    return say("keep is %lld, not between 1 and the %lld tokens", keep, n);
  if (merge < 0) return say("merge is negative (%lld)", merge);
  const bool safe = c.semantics == PUMER_SAFE;
  const ll spare = safe ? keep - c.protected_count : keep;
  const ll candidates = spare > 0 ? spare : 0;
  const ll most = candidates < 2 ? 0 : safe ? (candidates + 1) / 2 : (candidates - 1) / 2;
  if (merge > most)
    return say("merge is %lld, but of keep = %lld tokens with %lld protected at most %lld can be merged away", merge,
               keep, static_cast<ll>(safe ? c.protected_count : 1), most);
  if (c.looks == PUMER_FROM_QUERIES) {
    if (c.query_width < 0 || c.key_count < 0) return say("queries or keys have a negative size");
    if (c.first < 0 || c.first + n > c.key_count)
      return say("first is %lld, but %lld keys hold no %lld tokens from there", static_cast<ll>(c.first),
                 static_cast<ll>(c.key_count), n);
  } else if (c.looks != PUMER_FROM_ATTENTION) {
    return say("looks is neither attention nor queries");
  }
  return nullptr;
}

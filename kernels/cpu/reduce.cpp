/*
 * A call on the CPU. Rows of the batch are independent: many rows are shared out whole; few large ones are cut into
 * pieces, stage by stage. Scratch memory is the caller's and is laid out here.
 */
#include <string.h>

#include <algorithm>

#include "dispatch.h"
#include "plan.h"

namespace pumer::cpu {

namespace {

constexpr int64_t kMostParts = 64;        // rows in flight
constexpr int64_t kMostScratch = 64 << 20;  // bytes, where that leaves at least one row
constexpr int64_t kPieces = 8;            // of a row that is cut up
constexpr int64_t kWorthCutting = 1 << 20;  // elements touched by a row: about 0.15 ms, which waking threads is worth
constexpr float kLowest = -3.4028234663852886e38f;

/* Hands out aligned pieces of one block; with a null base it only counts. */
class Block {
 public:
  explicit Block(void* base) : base_(static_cast<char*>(base)) {}
  template <class T>
  T* take(int64_t count) {
    T* piece = base_ == nullptr ? nullptr : reinterpret_cast<T*>(base_ + used_);
    used_ += (static_cast<size_t>(count) * sizeof(T) + 63) / 64 * 64;
    return piece;
  }
  size_t used() const { return used_; }

 private:
  char* base_;
  size_t used_ = 0;
};

/* What one row of the batch needs while it is worked on. */
struct Row {
  int64_t b;
  bool ranks;           /* saliency decides something */
  double* looks;        /* [H][n] */
  float* query_scratch; /* [pieces][looks_scratch] */
  float* saliency;      /* [n] */
  const float** keys;   /* [n] rows of the metric, sources first */
  float* units;         /* [n][d] sources, then destinations */
  float* columns;       /* [d][padded] */
  float* closed;        /* [padded] */
  float* centre;        /* [d] */
  float* score;         /* [sources] */
  int32_t* best;        /* [sources] */
  double* shares;       /* [pieces][merge + 1] */
  const void** group;   /* [pieces][merge + 1] */
  Plan plan;
};

Row row_in(const pumer_token_reduce& call, int64_t pieces, Block& block) {
  const int64_t n = call.tokens_in, d = call.metric_width, kept = call.keep - call.merge;
  const bool merging = call.merge > 0;
  const int64_t candidates = merging ? candidate_count(call) : 0;
  const int64_t columns = merging ? padded(candidates / 2) : 0;
  Row row{};
  row.looks = block.take<double>(call.heads * n);
  if (call.looks == PUMER_FROM_QUERIES)
    row.query_scratch = block.take<float>(pieces * looks_scratch(call.query_width, call.key_count));
  row.saliency = block.take<float>(n);
  row.keys = block.take<const float*>(candidates);
  row.units = block.take<float>(candidates * d);
  row.columns = block.take<float>(d * columns);
  row.closed = block.take<float>(columns);
  row.centre = block.take<float>(d);
  row.score = block.take<float>(candidates);
  row.best = block.take<int32_t>(candidates);
  row.shares = block.take<double>(pieces * (call.merge + 1));
  row.group = block.take<const void*>(pieces * (call.merge + 1));
  row.plan.keys = block.take<uint64_t>(n);
  row.plan.is_protected = block.take<uint8_t>(n);
  row.plan.candidates = block.take<int32_t>(n);
  row.plan.leaving = block.take<int32_t>(call.merge);
  row.plan.into = block.take<int32_t>(n);
  row.plan.survivors = block.take<int32_t>(kept);
  row.plan.place = block.take<int32_t>(n);
  row.plan.first_source = block.take<int32_t>(kept + 1);
  row.plan.sources = block.take<int32_t>(call.merge);
  return row;
}

/* How the batch is shared out. */
struct Sharing {
  int64_t parts;  /* rows in flight, each with scratch of its own */
  int64_t pieces; /* of a row */
  size_t bytes;   /* of one row's scratch */
};

Sharing sharing_of(const pumer_token_reduce& call) {
  const int64_t touched = call.heads * call.rows * call.tokens_in + 2 * call.tokens_in * call.width +
                          candidate_count(call) * candidate_count(call) / 16 * call.metric_width;
  Sharing sharing{};
  sharing.pieces = call.batch < kPieces && touched > kWorthCutting ? kPieces : 1;
  Block counted(nullptr);
  row_in(call, sharing.pieces, counted);
  sharing.bytes = counted.used();
  const int64_t fit = std::max<int64_t>(1, kMostScratch / static_cast<int64_t>(std::max<size_t>(sharing.bytes, 1)));
  sharing.parts = std::max<int64_t>(1, std::min({call.batch, kMostParts, fit}));
  return sharing;
}

/* Everything one call does, stage by stage. A range is [from, to). */
class Work {
 public:
  Work(const pumer_token_reduce& call, const Level& level) : call_(call), level_(level) {}

  void begin(Row& row) const { row.ranks = cpu::begin(call_, row.plan); }

  void looks(Row& row, int64_t from, int64_t to, int64_t piece) const {
    float* scratch = row.query_scratch == nullptr
                         ? nullptr
                         : row.query_scratch + piece * looks_scratch(call_.query_width, call_.key_count);
    for (int64_t h = from; h < to && row.ranks; h++) {
      double* out = row.looks + h * call_.tokens_in;
      if (call_.looks == PUMER_FROM_QUERIES) level_.looks_from_queries(call_, row.b, h, scratch, out);
      else level_.looks_from_attention(call_, row.b, h, out);
    }
  }

  void saliency(Row& row) const {
    const int64_t n = call_.tokens_in;
    double rows = 0;
    for (int64_t r = 0; r < call_.rows; r++)
      rows += static_cast<double>(call_.row_weight[row.b * call_.row_weight_stride + r]);
    for (int64_t v = 0; v < n; v++) {
      double sum = 0;
      for (int64_t h = 0; h < call_.heads; h++) sum += row.looks[h * n + v];
      const float s = static_cast<float>(sum / rows);
      row.saliency[v] = s != s ? kLowest : s;
    }
  }

  /* Candidates, and what matching needs to begin. */
  void select(Row& row) const {
    if (row.ranks) saliency(row);
    choose_candidates(call_, row.ranks ? row.saliency : nullptr, row.plan);
    if (call_.merge == 0) return;

    const int64_t n = call_.tokens_in;
    const int64_t count = row.plan.candidate_count, sources = (count + 1) / 2, d = call_.metric_width;
    const float* metric = call_.metric + row.b * n * d;
    for (int64_t c = 0; c < count; c++)
      row.keys[c % 2 == 0 ? c / 2 : sources + c / 2] = metric + row.plan.candidates[c] * d;
    level_.unit_keys(&metric, 1, d, row.centre);
    for (int64_t i = 0; i < d; i++) row.centre[i] = row.centre[i] != row.centre[i] ? 0.0f : row.centre[i];

    bool some_real = call_.semantics == PUMER_PUMER;
    for (int64_t c = 1; c < count; c += 2) some_real = some_real || weight(row)[row.plan.candidates[c]] > 0;
    const bool pads_closed = call_.semantics == PUMER_SAFE && some_real;
    const int64_t destinations = count / 2;
    for (int64_t j = 0; j < padded(destinations); j++) {
      const bool open = j < destinations && (!pads_closed || weight(row)[row.plan.candidates[2 * j + 1]] > 0);
      row.closed[j] = open ? 0.0f : -__builtin_inff();
    }
  }

  /* Unit keys of candidates, and the columns of those that are destinations. */
  void unit_keys(Row& row, int64_t from, int64_t to) const {
    const int64_t d = call_.metric_width, count = row.plan.candidate_count;
    const int64_t sources = (count + 1) / 2, stride = padded(count / 2);
    if (from == to) return;
    level_.unit_keys(row.keys + from, to - from, d, row.units + from * d);
    for (int64_t c = std::max(from, sources); c < to; c++) {
      const float* unit = row.units + c * d;
      float* column = row.columns + (c - sources);
      for (int64_t i = 0; i < d; i++) column[i * stride] = unit[i] - row.centre[i];
    }
    if (to != count) return;
    for (int64_t i = 0; i < d; i++)
      for (int64_t j = count - sources; j < stride; j++) row.columns[i * stride + j] = 0;
  }

  void match(Row& row, int64_t from, int64_t to) const {
    const int64_t d = call_.metric_width, destinations = row.plan.candidate_count / 2;
    const Destinations packed{row.columns, row.closed, padded(destinations), destinations};
    const float* units = row.units + from * d;
    level_.match(units, to - from, d, packed, row.score + from, row.best + from);
    for (int64_t s = from; s < to; s++) {
      const float base = level_.dot(row.units + s * d, row.centre, d);
      row.score[s] = row.score[s] + (base != base ? 0.0f : base);
    }
  }

  void decide(Row& row) const {
    cpu::decide(call_, weight(row), row.score, row.best, row.plan);
    const int64_t n = call_.tokens_in, kept = call_.keep - call_.merge;
    if (call_.target != nullptr)
      for (int64_t v = 0; v < n; v++) call_.target[row.b * n + v] = row.plan.place[v];
    if (call_.position != nullptr)
      for (int64_t j = 0; j < kept; j++) call_.position[row.b * kept + j] = row.plan.survivors[j];
  }

  void apply(Row& row, int64_t from, int64_t to, int64_t piece) const {
    static constexpr int64_t kBytes[] = {4, 2, 2, 8};
    const bool safe = call_.semantics == PUMER_SAFE;
    const int64_t kept = call_.keep - call_.merge, bytes = call_.width * kBytes[call_.type];
    const char* tokens = static_cast<const char*>(call_.tokens) + row.b * call_.tokens_in * bytes;
    char* out = static_cast<char*>(call_.reduced) + row.b * kept * bytes;
    double* shares = row.shares + piece * (call_.merge + 1);
    const void** group = row.group + piece * (call_.merge + 1);
    for (int64_t j = from; j < to; j++) {
      const int32_t stays = row.plan.survivors[j];
      const int32_t first = row.plan.first_source[j], last = row.plan.first_source[j + 1];
      const double own = static_cast<double>(weight(row)[stays]);
      double added = 0;
      int64_t count = 0;
      group[count] = tokens + stays * bytes;
      shares[count++] = safe ? own : 1.0;
      for (int32_t s = first; s < last; s++) {
        const int32_t source = row.plan.sources[s];
        const double w = static_cast<double>(weight(row)[source]);
        added += w;
        group[count] = tokens + source * bytes;
        shares[count++] = safe ? w : 1.0;
      }
      const double total = safe ? own + added : static_cast<double>(count);
      if (safe ? added > 0 : count > 1)
        level_.mean(call_.type, group, shares, count, total, call_.width, out + j * bytes);
      else if (bytes > 0) memcpy(out + j * bytes, group[0], static_cast<size_t>(bytes));
      if (call_.weight_out != nullptr)
        call_.weight_out[row.b * kept + j] = static_cast<float>(safe ? total : (own + added) / total);
    }
  }

  void whole(Row& row) const {
    begin(row);
    looks(row, 0, call_.heads, 0);
    select(row);
    if (call_.merge > 0) {
      unit_keys(row, 0, row.plan.candidate_count);
      match(row, 0, (row.plan.candidate_count + 1) / 2);
    }
    decide(row);
    apply(row, 0, call_.keep - call_.merge, 0);
  }

 private:
  const float* weight(const Row& row) const { return call_.weight + row.b * call_.tokens_in; }

  const pumer_token_reduce& call_;
  const Level& level_;
};

struct Loop {
  pumer_parallel_for run;
  void* context;

  template <class Body>
  void operator()(int64_t count, const Body& body) const {
    if (run == nullptr || count < 2) {
      for (int64_t i = 0; i < count; i++) body(i);
      return;
    }
    const auto one = [](void* user, size_t i) { (*static_cast<const Body*>(user))(static_cast<int64_t>(i)); };
    run(context, one, static_cast<size_t>(count), const_cast<Body*>(&body));
  }
};

void rows_whole(const pumer_token_reduce& call, const Work& work, const Sharing& sharing, char* scratch,
                const Loop& loop) {
  loop(sharing.parts, [&](int64_t part) {
    Block block(scratch + part * sharing.bytes);
    Row row = row_in(call, sharing.pieces, block);
    // Rows part, part + parts, ...: no part is more than a row longer than another.
    for (row.b = part; row.b < call.batch; row.b += sharing.parts) work.whole(row);
  });
}

void rows_in_pieces(const pumer_token_reduce& call, const Work& work, const Sharing& sharing, char* scratch,
                    const Loop& loop) {
  const int64_t pieces = sharing.pieces;
  Block block(scratch);
  for (int64_t b = 0; b < call.batch; b++) {
    Block own(scratch);
    Row row = row_in(call, pieces, own);
    row.b = b;
    // Piece i of a range of `size` things; tiles of four stay together.
    const auto in_pieces = [&](int64_t size, const auto& body) {
      const int64_t each = (size + 4 * pieces - 1) / (4 * pieces) * 4;
      loop(pieces, [&](int64_t i) {
        const int64_t from = std::min(i * each, size), to = std::min(from + each, size);
        if (from < to) body(from, to, i);
      });
    };
    work.begin(row);
    loop(row.ranks ? std::min(pieces, call.heads) : 0, [&](int64_t i) {
      const int64_t count = std::min(pieces, call.heads);
      work.looks(row, call.heads * i / count, call.heads * (i + 1) / count, i);
    });
    work.select(row);
    if (call.merge > 0) {
      in_pieces(row.plan.candidate_count, [&](int64_t from, int64_t to, int64_t) { work.unit_keys(row, from, to); });
      in_pieces((row.plan.candidate_count + 1) / 2,
                [&](int64_t from, int64_t to, int64_t) { work.match(row, from, to); });
    }
    work.decide(row);
    in_pieces(call.keep - call.merge, [&](int64_t from, int64_t to, int64_t i) { work.apply(row, from, to, i); });
  }
}

}  // namespace

}  // namespace pumer::cpu

size_t pumer_token_reduce_cpu_scratch(const pumer_token_reduce* call) {
  const auto sharing = pumer::cpu::sharing_of(*call);
  return sharing.bytes * static_cast<size_t>(sharing.pieces > 1 ? 1 : sharing.parts);
}

void pumer_token_reduce_cpu(const pumer_token_reduce* call, void* scratch, int level, pumer_parallel_for parallel_for,
                            void* context) {
  using namespace pumer::cpu;
  if (call->batch == 0) return;
  const Sharing sharing = sharing_of(*call);
  const Work work(*call, level_of(level));
  const Loop loop{parallel_for, context};
  const auto run = sharing.pieces > 1 ? rows_in_pieces : rows_whole;
  run(*call, work, sharing, static_cast<char*>(scratch), loop);
}

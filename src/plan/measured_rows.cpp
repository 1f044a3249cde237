#include "orthant/plan/measured_rows.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "orthant/core/file.h"
#include "orthant/core/status.h"
#include "orthant/core/text.h"
#include "orthant/mesh/divisors.h"

namespace orthant {
namespace {

enum class Form { kSeveralNodes, kOneNode, kFsdp };

const std::vector<std::string> kVtrainColumns = {"# GPUs",
                                                 "global batch",
                                                 "micro batch",
                                                 "hidden size",
                                                 "attention heads",
                                                 "# layers",
                                                 "sequence length",
                                                 "tensor parallelism",
                                                 "data parallelism",
                                                 "pipeline parallelism",
                                                 "iteration time (ms)"};
const std::vector<std::string> kFsdpColumns = {"model",      "seq_len",  "gpus",    "gpu",     "micro_batch",
                                               "grad_accum", "n_layers", "d_model", "n_heads", "act_ckpt"};
constexpr const char* kParameters = "Parameters (billion)";

// One row's cells by column, with its place.
class Cells {
 public:
  Cells(std::string place, const std::vector<std::string>& columns, std::vector<std::string> cells)
      : place_(std::move(place)), columns_(columns), cells_(std::move(cells)) {}

  absl::Status CheckCount() const {
    if (cells_.size() == columns_.size()) return absl::OkStatus();
    return ConfigurationError(
        absl::StrCat(place_, ": ", cells_.size(), " cells, and the head has ", columns_.size(), " columns"));
  }
  bool Has(const std::string& column) const {
    return std::find(columns_.begin(), columns_.end(), column) != columns_.end();
  }
  std::string Text(const std::string& column) const {
    const auto at = std::find(columns_.begin(), columns_.end(), column);
    return cells_[static_cast<size_t>(at - columns_.begin())];
  }
  absl::StatusOr<int64_t> Count(const std::string& column) const {
    const std::string text = Text(column);
    double value = 0;
    if (absl::SimpleAtod(text, &value) && value == std::floor(value) && value >= 1 && value < 1e12)
      return static_cast<int64_t>(value);
    return Wrong(column, text, "must be a whole number of at least 1");
  }
  absl::StatusOr<double> Positive(const std::string& column) const {
    const std::string text = Text(column);
    double value = 0;
    if (absl::SimpleAtod(text, &value) && std::isfinite(value) && value > 0) return value;
    return Wrong(column, text, "must be a number above 0");
  }
  absl::StatusOr<bool> Flag(const std::string& column) const {
    const std::string text = Text(column);
    if (absl::EqualsIgnoreCase(text, "true")) return true;
    if (absl::EqualsIgnoreCase(text, "false")) return false;
    return Wrong(column, text, "must be True or False");
  }
  absl::Status Wrong(const std::string& column, const std::string& value, const std::string& rule) const {
    return ConfigurationError(
        absl::StrCat(place_, ": ", column, " = ", value.empty() ? "''" : value, ": ", rule));
  }

 private:
  std::string place_;
  const std::vector<std::string>& columns_;
  std::vector<std::string> cells_;
};

// Reads counts into variables; the first mistake stays.
absl::Status ReadCounts(const Cells& cells, const std::vector<std::pair<std::string, int64_t*>>& into) {
  for (const auto& [column, variable] : into) {
    const absl::StatusOr<int64_t> value = cells.Count(column);
    if (!value.ok()) return value.status();
    *variable = *value;
  }
  return absl::OkStatus();
}

absl::Status MustDivide(const Cells& cells, const std::string& column, int64_t value, const std::string& what,
                        int64_t whole) {
  if (whole % value == 0) return absl::OkStatus();
  return cells.Wrong(column, absl::StrCat(value),
                     absl::StrCat("must divide ", what, " = ", whole,
                                  "; nearest legal: ", AnyOf(NearestDivisors(whole, value))));
}

// The columns of a form that rules name.
struct RuleColumns {
  std::string gpus, micro, data, heads;
};

absl::Status CheckRow(const Cells& cells, const MeasuredRow& row, int64_t ranks, const RuleColumns& names) {
  const PlannedLayout& l = row.layout;
  if (ranks != l.world()) {
    return cells.Wrong(names.gpus, absl::StrCat(ranks),
                       absl::StrCat("must be data x tensor x pipeline = ", l.world()));
  }
  if (absl::Status s = MustDivide(cells, names.data, l.data, "the global batch", row.global_batch); !s.ok())
    return s;
  if (absl::Status s =
          MustDivide(cells, names.micro, l.micro_batch, "the global batch / data", row.global_batch / l.data);
      !s.ok()) {
    return s;
  }
  return MustDivide(cells, names.heads, row.shape.heads, "the hidden size", row.shape.hidden);
}

// Columns that vTrain's form may have beside its own; an empty cell leaves what the software does.
absl::Status ReadOptional(const Cells& cells, MeasuredRow* row) {
  PlannedLayout& l = row->layout;
  const std::vector<std::pair<std::string, int64_t*>> counts = {{"chunks", &l.chunks},
                                                                {"ffn", &row->shape.ffn},
                                                                {"kv heads", &row->shape.kv_heads},
                                                                {"vocabulary", &row->shape.vocab}};
  for (const auto& [column, variable] : counts) {
    if (!cells.Has(column) || cells.Text(column).empty()) continue;
    if (absl::Status s = ReadCounts(cells, {{column, variable}}); !s.ok()) return s;
  }
  if (l.chunks > 1) l.schedule = PlanSchedule::kInterleaved;
  if (cells.Has("tensor sequence") && !cells.Text("tensor sequence").empty()) {
    const absl::StatusOr<bool> sharded = cells.Flag("tensor sequence");
    if (!sharded.ok()) return sharded.status();
    l.tensor_sequence = *sharded;
  }
  if (cells.Has("family") && !cells.Text("family").empty()) {
    row->shape.family = cells.Text("family");
    if (row->shape.family != "gpt2" && row->shape.family != "llama")
      return cells.Wrong("family", row->shape.family, "must be gpt2 or llama");
  }
  if (cells.Has("zero") && !cells.Text("zero").empty()) {
    if (!absl::SimpleAtoi(cells.Text("zero"), &l.zero) || l.zero < 0 || l.zero > 3)
      return cells.Wrong("zero", cells.Text("zero"), "must be 0, 1, 2 or 3");
    row->says_zero = true;
  }
  if (!cells.Has("recompute") || cells.Text("recompute").empty()) return absl::OkStatus();
  row->says_recompute = true;
  for (const Recompute recompute : {Recompute::kNone, Recompute::kSelective, Recompute::kFull}) {
    if (cells.Text("recompute") != ToString(recompute)) continue;
    l.recompute = recompute;
    return absl::OkStatus();
  }
  return cells.Wrong("recompute", cells.Text("recompute"), "must be none, selective or full");
}

absl::StatusOr<MeasuredRow> ReadVtrain(const Cells& cells, Form form) {
  MeasuredRow row;
  int64_t ranks = 0;
  PlannedLayout& l = row.layout;
  const absl::Status read = ReadCounts(cells, {{"# GPUs", &ranks},
                                               {"global batch", &row.global_batch},
                                               {"micro batch", &l.micro_batch},
                                               {"hidden size", &row.shape.hidden},
                                               {"attention heads", &row.shape.heads},
                                               {"# layers", &row.shape.layers},
                                               {"sequence length", &row.shape.context},
                                               {"tensor parallelism", &l.tensor},
                                               {"data parallelism", &l.data},
                                               {"pipeline parallelism", &l.pipeline}});
  if (!read.ok()) return read;
  if (!cells.Text("iteration time (ms)").empty()) {
    const absl::StatusOr<double> ms = cells.Positive("iteration time (ms)");
    if (!ms.ok()) return ms.status();
    row.seconds = *ms / 1e3;
  }
  if (absl::Status s = ReadOptional(cells, &row); !s.ok()) return s;
  row.one_node = form == Form::kOneNode;
  row.model = row.one_node ? absl::StrCat(row.shape.layers, " layers, ", row.shape.hidden)
                           : absl::StrCat(cells.Text(kParameters), "B");
  if (absl::Status s =
          CheckRow(cells, row, ranks, {"# GPUs", "micro batch", "data parallelism", "attention heads"});
      !s.ok())
    return s;
  if (absl::Status s = MustDivide(cells, "pipeline parallelism", l.pipeline, "# layers", row.shape.layers);
      !s.ok())
    return s;
  if (absl::Status s = MustDivide(cells, "tensor parallelism", l.tensor, "attention heads", row.shape.heads);
      !s.ok()) {
    return s;
  }
  return row;
}

absl::StatusOr<MeasuredRow> ReadFsdp(const Cells& cells) {
  MeasuredRow row;
  int64_t accumulation = 1;
  PlannedLayout& l = row.layout;
  const absl::Status read = ReadCounts(cells, {{"gpus", &l.data},
                                               {"seq_len", &row.shape.context},
                                               {"micro_batch", &l.micro_batch},
                                               {"grad_accum", &accumulation},
                                               {"n_layers", &row.shape.layers},
                                               {"d_model", &row.shape.hidden},
                                               {"n_heads", &row.shape.heads}});
  if (!read.ok()) return read;
  const absl::StatusOr<bool> recompute = cells.Flag("act_ckpt");
  if (!recompute.ok()) return recompute.status();
  row.global_batch = l.data * l.micro_batch * accumulation;
  l.recompute = *recompute ? Recompute::kFull : Recompute::kNone;
  row.says_recompute = true;
  row.model = cells.Text("model");
  row.device = cells.Text("gpu");
  for (const char* column : {"step_time_s", "tokens_per_s"}) {
    if (row.seconds > 0 || !cells.Has(column) || cells.Text(column).empty()) continue;
    const absl::StatusOr<double> value = cells.Positive(column);
    if (!value.ok()) return value.status();
    const double tokens = static_cast<double>(row.global_batch * row.shape.context);
    row.seconds = std::string(column) == "step_time_s" ? *value : tokens / *value;
  }
  if (absl::Status s = CheckRow(cells, row, l.data, {"gpus", "micro_batch", "gpus", "n_heads"}); !s.ok())
    return s;
  return row;
}

// The form of a head; ConfigurationError names what is missing of the nearest one.
absl::StatusOr<Form> FormOf(const std::vector<std::string>& columns, const std::string& path) {
  const auto missing = [&columns](const std::vector<std::string>& wanted) {
    std::vector<std::string> names;
    for (const std::string& name : wanted)
      if (std::find(columns.begin(), columns.end(), name) == columns.end()) names.push_back(name);
    return names;
  };
  const bool fsdp = std::find(columns.begin(), columns.end(), "d_model") != columns.end();
  const std::vector<std::string> lacking = missing(fsdp ? kFsdpColumns : kVtrainColumns);
  if (lacking.empty()) {
    if (fsdp) return Form::kFsdp;
    return std::find(columns.begin(), columns.end(), kParameters) != columns.end() ? Form::kSeveralNodes
                                                                                   : Form::kOneNode;
  }
  std::string text = absl::StrCat(path, ":1: the head lacks ", absl::StrJoin(lacking, ", "));
  for (const std::string& column : columns) {
    const std::optional<std::string> meant = ClosestMatch(column, lacking);
    if (meant.has_value()) absl::StrAppend(&text, "; is '", column, "' meant as '", *meant, "'?");
  }
  return ConfigurationError(text);
}

// "a100_40gb" against "NVIDIA A100-SXM4-40GB": the same chip, memory within a tenth.
bool IsDevice(const std::string& name, const Machine& machine) {
  const std::vector<std::string> parts = absl::StrSplit(name, '_');
  if (!absl::StrContains(absl::AsciiStrToLower(machine.device), absl::AsciiStrToLower(parts[0])))
    return false;
  double gigabytes = 0;
  if (parts.size() < 2 || !absl::SimpleAtod(absl::StripSuffix(parts[1], "gb"), &gigabytes)) return true;
  return std::abs(machine.memory_bytes / (gigabytes * 1e9) - 1) < 0.1;
}

}  // namespace

absl::StatusOr<MeasuredRows> ParseMeasuredRows(const std::string& text, const std::string& path) {
  MeasuredRows result;
  result.path = path;
  std::vector<std::string> columns;
  Form form = Form::kOneNode;
  int64_t number = 0;
  for (absl::string_view raw : absl::StrSplit(text, '\n')) {
    ++number;
    const std::string line(absl::StripTrailingAsciiWhitespace(raw));
    if (line.empty()) continue;
    if (columns.empty()) {
      result.head = line;
      for (absl::string_view name : absl::StrSplit(line, ','))
        columns.emplace_back(absl::StripAsciiWhitespace(name));
      const absl::StatusOr<Form> found = FormOf(columns, path);
      if (!found.ok()) return found.status();
      form = *found;
      continue;
    }
    std::vector<std::string> values;
    for (absl::string_view cell : absl::StrSplit(line, ','))
      values.emplace_back(absl::StripAsciiWhitespace(cell));
    const Cells cells(absl::StrCat(path, ":", number), columns, std::move(values));
    if (absl::Status count = cells.CheckCount(); !count.ok()) return count;
    absl::StatusOr<MeasuredRow> row = form == Form::kFsdp ? ReadFsdp(cells) : ReadVtrain(cells, form);
    if (!row.ok()) return row.status();
    row->line = number;
    row->text = line;
    result.rows.push_back(*std::move(row));
  }
  if (result.rows.empty()) return ConfigurationError(absl::StrCat(path, ": there are no rows"));
  return result;
}

absl::StatusOr<MeasuredRows> ReadMeasuredRows(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return text.status();
  return ParseMeasuredRows(*text, path);
}

const Machine* MachineOf(const MeasuredRow& row, const std::vector<Machine>& machines) {
  const Machine* found = nullptr;
  for (const Machine& machine : machines) {
    if (!row.device.empty() && !IsDevice(row.device, machine)) continue;
    const bool alone = machine.network_bandwidth == 0;
    if (alone && !row.one_node && row.layout.world() > machine.node_ranks) continue;
    if (found == nullptr || (row.one_node && alone)) found = &machine;
  }
  return found;
}

Workload WorkloadOf(const MeasuredRow& row, const Machine& machine) {
  const Software& software = machine.software();
  Workload w;
  w.model = row.shape;
  if (w.model.vocab == 0) w.model.vocab = software.row_vocab;
  w.model.tie_embeddings = !w.model.gated();
  w.model.bias = software.row_bias && !w.model.gated();
  w.model.dropout = software.row_dropout && !w.model.gated() ? 0.1 : 0;
  w.global_batch = row.global_batch;
  w.dtype = "bf16";
  w.precision = PrecisionOfDtype(w.dtype);
  w.precision.gradient = software.row_gradient_bytes;
  return w;
}

PlannedLayout PlannedLayoutOf(const MeasuredRow& row, const Machine& machine) {
  PlannedLayout layout = row.layout;
  if (!row.says_zero) layout.zero = machine.software().row_zero;
  if (!row.says_recompute) {
    const std::string& recompute = machine.software().row_recompute;
    layout.recompute = recompute == "full"        ? Recompute::kFull
                       : recompute == "selective" ? Recompute::kSelective
                                                  : Recompute::kNone;
  }
  return layout;
}

absl::StatusOr<LayoutPrediction> PredictRow(const MeasuredRow& row, const Machine& machine) {
  return Predict(machine, WorkloadOf(row, machine), PlannedLayoutOf(row, machine));
}

}  // namespace orthant

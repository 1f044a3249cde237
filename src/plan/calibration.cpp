#include "orthant/plan/calibration.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "orthant/config/config.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

void DescribeSoftware(Fields& f, Software& s) {
  f.Text("name", &s.name).Doc("The program.");
  f.Choice("attention", &s.attention, {"fused", "unfused"}).Doc("Whether scores go through memory.");
  f.Bool("fused_dropout", &s.fused_dropout).Doc("The fused kernel has dropout; else it is not used with it.");
  f.Bool("gradient_overlap", &s.gradient_overlap)
      .Doc("The all-reduce of a column-parallel layer's input gradient runs beside the weight's gradient.");
  f.Choice("data_overlap", &s.data_overlap, {"none", "backward"})
      .Doc("Whether reductions of gradients run beside the last microbatch's backward.");
  f.Bool("split_sends", &s.split_sends).Doc("Stages send 1/tensor of an activation.");
  f.Bool("uneven_stages", &s.uneven_stages).Doc("Layers need not be a multiple of stages.");
  f.Texts("schedules", &s.schedules).Doc("Pipeline schedules that it has.");
  f.Integer("most_chunks", &s.most_chunks).AtLeast(1).Doc("Most stages a pipeline rank, interleaved.");
  f.Bool("tensor_sequence", &s.tensor_sequence).Doc("Norms can be sharded in the tensor group.");
  f.Bool("ulysses", &s.ulysses).Doc("Sequence parallelism by exchanging heads for tokens.");
  f.Bool("zero_with_pipeline", &s.zero_with_pipeline).Doc("ZeRO 2 and 3 together with a pipeline.");
  f.Bool("offload", &s.offload).Doc("Whether state can be kept in host memory.");
  f.Bool("transposes", &s.transposes)
      .Doc("Products in fp32 copy their first operand and cannot add to a gradient.");
  f.Bool("through_float", &s.through_float).Doc("Products of 16-bit types are made in fp32, of copies.");
  f.Real("loss_bytes", &s.loss_bytes).AtLeast(0).Unit("bytes").Doc("Held for a logit until backward.");
  f.Real("reserve", &s.reserve).AtLeast(0).Unit("bytes").Doc("Of a device that tensors cannot have.");
  f.Choice("row_recompute", &s.row_recompute, {"none", "selective", "full"})
      .Doc("What measured rows recomputed.");
  f.Integer("row_zero", &s.row_zero).AtLeast(0).AtMost(3).Doc("ZeRO stage of measured rows.");
  f.Real("row_gradient_bytes", &s.row_gradient_bytes).Above(0).Doc("Bytes of a gradient on its way.");
  f.Integer("row_vocab", &s.row_vocab).AtLeast(1).Doc("Vocabulary of measured rows, padded.");
  f.Bool("row_dropout", &s.row_dropout).Doc("Whether measured rows had dropout.");
  f.Bool("row_bias", &s.row_bias).Doc("Whether measured rows had biases.");
}

void DescribeConstants(Fields& f, Constants& c) {
  f.Real("matmul", &c.matmul).Above(0).AtMost(1).Doc("Share of the peak of a large product.");
  f.Real("attention", &c.attention).Above(0).AtMost(1).Doc("The same of fused attention.");
  f.Real("score_seconds", &c.score_seconds)
      .AtLeast(0)
      .Unit("s")
      .Doc("Of a score of fused attention, forward, beside its products.");
  f.Real("activation_seconds", &c.activation_seconds)
      .AtLeast(0)
      .Unit("s")
      .Doc("Of an element of the MLP's activation beside its bytes, either way.");
  f.Real("memory", &c.memory).Above(0).AtMost(1.5).Doc("Share of memory bandwidth of element-wise kernels.");
  f.Real("layer_overhead", &c.layer_overhead).AtLeast(0).Unit("s").Doc("Of a block beside its arithmetic.");
  f.Real("layer_floor", &c.layer_floor)
      .AtLeast(0)
      .Unit("s")
      .Doc("Least time of a block: issuing its kernels.");
  f.Real("tensor_floor", &c.tensor_floor).AtLeast(0).Doc("Share that tensor parallelism adds to the floor.");
  f.Real("microbatch_overhead", &c.microbatch_overhead).AtLeast(0).Unit("s").Doc("Of a microbatch.");
  f.Real("step_overhead", &c.step_overhead).AtLeast(0).Unit("s").Doc("Of a step.");
  f.Real("node_link", &c.node_link).Above(0).AtMost(1).Doc("Share of node_bandwidth of collectives.");
  f.Real("network", &c.network).Above(0).AtMost(1.2).Doc("Share of network_bandwidth of collectives.");
  f.Real("latency", &c.latency).AtLeast(0).Unit("s").Doc("Of a collective, for each doubling of its group.");
  f.Real("skew", &c.skew).AtLeast(0).Unit("s").Doc("That members wait for each other at a collective.");
  f.Real("send", &c.send).AtLeast(0).Doc("Time of a stage's send in units of bytes / bandwidth.");
  f.Real("send_latency", &c.send_latency).AtLeast(0).Unit("s").Doc("Of a stage's send.");
  f.Real("interference", &c.interference)
      .AtLeast(0)
      .AtMost(1)
      .Doc("Share of hidden communication that it slows compute down by.");
  f.Real("optimizer_bytes", &c.optimizer_bytes)
      .AtLeast(0)
      .Unit("bytes")
      .Doc("Moved a parameter in an update.");
}

absl::Status CheckTable(const std::string& key, const LinkTable& table) {
  const std::vector<double>& p = table.points;
  const std::string rule = " must be pairs of bytes and seconds, both above 0, bytes ascending";
  if (p.size() % 2 != 0) return ConfigurationError(absl::StrCat(key, " has ", p.size(), " numbers;", rule));
  for (size_t i = 0; i < p.size(); ++i) {
    if (!(p[i] > 0) || (i >= 2 && i % 2 == 0 && p[i] <= p[i - 2])) {
      return ConfigurationError(absl::StrCat(key, "[", i, "] = ", p[i], ":", rule));
    }
  }
  return absl::OkStatus();
}

}  // namespace

double LinkTable::Seconds(double bytes) const {
  if (bytes <= points[0]) return points[1];
  for (size_t i = 2; i + 1 < points.size(); i += 2) {
    if (bytes > points[i]) continue;
    const double share = (bytes - points[i - 2]) / (points[i] - points[i - 2]);
    return points[i - 1] + share * (points[i + 1] - points[i - 1]);
  }
  return points[points.size() - 1] * bytes / points[points.size() - 2];
}

const LinkTable* Calibration::AllReduceTable(int64_t ranks) const {
  if (ranks <= 2 && !all_reduce_2.empty()) return &all_reduce_2;
  if (ranks <= 4 && !all_reduce_4.empty()) return &all_reduce_4;
  return all_reduce_8.empty() ? nullptr : &all_reduce_8;
}

void Describe(Fields& fields, Calibration& c) {
  fields.Section("calibration", "Where the numbers are from.", [&c](Fields& f) {
    f.Text("name", &c.name).Required().Doc("Its name.");
    f.Text("machine", &c.machine).Doc("The machine it was measured on.");
    f.Integer("threads", &c.threads).AtLeast(0).Doc("Threads of a rank meanwhile; 0: not said.");
    f.Text("command", &c.command).Doc("The command that made it.");
    f.Text("rows", &c.rows).Doc("The measured rows that the constants were fitted to.");
  });
  fields.Section("software", "How the software goes about its work.",
                 [&c](Fields& f) { DescribeSoftware(f, c.software); });
  fields.Section("constants", "What was fitted.", [&c](Fields& f) { DescribeConstants(f, c.constants); });
  fields.Section("links", "All-reduce inside a node: bytes, seconds, bytes, seconds, ...", [&c](Fields& f) {
    f.Reals("all_reduce_2", &c.all_reduce_2.points).Doc("Of two ranks.");
    f.Reals("all_reduce_4", &c.all_reduce_4.points).Doc("Of four ranks.");
    f.Reals("all_reduce_8", &c.all_reduce_8.points).Doc("Of eight ranks, and more.");
  });
}

absl::StatusOr<Calibration> LoadCalibration(const std::string& path) {
  Calibration c;
  const absl::StatusOr<LoadedConfig> loaded =
      LoadConfig(path, {}, [&c](Fields& fields) { Describe(fields, c); });
  if (!loaded.ok()) return loaded.status();
  for (const auto& [key, table] : {std::pair{"links.all_reduce_2", &c.all_reduce_2},
                                   {"links.all_reduce_4", &c.all_reduce_4},
                                   {"links.all_reduce_8", &c.all_reduce_8}}) {
    if (const absl::Status checked = CheckTable(key, *table); !checked.ok()) {
      return Annotate(checked, loaded->OriginOf(key));
    }
  }
  return c;
}

std::string CalibrationText(const Calibration& calibration) {
  Calibration copy = calibration;
  Fields fields;
  Describe(fields, copy);
  return LoadedConfig(fields,
                      [&fields](const std::string& key) {
                        const Field* field = fields.Find(key);
                        return field == nullptr ? std::string() : field->doc();
                      })
      .Dump();
}

}  // namespace orthant

#include "orthant/train/metrics.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "nlohmann/json.hpp"
#include "orthant/core/file.h"
#include "orthant/core/status.h"
#include "orthant/core/terminal.h"
#include "orthant/core/text.h"

namespace orthant {
namespace {

TableStyle StyleOf(bool boxes) {
  return boxes ? TableStyle::kBoxes : TableStyle::kPlain;
}

std::string Percent(double share) {
  return absl::StrFormat("%.1f%%", 100.0 * share);
}

}  // namespace

std::string ToJsonLine(const StepMetrics& m) {
  nlohmann::ordered_json line = {{"step", m.step},
                                 {"loss", m.loss},
                                 {"grad_norm", m.grad_norm},
                                 {"lr", m.lr},
                                 {"tokens", m.tokens},
                                 {"dt", m.dt},
                                 {"dtf", m.dtf},
                                 {"dtb", m.dtb},
                                 {"dto", m.dto},
                                 {"sps", m.sps},
                                 {"sps_per_rank", m.sps_per_rank},
                                 {"tps", m.tps},
                                 {"tps_per_rank", m.tps_per_rank},
                                 {"mfu", m.mfu},
                                 {"tflops_per_rank", m.tflops_per_rank},
                                 {"mem_peak_bytes", m.mem_peak_bytes}};
  for (Axis axis : kAxes)
    line["comm_bytes"][std::string(AxisName(axis))] = m.comm_bytes[static_cast<int>(axis)];
  line["mem_host_peak_bytes"] = m.mem_host_peak_bytes;
  for (int t = 0; t < kMemoryTags; ++t)
    line["mem_bytes"][std::string(MemoryTagName(static_cast<MemoryTag>(t)))] = m.memory[t];
  if (m.loss_scale) line["loss_scale"] = *m.loss_scale;
  if (m.skipped) line["skipped"] = true;
  if (m.val_loss) line["val_loss"] = *m.val_loss;
  if (m.train_loss) line["train_loss"] = *m.train_loss;
  return line.dump();
}

std::vector<std::pair<std::string, double>> ToScalars(const StepMetrics& m) {
  std::vector<std::pair<std::string, double>> scalars = {
      {"loss/train", m.loss},
      {"optimizer/grad_norm", m.grad_norm},
      {"optimizer/lr", m.lr},
      {"progress/tokens", static_cast<double>(m.tokens)},
      {"time/step", m.dt},
      {"time/forward", m.dtf},
      {"time/backward", m.dtb},
      {"time/optimizer", m.dto},
      {"speed/tokens_per_second", m.tps},
      {"speed/tokens_per_second_and_rank", m.tps_per_rank},
      {"speed/mfu", m.mfu},
      {"speed/tflops_per_rank", m.tflops_per_rank},
      {"memory/peak_bytes", static_cast<double>(m.mem_peak_bytes)},
      {"memory/host_peak_bytes", static_cast<double>(m.mem_host_peak_bytes)}};
  for (Axis axis : kAxes) {
    scalars.emplace_back(absl::StrCat("communication/", std::string(AxisName(axis)), "_bytes"),
                         static_cast<double>(m.comm_bytes[static_cast<int>(axis)]));
  }
  if (m.loss_scale) scalars.emplace_back("optimizer/loss_scale", *m.loss_scale);
  if (m.val_loss) scalars.emplace_back("loss/validation", *m.val_loss);
  if (m.train_loss) scalars.emplace_back("loss/train_set", *m.train_loss);
  return scalars;
}

std::string ToConsoleLine(const StepMetrics& m) {
  std::string line = absl::StrFormat(
      "step=%d loss=%.4f grad_norm=%.3f lr=%.2e dt=%.4f dtf=%.4f dtb=%.4f dto=%.4f sps=%.1f tps=%.0f "
      "tps_per_rank=%.0f "
      "mfu=%.1f%% mem=%s",
      m.step, m.loss, m.grad_norm, m.lr, m.dt, m.dtf, m.dtb, m.dto, m.sps, m.tps, m.tps_per_rank,
      100.0 * m.mfu, FormatBinaryBytes(static_cast<double>(m.mem_peak_bytes)));
  if (m.loss_scale) absl::StrAppendFormat(&line, " loss_scale=%g", *m.loss_scale);
  if (m.skipped) line += " skipped";
  if (m.train_loss) absl::StrAppendFormat(&line, " train_loss=%.4f", *m.train_loss);
  if (m.val_loss) absl::StrAppendFormat(&line, " val_loss=%.4f", *m.val_loss);
  return line;
}

std::string Legend(bool boxes) {
  Table table({"abbr", "meaning"});
  const std::pair<const char*, const char*> rows[] = {
      {"step", "optimiser step, from 1"},
      {"loss", "mean cross-entropy over the tokens of the global batch, nats"},
      {"grad_norm", "global L2 norm of the gradient, before clipping"},
      {"lr", "learning rate"},
      {"dt", "seconds of the step"},
      {"dtf, dtb, dto", "of these in forward, backward (both on this rank), optimiser"},
      {"sps, tps", "samples and tokens a second, whole mesh"},
      {"tps_per_rank", "tokens a second and rank"},
      {"mfu", "model FLOPs utilisation, share of the peak"},
      {"mem", "peak device memory of rank 0: parameters, gradients, optimizer, activations, buffers"},
      {"loss_scale, skipped",
       "fp16: factor on the loss; a step whose gradients were not finite updates nothing"},
      {"train_loss, val_loss", "mean loss on the fixed evaluation sets"},
  };
  for (const auto& [abbr, meaning] : rows) table.AddRow({abbr, meaning});
  return table.ToString(StyleOf(boxes));
}

std::string LossPlot(const std::vector<std::pair<int64_t, double>>& all, int width, int height) {
  std::vector<std::pair<int64_t, double>> points;  // a loss that is no number has no place on the scale
  std::copy_if(all.begin(), all.end(), std::back_inserter(points),
               [](const auto& p) { return std::isfinite(p.second); });
  if (points.size() < 2) return "";
  double low = points[0].second, high = low;
  for (const auto& [step, loss] : points) {
    low = std::min(low, loss);
    high = std::max(high, loss);
  }
  const double span = std::max(high - low, 1e-12);
  const int64_t first = points.front().first, last = std::max(points.back().first, first + 1);
  std::vector<std::string> grid(height, std::string(width, ' '));
  const auto column = [&](int64_t step) {
    return static_cast<int>((step - first) * (width - 1) / (last - first));
  };
  const auto row = [&](double loss) {
    return static_cast<int>(std::lround((high - loss) / span * (height - 1)));
  };
  for (size_t i = 0; i + 1 < points.size(); ++i) {  // a line between neighbours
    const int from = column(points[i].first), to = column(points[i + 1].first);
    for (int c = from; c <= to; ++c) {
      const double t = to == from ? 0.0 : static_cast<double>(c - from) / (to - from);
      grid[row(points[i].second + t * (points[i + 1].second - points[i].second))][c] = '.';
    }
  }
  for (const auto& [step, loss] : points) grid[row(loss)][column(step)] = 'o';
  std::string text;
  for (int r = 0; r < height; ++r) {
    const double value = high - span * r / std::max(1, height - 1);
    absl::StrAppendFormat(&text, "%8.3f |%s\n", value, grid[r]);
  }
  absl::StrAppendFormat(&text, "%8s +%s\n%8s  %-*d%*d\n", "loss", std::string(width, '-'), "step", width / 2,
                        first, width - width / 2, last);
  return text;
}

std::string ToText(const RunSummary& s, bool boxes) {
  Table table({"summary", ""});
  table.AddRow({"steps", FormatCount(s.steps)});
  table.AddRow({"parameters", FormatCount(s.parameters)});
  table.AddRow({"loss of the last step", absl::StrFormat("%.4f", s.final_loss)});
  if (s.val_loss) table.AddRow({"validation loss", absl::StrFormat("%.4f", *s.val_loss)});
  table.AddRow({"time", FormatDuration(s.seconds)});
  table.AddRow({"step (median)", absl::StrFormat("%.1f ms", 1e3 * s.median_dt)});
  table.AddRow({"tokens/s", FormatCount(std::llround(s.tps))});
  table.AddRow({"mfu", Percent(s.mfu)});
  table.AddRow(
      {"forward, backward, optimiser", absl::StrCat(Percent(s.forward_share), ", ", Percent(s.backward_share),
                                                    ", ", Percent(s.optimizer_share))});
  for (Axis axis : kAxes) {
    const int64_t bytes = s.comm_bytes_per_step[static_cast<int>(axis)];
    if (bytes > 0) {
      table.AddRow({absl::StrCat("sent a step, ", std::string(AxisName(axis))),
                    FormatBytes(static_cast<double>(bytes))});
    }
  }
  if (s.skipped > 0) table.AddRow({"skipped steps", FormatCount(s.skipped)});
  table.AddRow({"peak device memory, rank 0", FormatBinaryBytes(static_cast<double>(s.mem_peak_bytes))});
  if (s.mem_host_peak_bytes > 0) {
    table.AddRow({"peak host memory, rank 0", FormatBinaryBytes(static_cast<double>(s.mem_host_peak_bytes))});
  }
  table.AddRow({"peak resident memory, process", FormatBinaryBytes(static_cast<double>(s.resident_bytes))});
  return table.ToString(StyleOf(boxes));
}

namespace {

// The text of the whole lines of steps up to `step`, told one by one.
std::string LinesUpTo(const std::string& path, int64_t step,
                      const std::function<void(const nlohmann::json&)>& tell) {
  std::ifstream stream(path);
  std::string kept, line;
  while (std::getline(stream, line) && !stream.eof()) {  // a last line without its end was cut off
    const nlohmann::json json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object() || !json.contains("step") || !json["step"].is_number_integer()) break;
    if (json["step"].get<int64_t>() > step) break;
    tell(json);
    absl::StrAppend(&kept, line, "\n");
  }
  return kept;
}

}  // namespace

std::vector<MetricsLine> ReadMetrics(const std::string& path, int64_t step) {
  std::vector<MetricsLine> lines;
  LinesUpTo(path, step, [&](const nlohmann::json& json) {
    MetricsLine line;
    line.step = json["step"].get<int64_t>();
    if (json.contains("val_loss") && json["val_loss"].is_number())
      line.val_loss = json["val_loss"].get<double>();
    lines.push_back(line);
  });
  return lines;
}

absl::StatusOr<MetricsFile> MetricsFile::Open(const std::string& path, int64_t step) {
  std::error_code error;
  if (std::filesystem::is_regular_file(path, error)) {
    const std::string kept = LinesUpTo(path, step, [](const nlohmann::json&) {});
    if (kept.size() != std::filesystem::file_size(path, error)) {
      if (absl::Status cut = WriteFileAtomically(path, kept); !cut.ok()) return cut;
    }
  }
  std::ofstream stream(path, std::ios::app);
  if (!stream) return EnvironmentError(absl::StrCat(path, " cannot be written: ", std::strerror(errno)));
  return MetricsFile(path, std::move(stream));
}

absl::Status MetricsFile::Append(const StepMetrics& metrics) {
  stream_ << ToJsonLine(metrics) << '\n' << std::flush;
  if (stream_) return absl::OkStatus();
  return EnvironmentError(absl::StrCat("writing ", path_, " failed: ", std::strerror(errno)));
}

int64_t PeakResidentBytes() {
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word) {
    if (word == "VmHWM:") {
      int64_t kib = 0;
      status >> kib;
      return kib * 1024;
    }
  }
  return 0;
}

}  // namespace orthant

// The bench of communication as tables and JSON.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "orthant/bench/comm_bench.h"
#include "orthant/core/terminal.h"
#include "orthant/core/text.h"

namespace orthant {
namespace {

std::string Micro(double seconds) {
  return absl::StrFormat("%.2f", 1e6 * seconds);
}

std::string Giga(double bytes_per_second) {
  return absl::StrFormat("%.3f", 1e-9 * bytes_per_second);
}

std::string Counted(int64_t count, const char* what) {
  return absl::StrCat(count, " ", what, count == 1 ? "" : "s");
}

std::string AxisHeading(const LinkAxis& axis) {
  return absl::StrCat("\n", axis.axis, ": ", Counted(axis.groups, "group"), " of ",
                      Counted(axis.ranks, "rank"), axis.groups > 1 ? " at once" : "", ", ",
                      axis.hosts == 1 ? "within a host" : absl::StrCat("over ", axis.hosts, " hosts"), "\n");
}

std::string Times(const LinkAxis& axis, const LinkAxis* mpi, bool boxes) {
  std::vector<std::string> head = {"operation", "bytes",    "median us", "min us",
                                   "max us",    "alg GB/s", "bus GB/s"};
  if (mpi != nullptr) head.insert(head.end(), {"MPI's own us", "times as fast"});
  Table table(head);
  for (size_t c = 0; c < axis.curves.size(); ++c) {
    const LinkCurve& curve = axis.curves[c];
    for (size_t p = 0; p < curve.points.size(); ++p) {
      const LinkPoint& point = curve.points[p];
      const double rate = point.AlgorithmBandwidth();
      const bool moves = point.bytes > 0;
      std::vector<std::string> row = {std::string(BenchOpName(curve.op)),
                                      FormatCount(point.bytes),
                                      Micro(point.seconds),
                                      Micro(point.min_seconds),
                                      Micro(point.max_seconds),
                                      moves ? Giga(rate) : "-",
                                      moves ? Giga(BusFactor(curve.op, axis.ranks) * rate) : "-"};
      if (mpi != nullptr) {
        const double theirs = mpi->curves[c].points[p].seconds;
        row.push_back(Micro(theirs));
        row.push_back(absl::StrFormat("%.2f", theirs / point.seconds));
      }
      table.AddRow(std::move(row));
    }
  }
  return table.ToString(boxes ? TableStyle::kBoxes : TableStyle::kPlain);
}

std::string Formulas(const LinkAxis& axis, bool boxes) {
  Table table({"operation", "smallest us", "latency us", "alg GB/s", "bus GB/s", "pieces", "worst error"});
  for (const LinkCurve& curve : axis.curves) {
    const double slope = curve.pieces.back().seconds_per_byte;
    const double factor = BusFactor(curve.op, axis.ranks);
    table.AddRow({std::string(BenchOpName(curve.op)), Micro(curve.points.front().seconds),
                  Micro(curve.pieces.front().latency), slope > 0 ? Giga(1.0 / slope) : "-",
                  slope > 0 && factor > 0 ? Giga(factor / slope) : "-", absl::StrCat(curve.pieces.size()),
                  absl::StrFormat("%.0f%%", 100.0 * curve.worst_error)});
  }
  return absl::StrCat(
      "time = latency + bytes / bandwidth, in pieces: latency of the first, bandwidth of the last\n",
      table.ToString(boxes ? TableStyle::kBoxes : TableStyle::kPlain));
}

}  // namespace

std::string ToText(const CommBenchResult& result, bool boxes) {
  const LinkFile& links = result.links;
  std::string text =
      absl::StrCat("host       ", links.host, ": ", Counted(links.cores, "core"), ", ", links.processor, "\n",
                   "mesh       ", ToString(links.mesh), ": ", Counted(links.mesh.world(), "rank"), ", ",
                   links.ranks_per_host, " a host, ", links.backend, " backend\n", "timed      ", links.dtype,
                   links.asynchronous ? ", asynchronous calls" : "",
                   "; the slowest rank's time of each sample; bytes of the whole tensor\n");
  if (links.ranks_per_host > links.cores) {
    absl::StrAppend(&text,
                    "note       more ranks than cores: times hold the system's switching between ranks\n");
  }
  for (size_t a = 0; a < links.axes.size(); ++a) {
    const LinkAxis& axis = links.axes[a];
    absl::StrAppend(&text, AxisHeading(axis),
                    Times(axis, result.mpi.empty() ? nullptr : &result.mpi[a], boxes), Formulas(axis, boxes));
  }
  return text;
}

nlohmann::ordered_json ToJson(const CommBenchResult& result) {
  nlohmann::ordered_json json = ToJson(result.links);
  if (result.mpi.empty()) return json;
  LinkFile theirs = result.links;
  theirs.axes = result.mpi;
  json["mpi_own"] = ToJson(theirs)["axes"];
  return json;
}

}  // namespace orthant

#include "orthant/plan/measured_layouts.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "orthant/core/text.h"

namespace orthant {
namespace {

std::string Milliseconds(double seconds) {
  return absl::StrFormat("%.4g", 1e3 * seconds);
}

std::string Judgement(const std::vector<MeasuredLayout>& measured) {
  const MeasuredLayout* quickest = QuickestOf(measured);
  if (quickest == nullptr) return "none of them ran\n";
  const PredictionQuality q = QualityOf(measured);
  return absl::StrFormat(
      "mean |error| %.1f %%, median %.1f %%; rank correlation %.2f; the one predicted quickest took %.1f %% "
      "longer than the one measured quickest: %s\n",
      100 * q.mean, 100 * q.median, q.rank_correlation, 100 * q.regret,
      quickest->prediction.layout.ToString());
}

}  // namespace

PredictionQuality QualityOf(const std::vector<MeasuredLayout>& measured) {
  std::vector<double> predicted, seconds;
  for (const MeasuredLayout& one : measured) {
    if (one.seconds <= 0) continue;
    predicted.push_back(one.prediction.time.step);
    seconds.push_back(one.seconds);
  }
  return QualityOf(predicted, seconds);
}

const MeasuredLayout* QuickestOf(const std::vector<MeasuredLayout>& measured) {
  const MeasuredLayout* quickest = nullptr;
  for (const MeasuredLayout& one : measured)
    if (one.seconds > 0 && (quickest == nullptr || one.seconds < quickest->seconds)) quickest = &one;
  return quickest;
}

std::string MeasuredText(const std::vector<MeasuredLayout>& measured, TableStyle style) {
  Table table({"predicted ms", "measured ms", "error", "layout"});
  for (const MeasuredLayout& one : measured) {
    const bool ran = one.seconds > 0;
    const double predicted = one.prediction.time.step;
    table.AddRow({Milliseconds(predicted), ran ? Milliseconds(one.seconds) : "-",
                  ran ? absl::StrFormat("%+.1f%%", 100 * (predicted / one.seconds - 1)) : "-",
                  absl::StrCat(one.prediction.layout.ToString(), ran ? "" : ": " + one.error)});
  }
  return absl::StrCat("\nmeasured here\n", table.ToString(style), Judgement(measured));
}

nlohmann::ordered_json MeasuredJson(const std::vector<MeasuredLayout>& measured) {
  nlohmann::ordered_json json = {{"layouts", nlohmann::ordered_json::array()}};
  for (const MeasuredLayout& one : measured) {
    nlohmann::ordered_json row = {{"layout", one.prediction.layout.ToString()},
                                  {"predicted_seconds", one.prediction.time.step}};
    if (one.seconds > 0) {
      row["measured_seconds"] = one.seconds;
    } else {
      row["error"] = one.error;
    }
    json["layouts"].push_back(std::move(row));
  }
  const PredictionQuality q = QualityOf(measured);
  json["mean_error"] = q.mean;
  json["median_error"] = q.median;
  json["rank_correlation"] = q.rank_correlation;
  json["regret"] = q.regret;
  const MeasuredLayout* quickest = QuickestOf(measured);
  if (quickest != nullptr) json["quickest"] = quickest->prediction.layout.ToString();
  return json;
}

}  // namespace orthant

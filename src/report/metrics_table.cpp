#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "orthant/core/step_median.h"
#include "orthant/report/run_data.h"

namespace orthant {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

// Every number under `value`, by its joined name. null is a number that was not finite.
void AddNumbers(const nlohmann::json& value, const std::string& name, MetricsTable* table) {
  if (value.is_object()) {
    for (const auto& [key, inner] : value.items())
      AddNumbers(inner, name.empty() ? key : absl::StrCat(name, ".", key), table);
    return;
  }
  if (!value.is_number() && !value.is_boolean() && !value.is_null()) return;
  std::vector<double>& column = table->columns[name];
  column.resize(table->size(), kNone);
  if (value.is_null()) {
    table->nulls[name].push_back(table->size() - 1);
    return;
  }
  column.back() = value.is_boolean() ? static_cast<double>(value.get<bool>()) : value.get<double>();
}

struct BadLines {
  int64_t count = 0, first = 0;
  void Add(int64_t line) {
    if (count++ == 0) first = line;
  }
};

}  // namespace

const std::vector<double>& MetricsTable::Column(const std::string& name) const {
  static const std::vector<double> none;
  const auto found = columns.find(name);
  return found == columns.end() ? none : found->second;
}

std::optional<double> MetricsTable::Last(const std::string& name) const {
  const std::vector<double>& column = Column(name);
  for (size_t i = column.size(); i > 0; --i) {
    if (!std::isnan(column[i - 1])) return column[i - 1];
  }
  return std::nullopt;
}

bool MetricsTable::IsNull(const std::string& name, size_t row) const {
  const auto found = nulls.find(name);
  return found != nulls.end() && std::binary_search(found->second.begin(), found->second.end(), row);
}

std::optional<double> MetricsTable::Median(const std::string& name) const {
  const double median = MedianAfterWarmUp(Column(name));
  return std::isnan(median) ? std::nullopt : std::optional<double>(median);
}

MetricsTable ParseMetrics(std::string_view text, const std::string& origin) {
  MetricsTable table;
  BadLines bad, backward;
  int64_t number = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    const std::string_view line = text.substr(at, end == std::string_view::npos ? end : end - at);
    const bool whole = end != std::string_view::npos;
    at = whole ? end + 1 : text.size();
    ++number;
    const nlohmann::json json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    const bool step = json.is_object() && json.contains("step") && json["step"].is_number();
    if (!whole && !step) {
      table.notes.push_back(
          absl::StrCat(origin, ":", number,
                       ": the last line is cut off (the run writes it now, or was killed); it is left out"));
    } else if (!step) {
      bad.Add(number);
    } else if (!table.steps.empty() && json["step"].get<double>() <= table.steps.back()) {
      backward.Add(number);
    } else {
      table.steps.push_back(json["step"].get<double>());
      AddNumbers(json, "", &table);
    }
  }
  for (auto& [name, column] : table.columns) column.resize(table.size(), kNone);
  if (bad.count > 0) {
    table.notes.push_back(absl::StrCat(origin, ":", bad.first, ": is no object with a step; ", bad.count,
                                       bad.count == 1 ? " such line is" : " such lines are", " left out"));
  }
  if (backward.count > 0) {
    table.notes.push_back(
        absl::StrCat(origin, ":", backward.first, ": goes back to an earlier step; ", backward.count,
                     backward.count == 1 ? " such line is" : " such lines are", " left out"));
  }
  return table;
}

}  // namespace orthant

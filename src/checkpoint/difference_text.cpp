#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "checkpoint/dtype_names.h"
#include "orthant/checkpoint/difference.h"
#include "orthant/core/terminal.h"
#include "orthant/core/text.h"

namespace orthant {
namespace {

std::string Dtypes(const TensorDifference& d) {
  return d.dtype_a == d.dtype_b ? StateDtypeName(d.dtype_a)
                                : absl::StrCat(StateDtypeName(d.dtype_a), " / ", StateDtypeName(d.dtype_b));
}

// "[1, 4, 2]" of a flat position.
std::string Position(int64_t at, const std::vector<int64_t>& shape) {
  std::vector<int64_t> index(shape.size());
  for (size_t d = shape.size(); d-- > 0;) {
    index[d] = at % shape[d];
    at /= shape[d];
  }
  return ShapeText(index);
}

size_t Shown(size_t count, int64_t top) {
  return top > 0 ? std::min(count, static_cast<size_t>(top)) : count;
}

std::string DifferenceTable(const std::vector<TensorDifference>& differences, size_t shown) {
  Table table({"tensor", "kind", "dtype", "max abs", "max rel", "differing", "of", "not finite", "at"});
  for (size_t i = 0; i < shown; ++i) {
    const TensorDifference& d = differences[i];
    table.AddRow({d.tensor, ToString(d.kind), Dtypes(d), absl::StrFormat("%.3e", d.max_abs),
                  absl::StrFormat("%.3e", d.max_rel()), FormatCount(d.differing), FormatCount(d.elements),
                  d.not_finite > 0 ? FormatCount(d.not_finite) : "-", Position(d.at, d.shape)});
  }
  return table.ToString(TableStyleFor(1));
}

std::string UnmatchedLine(const CheckpointDifference::Unmatched& u, const CheckpointDifference& d) {
  const std::string name = absl::StrCat(u.tensor, " (", ToString(u.kind), ")");
  if (u.shape_a.empty())
    return absl::StrCat("only in ", d.b.folder, ": ", name, " ", ShapeText(u.shape_b), "\n");
  if (u.shape_b.empty())
    return absl::StrCat("only in ", d.a.folder, ": ", name, " ", ShapeText(u.shape_a), "\n");
  return absl::StrCat("other shape: ", name, " ", ShapeText(u.shape_a), " and ", ShapeText(u.shape_b), "\n");
}

std::string Summary(const CheckpointDifference& d) {
  const std::string compared =
      absl::StrCat(FormatCount(d.compared), " tensors, ", FormatCount(d.elements), " elements");
  const std::string which =
      absl::StrCat(d.a.folder, " (step ", d.a.step, ") and ", d.b.folder, " (step ", d.b.step, ")");
  if (d.identical()) return absl::StrCat(which, " are identical to the bit: ", compared, "\n");
  if (d.differences.empty() && d.unmatched.empty()) {
    return absl::StrCat(which, " have the same values, ", d.other_dtype,
                        " tensors in another dtype: ", compared, "\n");
  }
  return absl::StrCat(
      which, ": ", d.differences.size(), " of ", compared, " differ",
      d.unmatched.empty() ? "" : absl::StrCat("; ", d.unmatched.size(), " without a counterpart"),
      d.other_dtype == 0 ? "" : absl::StrCat("; ", d.other_dtype, " equal in another dtype"), "\n");
}

}  // namespace

std::string CheckpointDifference::ToText(int64_t top) const {
  std::string text;
  const size_t shown = Shown(differences.size(), top), lines = Shown(unmatched.size(), top);
  if (shown > 0) absl::StrAppend(&text, DifferenceTable(differences, shown));
  if (shown < differences.size())
    absl::StrAppend(&text, "and ", differences.size() - shown, " more (--top 0)\n");
  for (size_t i = 0; i < lines; ++i) absl::StrAppend(&text, UnmatchedLine(unmatched[i], *this));
  if (lines < unmatched.size()) {
    absl::StrAppend(&text, "and ", unmatched.size() - lines, " more without a counterpart (--top 0)\n");
  }
  return absl::StrCat(text, Summary(*this));
}

nlohmann::ordered_json CheckpointDifference::ToJson(int64_t top) const {
  using Json = nlohmann::ordered_json;
  Json json = {{"a", {{"folder", a.folder}, {"step", a.step}}},
               {"b", {{"folder", b.folder}, {"step", b.step}}},
               {"identical", identical()},
               {"compared", compared},
               {"elements", elements},
               {"differing", differences.size()},
               {"other_dtype", other_dtype},
               {"differences", Json::array()},
               {"unmatched", Json::array()}};
  for (size_t i = 0; i < Shown(differences.size(), top); ++i) {
    const TensorDifference& d = differences[i];
    json["differences"].push_back({{"tensor", d.tensor},
                                   {"kind", ToString(d.kind)},
                                   {"dtype_a", StateDtypeName(d.dtype_a)},
                                   {"dtype_b", StateDtypeName(d.dtype_b)},
                                   {"shape", d.shape},
                                   {"max_abs", d.max_abs},
                                   {"max_rel", d.max_rel()},
                                   {"magnitude", d.magnitude},
                                   {"differing", d.differing},
                                   {"not_finite", d.not_finite},
                                   {"at", d.at}});
  }
  for (const Unmatched& u : unmatched) {
    const auto shape = [](const std::vector<int64_t>& s) { return s.empty() ? Json(nullptr) : Json(s); };
    json["unmatched"].push_back({{"tensor", u.tensor},
                                 {"kind", ToString(u.kind)},
                                 {"shape_a", shape(u.shape_a)},
                                 {"shape_b", shape(u.shape_b)}});
  }
  return json;
}

}  // namespace orthant

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "orthant/checkpoint/verification.h"
#include "orthant/core/status.h"
#include "orthant/core/terminal.h"
#include "orthant/core/text.h"

namespace orthant {
namespace {

constexpr size_t kMostRows = 50;  // of hurt slices in text; JSON has all

const Verification::Other* WholeOne(const Verification& v) {
  const auto found =
      std::find_if(v.others.begin(), v.others.end(), [](const auto& other) { return other.whole; });
  return found == v.others.end() ? nullptr : &*found;
}

size_t HurtTensors(const Verification& v) {
  std::set<CheckpointManifest::Key> keys;
  for (const HurtSlice& hurt : v.hurt) keys.insert({hurt.tensor, hurt.kind});
  return keys.size();
}

std::string HurtTable(const Verification& v) {
  Table table({"hurt tensor", "kind", "file", "from byte", "bytes", ""});
  for (size_t i = 0; i < std::min(v.hurt.size(), kMostRows); ++i) {
    const HurtSlice& hurt = v.hurt[i];
    table.AddRow({hurt.tensor, ToString(hurt.kind), hurt.file, absl::StrCat(hurt.offset),
                  absl::StrCat(hurt.bytes), hurt.what});
  }
  std::string text = table.ToString(TableStyleFor(1));
  if (v.hurt.size() > kMostRows) {
    absl::StrAppend(&text, "and ", v.hurt.size() - kMostRows, " more (--format json lists all)\n");
  }
  return text;
}

std::string Verdict(const Verification& v) {
  std::string text = absl::StrCat(v.folder, " is damaged");
  if (!v.hurt.empty()) {
    absl::StrAppend(&text, ": ", HurtTensors(v), " of ", v.tensors, " logical tensors are hurt");
  } else {
    absl::StrAppend(&text, ": ", v.faults.front());
  }
  if (const Verification::Other* other = WholeOne(v); other != nullptr) {
    return absl::StrCat(text, "; step ", other->step, " is whole: ", other->folder);
  }
  return absl::StrCat(
      text, v.others.empty() ? "; there is no other step beside it" : "; no other step beside it is whole");
}

}  // namespace

absl::Status Verification::status() const {
  return whole() ? absl::OkStatus() : DataError(Verdict(*this));
}

std::string Verification::ToText() const {
  std::string text;
  for (const std::string& fault : faults) absl::StrAppend(&text, "FAULT ", fault, "\n");
  if (!hurt.empty()) absl::StrAppend(&text, HurtTable(*this));
  for (const std::string& stray : strays) {
    absl::StrAppend(&text, "note: ", folder, "/", stray, " is not part of the checkpoint\n");
  }
  for (const Other& other : others) {
    absl::StrAppend(&text, other.folder, ": ",
                    other.whole ? "whole" : absl::StrCat("damaged too: ", other.first_fault), "\n");
  }
  if (whole()) {
    absl::StrAppend(&text, folder, ": whole: step ", step, ", ", FormatCount(tensors), " logical tensors, ",
                    FormatCount(slices), " slices, ", FormatBytes(static_cast<double>(bytes_read)),
                    " read\n");
  }
  return text;
}

nlohmann::ordered_json Verification::ToJson() const {
  nlohmann::ordered_json json = {
      {"folder", folder}, {"whole", whole()},         {"step", step},     {"tensors", tensors},
      {"slices", slices}, {"bytes_read", bytes_read}, {"faults", faults}, {"hurt", nlohmann::json::array()},
      {"strays", strays}};
  for (const HurtSlice& h : hurt) {
    json["hurt"].push_back({{"tensor", h.tensor},
                            {"kind", ToString(h.kind)},
                            {"file", h.file},
                            {"offset", h.offset},
                            {"bytes", h.bytes},
                            {"what", h.what}});
  }
  json["others"] = nlohmann::json::array();
  for (const Other& other : others) {
    nlohmann::ordered_json row = {{"folder", other.folder}, {"step", other.step}, {"whole", other.whole}};
    if (!other.whole) row["fault"] = other.first_fault;
    json["others"].push_back(row);
  }
  if (const Verification::Other* other = WholeOne(*this); other != nullptr) json["use"] = other->folder;
  return json;
}

}  // namespace orthant

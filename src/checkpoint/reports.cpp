#include "checkpoint/reports.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "checkpoint/manifest_json.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kWritten = 'M', kFailed = 'E';

Json ToJson(const absl::Status& status) {
  return {{"code", static_cast<int>(ExitCodeOf(status))}, {"message", std::string(status.message())}};
}

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

absl::Status StatusFrom(const Json& json) {
  const int code = json.at("code").get<int>();
  return code == 0 ? absl::OkStatus()
                   : StatusWithExitCode(static_cast<ExitCode>(code), json.at("message").get<std::string>());
}

absl::Status Add(CheckpointManifest shard, CheckpointManifest* all) {
  const int file = static_cast<int>(all->files.size());
  all->files.push_back(std::move(shard.files.at(0)));
  for (auto& [key, tensor] : shard.tensors) {
    LogicalTensor& whole =
        all->tensors.try_emplace(key, LogicalTensor{tensor.dtype, tensor.shape, {}}).first->second;
    if (whole.dtype != tensor.dtype || whole.shape != tensor.shape) {
      return absl::InternalError(absl::StrCat("two ranks disagree about the shape or dtype of ", key.first,
                                              " (", ToString(key.second), ")"));
    }
    for (Slice& slice : tensor.slices) {
      slice.file = file;
      whole.slices.push_back(slice);
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::string ReportOf(const CheckpointManifest& shard) {
  return kWritten + ToText(shard);
}

std::string ReportOf(const absl::Status& failure) {
  return kFailed + Dump(ToJson(failure));
}

absl::StatusOr<CheckpointManifest> JoinReports(const std::vector<std::string>& reports) {
  for (size_t rank = 0; rank < reports.size(); ++rank) {
    if (reports[rank].empty() || reports[rank][0] != kFailed) continue;
    return Annotate(StatusFrom(Json::parse(reports[rank].substr(1))), absl::StrCat("rank ", rank));
  }
  CheckpointManifest all;
  for (size_t rank = 0; rank < reports.size(); ++rank) {
    if (reports[rank].empty()) continue;
    absl::StatusOr<CheckpointManifest> shard =
        ParseManifest(reports[rank].substr(1), absl::StrCat("report of rank ", rank));
    if (!shard.ok()) return absl::InternalError(shard.status().message());
    all.version = shard->version;
    all.step = shard->step;
    if (absl::Status status = Add(*std::move(shard), &all); !status.ok()) return status;
  }
  for (const auto& [key, tensor] : all.tensors) {
    const std::string gap = Incomplete(absl::StrCat(key.first, " (", ToString(key.second), ")"), tensor);
    if (!gap.empty()) return absl::InternalError(absl::StrCat("the ranks gave an incomplete state: ", gap));
  }
  return all;
}

std::string OutcomeText(const SaveResult& result) {
  return Dump({{"status", ToJson(result.status)}, {"bytes", result.bytes}, {"notice", result.notice}});
}

void ReadOutcome(const std::string& text, SaveResult* result) {
  const Json json = Json::parse(text);
  result->status = StatusFrom(json.at("status"));
  result->bytes = json.at("bytes").get<int64_t>();
  result->notice = json.at("notice").get<std::string>();
}

}  // namespace orthant

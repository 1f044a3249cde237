// Verdicts and records on disk, written in a hurry by a run that ends.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "orthant/comm/verdict.h"
#include "orthant/core/json.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

using nlohmann::json;

// Without a sync: what matters is that the file is there soon, and the machine goes on running.
bool WriteAll(int file, const std::string& text) {
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t wrote = write(file, text.data() + done, text.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return false;
    done += static_cast<size_t>(wrote);
  }
  return true;
}

void MakeFolder(const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
}

}  // namespace

std::string VerdictFile(const std::string& folder) {
  return absl::StrCat(folder, "/verdict.json");
}

std::string VerdictText(const Verdict& verdict) {
  const json value = {{"exit_code", verdict.exit_code}, {"cause", verdict.cause},
                      {"ranks", verdict.ranks},         {"operation", verdict.operation},
                      {"sequence", verdict.sequence},   {"step", verdict.step},
                      {"text", verdict.text},           {"told_by", verdict.told_by}};
  return value.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

absl::StatusOr<Verdict> ReadVerdict(const std::string& folder) {
  const std::string path = VerdictFile(folder);
  const absl::StatusOr<json> value = ReadJsonFile(path);
  if (!value.ok()) return value.status();
  Verdict verdict;
  try {
    value->at("exit_code").get_to(verdict.exit_code);
    value->at("cause").get_to(verdict.cause);
    value->at("ranks").get_to(verdict.ranks);
    value->at("operation").get_to(verdict.operation);
    value->at("sequence").get_to(verdict.sequence);
    value->at("step").get_to(verdict.step);
    value->at("text").get_to(verdict.text);
    verdict.told_by = value->value("told_by", -1);
  } catch (const json::exception& error) {
    return DataError(absl::StrCat(path, ": not a verdict: ", error.what()));
  }
  return verdict;
}

void WriteFlightRecord(const std::string& folder, const FlightRecord& record) {
  if (folder.empty()) return;
  MakeFolder(folder);
  const std::string path = FlightFile(folder, record.rank);
  const std::string partial = path + ".partial";
  const int file = open(partial.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0) return;
  const bool whole = WriteAll(file, FlightRecordText(record));
  close(file);
  if (!whole || std::rename(partial.c_str(), path.c_str()) != 0) unlink(partial.c_str());
}

bool WriteVerdict(const std::string& folder, const Verdict& verdict) {
  if (folder.empty()) return true;
  MakeFolder(folder);
  const int file = open(VerdictFile(folder).c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (file < 0) return errno != EEXIST;
  if (!WriteAll(file, VerdictText(verdict))) unlink(VerdictFile(folder).c_str());
  close(file);
  return true;
}

}  // namespace orthant

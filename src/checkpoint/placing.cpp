#include "checkpoint/placing.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <set>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "core/async_file_parts.h"
#include "orthant/checkpoint/step_folders.h"
#include "orthant/core/file.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

namespace fs = std::filesystem;

// The two names change places in one moment. False where the kernel or the file system cannot.
bool Exchange(const std::string& a, const std::string& b) {
#if defined(SYS_renameat2)
  constexpr unsigned kExchange = 2;  // RENAME_EXCHANGE
  return ::syscall(SYS_renameat2, AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), kExchange) == 0;
#else
  return false;
#endif
}

// What an earlier attempt at the same step left in the folder is no part of this checkpoint.
absl::Status RemoveStrays(const std::string& folder, const CheckpointManifest& manifest) {
  std::set<std::string> known;
  for (const CheckpointManifest::File& file : manifest.files) known.insert(file.name);
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    if (known.count(entry.path().filename().string()) > 0) continue;
    if (absl::Status status = RemoveAll(entry.path().string()); !status.ok()) return status;
  }
  return absl::OkStatus();
}

// A shard that somebody has removed or cut since its rank wrote it is seen before anything depends on it.
absl::Status CheckFiles(const std::string& folder, const CheckpointManifest& manifest) {
  for (const CheckpointManifest::File& file : manifest.files) {
    const std::string path = absl::StrCat(folder, "/", file.name);
    std::error_code error;
    const uintmax_t bytes = fs::file_size(path, error);
    if (error) return DiskError(absl::StrCat(path, ": was written and is gone"), error.value());
    if (bytes != static_cast<uintmax_t>(file.bytes)) {
      return EnvironmentError(absl::StrCat(path, ": ", file.bytes, " bytes were written and ", bytes,
                                           " are there; find out what else writes to this folder"));
    }
  }
  return absl::OkStatus();
}

// First another name, then the files: a folder of a step's name is never a part of one.
absl::Status RemoveStep(const std::string& checkpoints, const std::string& name) {
  const std::string aside = absl::StrCat(checkpoints, "/.", name, kRemovingSuffix);
  if (absl::Status status = RemoveAll(aside); !status.ok()) return status;
  if (absl::Status status = Rename(absl::StrCat(checkpoints, "/", name), aside); !status.ok()) return status;
  return RemoveAll(aside);
}

// The folder gets the step's name; an older one of that name goes.
absl::Status TakeName(const std::string& checkpoints, const std::string& writing, const std::string& name) {
  const std::string place = absl::StrCat(checkpoints, "/", name);
  if (!FileExists(place)) return Rename(writing, place);
  const std::string aside = absl::StrCat(checkpoints, "/.", name, kRemovingSuffix);
  if (absl::Status status = RemoveAll(aside); !status.ok()) return status;
  if (Exchange(writing, place)) return Rename(writing, aside);
  // Between these two renames the step has no name; CleanUp gives it back.
  const std::string replaced = absl::StrCat(checkpoints, "/.", name, kReplacedSuffix);
  if (absl::Status status = RemoveAll(replaced); !status.ok()) return status;
  if (absl::Status status = Rename(place, replaced); !status.ok()) return status;
  if (absl::Status status = Rename(writing, place); !status.ok()) {
    const absl::Status back = Rename(replaced, place);
    return back.ok() ? status : back;
  }
  return Rename(replaced, aside);
}

absl::Status Prune(const Placement& placement, int64_t newest, const std::string& name) {
  absl::Status first =
      RemoveAll(absl::StrCat(placement.checkpoints, "/.", name, kRemovingSuffix));  // the one replaced
  for (const int64_t step :
       StepsToRemove(StepsIn(placement.checkpoints), newest, placement.keep_last, placement.keep_every)) {
    first.Update(RemoveStep(placement.checkpoints, StepName(step)));
  }
  first.Update(SyncFolder(placement.checkpoints));
  return first;
}

}  // namespace

std::string WritingFolder(const std::string& checkpoints, int64_t step) {
  return absl::StrCat(checkpoints, "/.", StepName(step), kWritingSuffix);
}

absl::Status RemoveAll(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (!error) return absl::OkStatus();
  return DiskError(absl::StrCat(path, ": cannot be removed"), error.value());
}

absl::Status Rename(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) == 0) return absl::OkStatus();
  return DiskError(absl::StrCat(from, ": cannot be renamed to ", to), errno);
}

absl::Status Place(const Placement& placement, const CheckpointManifest& manifest, std::string* notice) {
  const auto stage = [&](const char* name) {
    if (placement.on_stage) placement.on_stage(name);
  };
  const std::string name = StepName(manifest.step);
  const std::string writing = WritingFolder(placement.checkpoints, manifest.step);
  stage("manifest");
  if (absl::Status status = RemoveStrays(writing, manifest); !status.ok()) return status;
  if (absl::Status status = CheckFiles(writing, manifest); !status.ok()) return status;
  if (absl::Status status = WriteFileAtomically(writing + "/" + kCheckpointManifest, ToText(manifest));
      !status.ok()) {
    return status;
  }
  stage("rename");
  if (absl::Status status = TakeName(placement.checkpoints, writing, name); !status.ok()) return status;
  stage("sync");
  if (absl::Status status = SyncFolder(placement.checkpoints); !status.ok()) return status;
  stage("latest");
  if (absl::Status status =
          WriteFileAtomically(absl::StrCat(placement.checkpoints, "/", kLatestFile), name + "\n");
      !status.ok()) {
    return status;
  }
  stage("prune");
  if (absl::Status status = Prune(placement, manifest.step, name); !status.ok()) {
    *notice = std::string(status.message());
  }
  stage("done");
  return absl::OkStatus();
}

}  // namespace orthant

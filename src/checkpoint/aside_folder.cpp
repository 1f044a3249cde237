#include "checkpoint/aside_folder.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "orthant/core/file.h"
#include "orthant/core/status.h"

namespace orthant {
namespace fs = std::filesystem;

absl::StatusOr<AsideFolder> AsideFolder::Create(const std::string& target) {
  std::string place = target;
  while (place.size() > 1 && place.back() == '/') place.pop_back();
  std::error_code error;
  if (FileExists(place) && !(IsFolder(place) && fs::is_empty(place, error))) {
    return ConfigurationError(absl::StrCat("--output ", target,
                                           IsFolder(place) ? " is a folder that is not empty" : " is a file",
                                           "; name a new folder, or remove what is there"));
  }
  const std::string parent = fs::path(place).parent_path().string();
  if (!parent.empty()) {
    if (absl::Status made = MakeDirectories(parent); !made.ok()) return made;
  }
  std::string aside = absl::StrCat(place, ".partial.", ::getpid());
  fs::remove_all(aside, error);  // of an earlier process with the same number
  if (!fs::create_directory(aside, error)) {
    return EnvironmentError(absl::StrCat(aside, ": cannot be made: ", error.message()));
  }
  return AsideFolder(std::move(aside), std::move(place));
}

AsideFolder::AsideFolder(AsideFolder&& other) noexcept
    : path_(std::exchange(other.path_, "")), target_(std::move(other.target_)) {}

AsideFolder::~AsideFolder() {
  std::error_code ignored;
  if (!path_.empty()) fs::remove_all(path_, ignored);
}

absl::Status AsideFolder::PutInPlace() {
  if (absl::Status synced = SyncFolder(path_); !synced.ok()) return synced;
  // An empty folder in the target's place is replaced.
  if (std::rename(path_.c_str(), target_.c_str()) != 0) {
    return EnvironmentError(
        absl::StrCat(target_, ": cannot be put in place: ", std::generic_category().message(errno)));
  }
  path_.clear();
  const std::string parent = fs::path(target_).parent_path().string();
  return SyncFolder(parent.empty() ? "." : parent);
}

}  // namespace orthant

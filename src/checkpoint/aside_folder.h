// A new folder that is there whole or not at all: filled under another name beside its place, synced,
// renamed.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace orthant {

// One thread. What was not put in place is removed when destroyed.
class AsideFolder {
 public:
  // ConfigurationError when `target` is there and is no empty folder; EnvironmentError when it cannot be
  // made.
  static absl::StatusOr<AsideFolder> Create(const std::string& target);

  AsideFolder(AsideFolder&& other) noexcept;
  AsideFolder& operator=(AsideFolder&& other) = delete;
  ~AsideFolder();

  const std::string& path() const { return path_; }  // where to write
  // Its files are synced already.
  absl::Status PutInPlace();

 private:
  AsideFolder(std::string path, std::string target) : path_(std::move(path)), target_(std::move(target)) {}

  std::string path_, target_;  // path_ is empty once it is in place
};

}  // namespace orthant

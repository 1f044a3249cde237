// Making sure, before the first slot, that files can be used in a folder.
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <new>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "data_parallel/nvme_store.h"
#include "data_parallel/stores.h"
#include "orthant/core/file.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

namespace fs = std::filesystem;

// Its parent must be there: a path that is wrong shall not fill the disk that it happens to name.
absl::Status MakeFolder(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) == 0) return absl::OkStatus();
  const int error = errno;
  if (IsFolder(path)) return absl::OkStatus();  // there before, or other ranks have made it in this moment
  if (error == EEXIST) return EnvironmentError(absl::StrCat(path, ": is a file, not a folder; name another"));
  fs::path parent = fs::path(path);
  if (!parent.has_filename()) parent = parent.parent_path();  // "folder/"
  parent = parent.parent_path();
  if (!parent.empty() && !IsFolder(parent.string())) {
    return EnvironmentError(absl::StrCat(path, ": cannot be made: ", parent.string(),
                                         " is no folder; make it first, or name another"));
  }
  return EnvironmentError(absl::StrCat(path, ": cannot be made: ", std::generic_category().message(error),
                                       "; name a folder that this user may write to"));
}

// Files of a killed run whose store had this name. One that cannot be removed is told when its name is
// needed.
void RemoveLeftovers(const StoreOptions& options) {
  const std::string prefix = absl::StrCat(options.name, ".slot-");
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(options.path, ignored)) {
    const std::string file = entry.path().filename().string();
    absl::string_view number = file;
    if (absl::ConsumePrefix(&number, prefix) && absl::ConsumeSuffix(&number, ".bin") && !number.empty() &&
        number.find_first_not_of("0123456789") == absl::string_view::npos) {
      fs::remove(entry.path(), ignored);
    }
  }
}

// Writes a little and reads it back. -> the engine's description there.
absl::StatusOr<std::string> Probe(const StoreOptions& options,
                                  const std::shared_ptr<TransferEngine>& engine) {
  struct alignas(kDirectAlignment) Page {
    std::byte bytes[kDirectAlignment] = {};
  };
  const auto page = std::make_unique<Page>();
  const std::string path = absl::StrCat(options.path, "/", options.name, ".probe.bin");
  absl::StatusOr<std::unique_ptr<AsyncFile>> file = AsyncFile::Create(path, kDirectAlignment, engine);
  if (!file.ok()) return file.status();
  if (absl::Status status = (*file)->Write(page->bytes, 0).Wait(); !status.ok()) return status;
  if (absl::Status status = (*file)->Read(page->bytes, 0).Wait(); !status.ok()) return status;
  return (*file)->Describe();
}

template <typename T>
T OrThrow(absl::StatusOr<T> value) {
  if (!value.ok()) throw StatusError(Annotate(value.status(), "zero.offload.path"));
  return *std::move(value);
}

}  // namespace

std::unique_ptr<StateStore> MakeNvmeStore(const StoreOptions& options, AsyncFile::Engine engine_kind) {
  if (options.buffers < 2) {
    throw StatusError(ConfigurationError(
        absl::StrCat("zero.offload.buffers: ", options.buffers, " is too few: at least 2 are needed")));
  }
  if (absl::Status status = MakeFolder(options.path); !status.ok()) {
    throw StatusError(Annotate(status, "zero.offload.path"));
  }
  RemoveLeftovers(options);
  std::shared_ptr<TransferEngine> engine = OrThrow(MakeTransferEngine(engine_kind));
  std::string name = OrThrow(Probe(options, engine));
  return std::make_unique<NvmeStore>(options, std::move(engine), std::move(name));
}

}  // namespace orthant

#include "orthant/checkpoint/verification.h"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "checkpoint/archive_reader.h"
#include "checkpoint/dtype_names.h"
#include "checkpoint/positioned_file.h"
#include "orthant/checkpoint/step_folders.h"
#include "orthant/core/hash.h"

namespace orthant {
namespace {

namespace fs = std::filesystem;

struct Place {
  const CheckpointManifest::Key* key = nullptr;
  const Slice* slice = nullptr;
};

// Every slice, as they lie in the files: each file is read once, from its beginning.
std::vector<Place> InFileOrder(const CheckpointManifest& manifest) {
  std::vector<Place> places;
  for (const auto& [key, tensor] : manifest.tensors) {
    for (const Slice& slice : tensor.slices) places.push_back({&key, &slice});
  }
  std::sort(places.begin(), places.end(), [](const Place& a, const Place& b) {
    return std::tie(a.slice->file, a.slice->offset) < std::tie(b.slice->file, b.slice->offset);
  });
  return places;
}

class Checker {
 public:
  Checker(const CheckpointManifest& manifest, const VerificationProgress& progress, Verification* out)
      : manifest_(manifest), progress_(progress), out_(out), total_(manifest.bytes()) {}

  void Run() {
    CheckFiles();
    CheckTensors();
    CheckKinds();
    CheckBytes();
    FindStrays();
  }

 private:
  std::string PathOf(int file) const {
    return out_->folder + "/" + manifest_.files[static_cast<size_t>(file)].name;
  }

  void CheckFiles() {
    for (size_t f = 0; f < manifest_.files.size(); ++f) {
      absl::StatusOr<PositionedFile> file = PositionedFile::Open(PathOf(static_cast<int>(f)));
      if (!file.ok()) {
        out_->faults.emplace_back(file.status().message());
        files_.emplace_back();
        continue;
      }
      if (file->size() != manifest_.files[f].bytes) {
        out_->faults.push_back(absl::StrCat(file->path(), ": has ", file->size(), " bytes, and ",
                                            manifest_.files[f].bytes, " were written"));
      } else if (absl::EndsWith(file->path(), ".safetensors")) {
        // Not needed to load it here, but by every other program.
        const auto header = ReadArchiveHeader(*file);
        const char* const loadable = " (its tensors, which are checked by themselves, can be loaded)";
        if (!header.ok()) {
          out_->faults.push_back(absl::StrCat(header.status().message(), loadable));
        } else if (!HoldsSlices(*header, static_cast<int>(f))) {
          out_->faults.push_back(absl::StrCat(
              file->path(), ": its header says that tensors lie elsewhere than they do", loadable));
        }
      }
      files_.push_back(*std::move(file));
    }
  }

  // Whether each of the manifest's slices of this file lies within one of the header's tensors.
  bool HoldsSlices(const std::map<std::string, ArchiveReader::Entry>& header, int file) {
    std::map<int64_t, int64_t> tensors;  // begin -> end
    for (const auto& [name, entry] : header) {
      if (entry.bytes > 0) tensors[entry.offset] = entry.offset + entry.bytes;
    }
    const auto& slices = Slices()[static_cast<size_t>(file)];
    return std::all_of(slices.begin(), slices.end(), [&](const Slice* slice) {
      const auto after = tensors.upper_bound(slice->offset);
      return after != tensors.begin() && slice->offset + slice->bytes <= std::prev(after)->second;
    });
  }

  // The manifest's slices by file.
  const std::vector<std::vector<const Slice*>>& Slices() {
    if (slices_.empty()) {
      slices_.resize(manifest_.files.size());
      for (const auto& [key, tensor] : manifest_.tensors) {
        for (const Slice& slice : tensor.slices) slices_[static_cast<size_t>(slice.file)].push_back(&slice);
      }
    }
    return slices_;
  }

  void CheckTensors() {
    for (const auto& [key, tensor] : manifest_.tensors) {
      ++out_->tensors;
      const std::string missing =
          Incomplete(absl::StrCat(key.first, " (", ToString(key.second), ")"), tensor);
      if (!missing.empty()) out_->faults.push_back(missing);
    }
  }

  // What each parameter must have beside it in a checkpoint that training can go on from.
  void CheckKinds() {
    const auto has = [&](const std::string& name, StateKind kind) {
      return manifest_.tensors.count({name, kind}) > 0;
    };
    const nlohmann::ordered_json& run = manifest_.run;
    bool all = run.is_object() && run.contains("content") && run["content"] == "all";
    for (const auto& [key, tensor] : manifest_.tensors) {
      all = all || key.second == StateKind::kFirstMoment || key.second == StateKind::kSecondMoment;
    }
    int64_t elements = 0;
    for (const auto& [key, tensor] : manifest_.tensors) {
      if (key.second != StateKind::kParameter) {
        if (!has(key.first, StateKind::kParameter)) {
          out_->faults.push_back(absl::StrCat(key.first, " has a ", ToString(key.second), " and no value"));
        }
        continue;
      }
      elements += ElementsOf(tensor.shape);
      for (const StateKind kind : {StateKind::kMaster, StateKind::kFirstMoment, StateKind::kSecondMoment}) {
        const bool wanted = all && (kind != StateKind::kMaster || BytesOf(tensor.dtype) == 2);
        if (wanted && !has(key.first, kind)) {
          out_->faults.push_back(absl::StrCat(key.first, " has no ", ToString(kind)));
        }
      }
    }
    const bool told = run.is_object() && run.contains("parameters") && run["parameters"].is_number_integer();
    if (told && run["parameters"].get<int64_t>() != elements) {
      out_->faults.push_back(absl::StrCat("the parameters have ", elements,
                                          " elements together, and the model ",
                                          run["parameters"].get<int64_t>()));
    }
  }

  void CheckBytes() {
    std::vector<std::byte> bytes;
    for (const Place& place : InFileOrder(manifest_)) {
      const Slice& slice = *place.slice;
      const PositionedFile& file = files_[static_cast<size_t>(slice.file)];
      std::string what;
      if (file.path().empty()) {
        what = "is missing with its file";
      } else if (slice.offset + slice.bytes > file.size()) {
        what = "lies beyond the end of its file";
      } else {
        bytes.resize(static_cast<size_t>(slice.bytes));
        const absl::Status read = file.ReadAt(slice.offset, bytes);
        if (!read.ok()) {
          what = "cannot be read";
        } else if (Xxh64(bytes) != slice.xxh64) {
          what = "does not match its checksum";
        }
        out_->bytes_read += slice.bytes;
      }
      ++out_->slices;
      if (!what.empty()) {
        out_->hurt.push_back({place.key->first, place.key->second,
                              manifest_.files[static_cast<size_t>(slice.file)].name, slice.offset,
                              slice.bytes, what});
      }
      done_ += slice.bytes;
      if (progress_) progress_(done_, total_);
    }
  }

  void FindStrays() {
    std::set<std::string> known = {kCheckpointManifest};
    for (const CheckpointManifest::File& file : manifest_.files) known.insert(file.name);
    std::error_code ignored;
    for (fs::directory_iterator it(out_->folder, ignored), end; !ignored && it != end;
         it.increment(ignored)) {
      const std::string name = it->path().filename().string();
      if (known.count(name) == 0) out_->strays.push_back(name);
    }
    std::sort(out_->strays.begin(), out_->strays.end());
  }

  const CheckpointManifest& manifest_;
  const VerificationProgress& progress_;
  Verification* out_;
  std::vector<PositionedFile> files_;              // as in the manifest; an empty path: cannot be opened
  std::vector<std::vector<const Slice*>> slices_;  // by file; empty: not asked for yet
  int64_t total_, done_ = 0;
};

std::string FirstFault(const Verification& v) {
  if (!v.faults.empty()) return v.faults.front();
  if (v.hurt.empty()) return "";
  const HurtSlice& hurt = v.hurt.front();
  return absl::StrCat(hurt.tensor, " (", ToString(hurt.kind), ") in ", hurt.file, " ", hurt.what);
}

}  // namespace

Verification VerifyStep(const std::string& step_folder, const VerificationProgress& progress) {
  Verification out;
  out.folder = step_folder;
  while (out.folder.size() > 1 && out.folder.back() == '/') out.folder.pop_back();
  const absl::StatusOr<CheckpointManifest> manifest = ReadCheckpointManifest(out.folder);
  if (!manifest.ok()) {
    out.faults.emplace_back(manifest.status().message());
    return out;
  }
  out.step = manifest->step;
  Checker(*manifest, progress, &out).Run();
  return out;
}

Verification VerifyCheckpoint(const std::string& step_folder, const VerificationProgress& progress) {
  Verification out = VerifyStep(step_folder, progress);
  if (out.whole()) return out;
  const fs::path here(out.folder);
  const std::string parent = here.has_parent_path() ? here.parent_path().string() : ".";
  for (const int64_t step : StepsIn(parent)) {
    if (StepName(step) == here.filename().string()) continue;
    const Verification other = VerifyStep(parent + "/" + StepName(step), progress);
    out.others.push_back({other.folder, step, other.whole(), FirstFault(other)});
    if (other.whole()) break;
  }
  return out;
}

}  // namespace orthant

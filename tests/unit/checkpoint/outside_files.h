// Files as Hugging Face's hub has them, made by hand, and looks into those that were written.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "checkpoint/archive_reader.h"
#include "checkpoint/archive_writer.h"
#include "orthant/checkpoint/safetensors_import.h"
#include "unit/checkpoint/written_checkpoint.h"

namespace orthant::testing {

inline at::Tensor TensorIn(const ArchiveReader& archive, const std::string& name) {
  const ArchiveReader::Entry& entry = archive.entries().at(name);
  const at::Tensor tensor = at::empty(entry.shape, at::kFloat);
  EXPECT_EQ(entry.bytes, static_cast<int64_t>(tensor.nbytes()));
  const std::span<std::byte> memory(static_cast<std::byte*>(tensor.data_ptr()), tensor.nbytes());
  EXPECT_TRUE(archive.Read(entry, 0, memory).ok());
  return tensor;
}

inline void WriteSafetensors(const std::string& path, const std::map<std::string, at::Tensor>& tensors) {
  std::filesystem::remove(path);
  std::vector<ArchiveTensor> described;
  for (const auto& [name, tensor] : tensors)
    described.push_back({name, tensor.scalar_type(), tensor.sizes().vec()});
  absl::StatusOr<ArchiveWriter> writer = ArchiveWriter::Create(path, described, {{"format", "pt"}});
  ASSERT_TRUE(writer.ok()) << writer.status();
  size_t i = 0;
  for (const auto& [name, tensor] : tensors) {
    const auto* bytes = static_cast<const std::byte*>(tensor.const_data_ptr());
    ASSERT_TRUE(writer->Write(i++, 0, {bytes, tensor.nbytes()}).ok());
  }
  ASSERT_TRUE(writer->Finish().ok());
}

// The status of an import into a folder that is not kept.
inline absl::Status TryImport(const std::string& input, const std::string& format) {
  ImportOptions options;
  options.input = input;
  options.format = format;
  options.output = TempFolder("import_try");
  const absl::Status status = ImportCheckpoint(options).status();
  EXPECT_EQ(status.ok(), FileExists(options.output));
  std::filesystem::remove_all(options.output);
  return status;
}

}  // namespace orthant::testing

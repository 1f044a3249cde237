#include "data/token_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "orthant/core/file.h"
#include "orthant/core/status.h"
#include "orthant/data/manifest.h"

namespace orthant {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 20;

template <typename T>
void AppendAs(absl::Span<const int64_t> ids, std::vector<char>* buffer) {
  size_t at = buffer->size();
  buffer->resize(at + ids.size() * sizeof(T));
  for (const int64_t id : ids) {
    const T narrow = static_cast<T>(id);
    std::memcpy(buffer->data() + at, &narrow, sizeof(T));
    at += sizeof(T);
  }
}

}  // namespace

TokenWriter::TokenWriter(std::string path, TokenType type)
    : path_(std::move(path)), partial_(absl::StrCat(path_, ".partial")), type_(type) {}

TokenWriter::~TokenWriter() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (exists_) ::unlink(partial_.c_str());
}

absl::Status TokenWriter::Fail(const char* doing, int error) {
  return EnvironmentError(
      absl::StrCat(partial_, " cannot be ", doing, ": ", std::generic_category().message(error)));
}

absl::Status TokenWriter::Open() {
  descriptor_ = ::open(partial_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor_ < 0) return Fail("created", errno);
  exists_ = true;
  buffer_.reserve(kBufferBytes);
  return absl::OkStatus();
}

absl::Status TokenWriter::Append(absl::Span<const int64_t> ids) {
  if (type_ == TokenType::kUint16) {
    AppendAs<uint16_t>(ids, &buffer_);
  } else {
    AppendAs<uint32_t>(ids, &buffer_);
  }
  tokens_ += static_cast<int64_t>(ids.size());
  return buffer_.size() < kBufferBytes ? absl::OkStatus() : Flush();
}

absl::Status TokenWriter::Flush() {
  size_t done = 0;
  while (done < buffer_.size()) {
    const ssize_t written = ::write(descriptor_, buffer_.data() + done, buffer_.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return Fail("written", errno);
    done += static_cast<size_t>(written);
  }
  buffer_.clear();
  return absl::OkStatus();
}

absl::Status TokenWriter::Finish(std::string* checksum) {
  if (absl::Status status = Flush(); !status.ok()) return status;
  if (::fsync(descriptor_) != 0) return Fail("synced", errno);
  if (::close(std::exchange(descriptor_, -1)) != 0) return Fail("closed", errno);
  absl::StatusOr<MappedFile> file = MappedFile::Open(partial_);
  if (!file.ok()) return file.status();
  *checksum = ChecksumText(file->bytes());
  return absl::OkStatus();
}

absl::Status TokenWriter::Publish() {
  if (std::rename(partial_.c_str(), path_.c_str()) != 0) return Fail("renamed", errno);
  exists_ = false;
  return absl::OkStatus();
}

}  // namespace orthant

#include "orthant/train/event_file.h"

#include <unistd.h>

#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "orthant/core/crc32c.h"
#include "orthant/core/file.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

// Wire types of protocol buffers (protobuf.dev/programming-guides/encoding).
constexpr int kVarint = 0, kFixed64 = 1, kLengthPrefixed = 2, kFixed32 = 5;

template <typename Unsigned>
std::string LittleEndian(Unsigned value) {
  std::string bytes;
  for (size_t i = 0; i < sizeof(value); ++i) bytes += static_cast<char>((value >> (8 * i)) & 0xff);
  return bytes;
}

std::string Varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>((value & 0x7f) | 0x80);
  return bytes + static_cast<char>(value);
}

std::string Key(int field, int wire) {
  return Varint(static_cast<uint64_t>(field) << 3 | static_cast<uint64_t>(wire));
}

std::string Message(int field, const std::string& bytes) {
  return Key(field, kLengthPrefixed) + Varint(bytes.size()) + bytes;
}

// Event: wall_time = 1, step = 2, and one of file_version = 3, summary = 5, session_log = 7.
std::string Event(double wall, int64_t step, const std::string& rest) {
  return Key(1, kFixed64) + LittleEndian(std::bit_cast<uint64_t>(wall)) + Key(2, kVarint) +
         Varint(static_cast<uint64_t>(step)) + rest;
}

double Wall() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

std::string TfRecord(const std::string& bytes) {
  const std::string length = LittleEndian(static_cast<uint64_t>(bytes.size()));
  return length + LittleEndian(MaskedCrc32c(length)) + bytes + LittleEndian(MaskedCrc32c(bytes));
}

std::string VersionEvent(double wall) {
  return Event(wall, 0, Message(3, "brain.Event:2"));
}

std::string RestartEvent(double wall, int64_t step) {
  constexpr int kStart = 1;  // SessionLog.SessionStatus
  return Event(wall, step, Message(7, Key(1, kVarint) + Varint(kStart)));
}

std::string ScalarsEvent(double wall, int64_t step, const Scalars& scalars) {
  std::string summary;
  for (const auto& [tag, value] : scalars) {  // Summary.value = 1; Value: tag = 1, simple_value = 2
    const auto single = static_cast<float>(value);
    summary += Message(1, Message(1, tag) + Key(2, kFixed32) + LittleEndian(std::bit_cast<uint32_t>(single)));
  }
  return Event(wall, step, Message(5, summary));
}

absl::StatusOr<EventFile> EventFile::Create(const std::string& folder, int64_t step) {
  if (absl::Status made = MakeDirectories(folder); !made.ok()) return made;
  char host[256] = "";
  gethostname(host, sizeof(host) - 1);
  const double wall = Wall();
  std::string path;
  for (int attempt = 0; path.empty() || FileExists(path); ++attempt) {  // two starts within one second
    path = absl::StrFormat("%s/events.out.tfevents.%010d.%s.%d.%d", folder, static_cast<int64_t>(wall), host,
                           getpid(), attempt);
  }
  std::ofstream stream(path, std::ios::binary);
  EventFile file(path, std::move(stream));
  if (absl::Status written = file.Write(VersionEvent(wall)); !written.ok()) return written;
  if (absl::Status written = file.Write(RestartEvent(wall, step + 1)); !written.ok()) return written;
  return file;
}

absl::Status EventFile::Append(int64_t step, const Scalars& scalars) {
  return Write(ScalarsEvent(Wall(), step, scalars));
}

absl::Status EventFile::Write(const std::string& event) {
  stream_ << TfRecord(event) << std::flush;
  if (stream_) return absl::OkStatus();
  return EnvironmentError(absl::StrCat(path_, " cannot be written: ", std::strerror(errno)));
}

}  // namespace orthant

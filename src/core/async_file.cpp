#include "orthant/core/async_file.h"

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/async_file_parts.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

// Large enough that the cost of a system call does not show, small enough that a buffer makes several.
constexpr int64_t kPieceBytes = int64_t{1} << 20;
constexpr int64_t kMostPieces = 64;
constexpr int64_t kLargestPiece = int64_t{1} << 30;  // Linux moves less than 2 GiB a call

int64_t RoundUp(int64_t value, int64_t unit) {
  return (value + unit - 1) / unit * unit;
}

class AsyncFileOnEngine final : public AsyncFile {
 public:
  AsyncFileOnEngine(std::shared_ptr<OpenFile> file, std::shared_ptr<TransferEngine> engine)
      : file_(std::move(file)), engine_(std::move(engine)) {}
  ~AsyncFileOnEngine() override { file_->Remove(); }

  Transfer Read(std::span<std::byte> buffer, int64_t offset) override {
    return Start(false, buffer.data(), buffer.size(), offset);
  }
  Transfer Write(std::span<const std::byte> buffer, int64_t offset) override {
    return Start(true, const_cast<std::byte*>(buffer.data()), buffer.size(), offset);  // only read from
  }
  std::string Describe() const override {
    return absl::StrCat(engine_->Name(), file_->direct() ? ", direct" : "");
  }

 private:
  Transfer Start(bool write, std::byte* data, size_t size, int64_t offset) {
    if (size == 0) return Transfer();
    auto request = std::make_shared<Request>(engine_, file_, write, data, size, offset);
    request->open = request->pieces.size();
    engine_->Start(*request);
    return Transfer(std::move(request));
  }

  std::shared_ptr<OpenFile> file_;
  std::shared_ptr<TransferEngine> engine_;
};

}  // namespace

absl::Status Transfer::Wait() {
  return state_ == nullptr ? absl::OkStatus() : state_->Wait();
}

bool Transfer::Ready() const {
  return state_ == nullptr || state_->Ready();
}

absl::StatusOr<std::shared_ptr<TransferEngine>> MakeTransferEngine(AsyncFile::Engine engine) {
  if (engine == AsyncFile::Engine::kThreads) return MakeThreadEngine();
  absl::StatusOr<std::shared_ptr<TransferEngine>> ring = MakeUringEngine();
  if (ring.ok() || engine == AsyncFile::Engine::kUring) return ring;
  return MakeThreadEngine();
}

absl::StatusOr<std::unique_ptr<AsyncFile>> AsyncFile::Create(const std::string& path, int64_t size,
                                                             Engine engine) {
  absl::StatusOr<std::shared_ptr<TransferEngine>> made = MakeTransferEngine(engine);
  if (!made.ok()) return made.status();
  return Create(path, size, *std::move(made));
}

absl::StatusOr<std::unique_ptr<AsyncFile>> AsyncFile::Create(const std::string& path, int64_t size,
                                                             std::shared_ptr<TransferEngine> engine) {
  absl::StatusOr<std::shared_ptr<OpenFile>> file = OpenFile::Create(path, size);
  if (!file.ok()) return file.status();
  return std::make_unique<AsyncFileOnEngine>(*std::move(file), std::move(engine));
}

Request::Request(std::shared_ptr<TransferEngine> engine_in, std::shared_ptr<OpenFile> file_in, bool write_in,
                 std::byte* data, size_t size, int64_t offset)
    : engine(std::move(engine_in)), file(std::move(file_in)), write(write_in) {
  const int64_t total = static_cast<int64_t>(size);
  const int64_t even = RoundUp((total + kMostPieces - 1) / kMostPieces, kDirectAlignment);
  const int64_t step = std::clamp(even, kPieceBytes, kLargestPiece);
  pieces.reserve(static_cast<size_t>((total + step - 1) / step));  // engines keep pointers to them
  for (int64_t at = 0; at < total; at += step) {
    Piece& piece = pieces.emplace_back();
    piece.request = this;
    piece.data = data + at;
    piece.size = static_cast<size_t>(std::min(step, total - at));
    piece.offset = offset + at;
  }
}

absl::Status Request::Wait() {
  engine->Finish(*this);
  return status;
}

bool Piece::direct() const {
  const auto aligned = [](uint64_t value) { return value % kDirectAlignment == 0; };
  return !plain && request->file->direct() && aligned(reinterpret_cast<uintptr_t>(data + done)) &&
         aligned(size - done) && aligned(static_cast<uint64_t>(offset) + done);
}

std::optional<absl::Status> Settle(Piece& piece, int64_t result) {
  const Request& request = *piece.request;
  if (result > 0) {
    piece.done += static_cast<size_t>(result);
    if (piece.done == piece.size) return absl::OkStatus();
    return std::nullopt;
  }
  const int64_t offset = piece.offset + static_cast<int64_t>(piece.done);
  const size_t rest = piece.size - piece.done;
  if (result == 0 && !request.write) {
    return DataError(absl::StrFormat(
        "%s: %d bytes were to be read at offset %d, %d are there: the file was shortened while in use",
        request.file->path(), piece.size, piece.offset, piece.done));
  }
  const int error = result == 0 ? EIO : static_cast<int>(-result);
  if (error == EINTR || error == EAGAIN) return std::nullopt;
  if (error == EINVAL && piece.direct()) {
    piece.plain = true;  // some file systems open a file for direct access and refuse it later
    return std::nullopt;
  }
  return DiskError(absl::StrFormat("%s: %s %d bytes at offset %d failed", request.file->path(),
                                   request.write ? "writing" : "reading", rest, offset),
                   error);
}

}  // namespace orthant

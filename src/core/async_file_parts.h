// The parts behind AsyncFile: the open file, the pieces of a transfer, and what an engine has to do with
// them. A transfer is cut into pieces so that one large buffer keeps a disk's queue, or both threads, busy.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "orthant/core/async_file.h"

namespace orthant {

// The descriptors of one file. Descriptor() may be called by any thread.
class OpenFile {
 public:
  // Makes the file anew and reserves `size` bytes. EnvironmentError.
  static absl::StatusOr<std::shared_ptr<OpenFile>> Create(const std::string& path, int64_t size);
  ~OpenFile();
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  const std::string& path() const { return path_; }
  bool direct() const { return direct_; }  // descriptor 0 bypasses the page cache
  // The one that bypasses the page cache, or an ordinary one; -errno when it cannot be opened.
  int Descriptor(bool direct);
  // Removes the name, when it is still this file's.
  void Remove();

 private:
  explicit OpenFile(std::string path) : path_(std::move(path)) {}
  absl::Status Reserve(int64_t size);

  std::string path_;
  bool direct_ = false;
  int direct_fd_ = -1;
  std::mutex mutex_;   // of plain_fd_
  int plain_fd_ = -1;  // opened when first needed, if there is the other: a run has many files
};

class Request;

// A part of a transfer, which one system call at a time moves on.
struct Piece {
  Request* request = nullptr;
  std::byte* data = nullptr;
  size_t size = 0;
  int64_t offset = 0;
  size_t done = 0;
  bool plain = false;  // the file system refused to bypass the page cache
  iovec rest{};        // what the system call under way is to move

  bool direct() const;  // the rest is aligned, and the file is open for it
};

class TransferEngine {
 public:
  virtual ~TransferEngine() = default;
  virtual void Start(Request& request) = 0;
  virtual void Finish(Request& request) = 0;  // blocks until request.open is 0
  virtual bool Poll(Request& request) = 0;    // whether it is
  virtual std::string Name() const = 0;
};

// A transfer under way. Its engine changes `open` and `status`.
class Request final : public Transfer::State {
 public:
  Request(std::shared_ptr<TransferEngine> engine_in, std::shared_ptr<OpenFile> file_in, bool write_in,
          std::byte* data, size_t size, int64_t offset);
  ~Request() override { engine->Finish(*this); }
  absl::Status Wait() override;
  bool Ready() override { return engine->Poll(*this); }

  const std::shared_ptr<TransferEngine> engine;
  const std::shared_ptr<OpenFile> file;
  const bool write;
  std::vector<Piece> pieces;
  size_t open = 0;      // pieces not yet done
  absl::Status status;  // of the first piece that failed
};

// What a system call's result (bytes, or -errno) means for a piece: its end, or nothing when it is to go on.
std::optional<absl::Status> Settle(Piece& piece, int64_t result);

// "what: reason; remedy", an EnvironmentError.
absl::Status DiskError(const std::string& what, int error);

// The engines. kUring's may fail: no liburing at build, or the kernel refuses.
absl::StatusOr<std::shared_ptr<TransferEngine>> MakeUringEngine();
absl::StatusOr<std::shared_ptr<TransferEngine>> MakeThreadEngine();

}  // namespace orthant

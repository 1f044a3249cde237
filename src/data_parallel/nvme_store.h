// Slots in files, used through a few staging buffers (ZeRO-Infinity, arXiv 2104.07857, section 6): one is
// read ahead while another is in use and others are written back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ATen/core/Tensor.h"
#include "orthant/core/async_file.h"
#include "orthant/data_parallel/state_store.h"

namespace orthant {

class NvmeStore final : public StateStore {
 public:
  // `engine_name`: as AsyncFile::Describe().
  NvmeStore(StoreOptions options, std::shared_ptr<TransferEngine> engine, std::string engine_name);

  int Add(const at::Tensor& initial) override;
  void Prefetch(int slot) override;
  at::Tensor Open(int slot) override;
  void Close(int slot, bool changed) override;
  bool stays() const override { return false; }
  Tier tier() const override { return Tier::kNvme; }
  std::string Describe() const override;
  int64_t bytes_read() const override { return bytes_read_; }
  int64_t bytes_written() const override { return bytes_written_; }

 private:
  struct Slot {
    std::unique_ptr<AsyncFile> file;  // none when there are no bytes
    std::string path;
    int64_t numel = 0;
    at::ScalarType dtype = at::kFloat;
    int64_t bytes = 0;
    int64_t stored = 0;     // bytes in the file: aligned, the end filled with zeros
    uint64_t checksum = 0;  // XXH64 of `bytes`, as last written
    int buffer = -1;        // that holds it, or is being filled with it
    bool open = false;
  };

  struct Buffer {
    // kAhead: being read or read, not opened since. kKept: closed; clean, or being written.
    enum class Use { kFree, kAhead, kOpen, kKept };
    Use use = Use::kFree;
    int slot = -1;
    int64_t last_use = 0;
    int64_t capacity = 0;
    at::Tensor memory;          // bytes, with room to align
    std::byte* data = nullptr;  // the first aligned one
    Transfer transfer;          // under way; declared last: it ends before the memory does
  };

  // The buffer that can be had at once, or -1; with `wait`, one is always had. Throws what a write to be
  // waited for reports.
  int TakeBuffer(bool wait);
  // A buffer for `slot`, of its size.
  void Assign(int buffer, int slot, Buffer::Use use);
  void Free(Buffer& buffer);
  void StartRead(int slot);
  void StartWrite(int slot);
  // Ends the read into the slot's buffer. Throws when it failed or the bytes are others.
  void FinishRead(int slot);
  // Throws the status of a write, unless it is OK.
  void Check(const absl::Status& status) const;
  at::Tensor View(const Slot& slot) const;
  std::span<std::byte> Bytes(const Slot& slot, int64_t count) const;

  StoreOptions options_;
  std::shared_ptr<TransferEngine> engine_;  // shared by all files: they have one thread
  std::string engine_name_;
  std::vector<Slot> slots_;
  std::vector<Buffer> buffers_;
  int64_t largest_ = 0;  // stored bytes of a slot
  int open_ = 0;
  int64_t clock_ = 0;
  int64_t bytes_read_ = 0, bytes_written_ = 0;
};

}  // namespace orthant

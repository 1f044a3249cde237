// StagedStore: slots of host memory or files for a device that cannot compute on them: an open slot is a copy
// on the device, brought and taken back on a stream of its own.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "orthant/data_parallel/state_store.h"
#include "orthant/device/side_stream.h"

namespace orthant {

// `buffers` are made at first, and more where more slots are open at once; a slot that is read ahead takes
// one too.
class StagedStore final : public StateStore {
 public:
  StagedStore(std::unique_ptr<StateStore> host, c10::Device device, int buffers);
  ~StagedStore() override;

  int Add(const at::Tensor& initial) override;
  void Prefetch(int slot) override;
  at::Tensor Open(int slot) override;
  void Close(int slot, bool changed) override;
  bool stays() const override { return false; }
  Tier tier() const override { return host_->tier(); }
  std::string Describe() const override { return host_->Describe(); }
  int64_t bytes_read() const override { return host_->bytes_read(); }
  int64_t bytes_written() const override { return host_->bytes_written(); }

 private:
  struct Slot {
    int64_t elements = 0;
    at::ScalarType dtype = at::kFloat;
    int buffer = -1;           // that holds its copy; -1: none
    at::Tensor host;           // while it is open in the store behind
    SideStream::Mark brought;  // the copy to the device
    bool open = false;
  };
  struct Buffer {
    at::Tensor memory;  // bytes on the device
    bool taken = false;
  };

  // -1: all are taken.
  int FreeBuffer() const;
  void Bring(int slot, int buffer);
  at::Tensor View(const Slot& slot) const;

  std::unique_ptr<StateStore> host_;
  c10::Device device_;
  SideStream stream_;
  std::vector<Slot> slots_;
  std::vector<Buffer> buffers_;
  int64_t largest_ = 0;  // slot, in bytes
};

}  // namespace orthant

#include "data_parallel/staged_store.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "ATen/ops/empty.h"
#include "absl/strings/str_cat.h"
#include "data_parallel/stores.h"
#include "orthant/memory/account.h"

namespace orthant {

StagedStore::StagedStore(std::unique_ptr<StateStore> host, c10::Device device, int buffers)
    : host_(std::move(host)), device_(device), stream_(device), buffers_(static_cast<size_t>(buffers)) {}

// What is on its way reads or writes the host memory that goes next.
StagedStore::~StagedStore() {
  stream_.Finish();
}

int StagedStore::Add(const at::Tensor& initial) {
  CheckInitial(initial);
  Slot slot;
  slot.elements = initial.numel();
  slot.dtype = initial.scalar_type();
  largest_ = std::max(largest_, static_cast<int64_t>(initial.nbytes()));
  slots_.push_back(std::move(slot));
  return host_->Add(initial);
}

int StagedStore::FreeBuffer() const {
  for (size_t i = 0; i < buffers_.size(); ++i) {
    if (!buffers_[i].taken) return static_cast<int>(i);
  }
  return -1;
}

at::Tensor StagedStore::View(const Slot& slot) const {
  const int64_t bytes = slot.elements * static_cast<int64_t>(c10::elementSize(slot.dtype));
  return buffers_[static_cast<size_t>(slot.buffer)].memory.narrow(0, 0, bytes).view(slot.dtype);
}

// The copy back of the slot that had the buffer before was given to the same stream: it is done before. What
// computes on the buffer has been given to the computing stream, which is waited for.
void StagedStore::Bring(int slot, int buffer) {
  Slot& s = slots_[static_cast<size_t>(slot)];
  Buffer& b = buffers_[static_cast<size_t>(buffer)];
  if (!b.memory.defined() || static_cast<int64_t>(b.memory.nbytes()) < largest_) {
    const MemoryScope scope(MemoryTag::kTemporary);
    const OperationScope staging("offload staging");
    stream_.Finish();  // it may still read the memory that is given back
    b.memory = at::Tensor();
    b.memory = at::empty({largest_}, at::TensorOptions(at::kByte).device(device_));
  }
  b.taken = true;
  s.buffer = buffer;
  s.host = host_->Open(slot);
  stream_.FollowCompute();
  s.brought = stream_.Copy(View(s), s.host);
}

// Files are only read ahead to host memory: their buffers there are as few as these.
void StagedStore::Prefetch(int slot) {
  Slot& s = slots_.at(static_cast<size_t>(slot));
  if (s.buffer >= 0) return;
  if (host_->tier() == Tier::kNvme) return host_->Prefetch(slot);
  // One stays for who opens.
  const auto free = std::count_if(buffers_.begin(), buffers_.end(), [](const Buffer& b) { return !b.taken; });
  if (free > 1) Bring(slot, FreeBuffer());
}

at::Tensor StagedStore::Open(int slot) {
  Slot& s = slots_.at(static_cast<size_t>(slot));
  if (s.open) throw std::logic_error(absl::StrCat("slot ", slot, " is open already"));
  if (s.buffer < 0) {
    if (FreeBuffer() < 0) buffers_.emplace_back();
    Bring(slot, FreeBuffer());
  }
  s.open = true;
  stream_.ComputeWaits(s.brought);
  return View(s);
}

void StagedStore::Close(int slot, bool changed) {
  Slot& s = slots_.at(static_cast<size_t>(slot));
  if (!s.open) throw std::logic_error(absl::StrCat("slot ", slot, " is not open"));
  if (changed) {
    stream_.FollowCompute();
    stream_.Copy(s.host, View(s));
    // A file is hashed and written from now on; host memory is next read by this stream.
    if (host_->tier() == Tier::kNvme) stream_.Finish();
  }
  s.host = at::Tensor();
  host_->Close(slot, changed);
  buffers_[static_cast<size_t>(std::exchange(s.buffer, -1))].taken = false;
  s.brought = nullptr;
  s.open = false;
}

std::unique_ptr<StateStore> MakeStagedStore(std::unique_ptr<StateStore> host, c10::Device device,
                                            int buffers) {
  return std::make_unique<StagedStore>(std::move(host), device, buffers);
}

}  // namespace orthant

#include "data_parallel/nvme_store.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "ATen/ops/empty.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "c10/core/GradMode.h"
#include "data_parallel/stores.h"
#include "orthant/core/hash.h"
#include "orthant/core/status.h"
#include "orthant/memory/account.h"

namespace orthant {
namespace {

int64_t RoundUp(int64_t bytes) {
  return (bytes + kDirectAlignment - 1) / kDirectAlignment * kDirectAlignment;
}

}  // namespace

NvmeStore::NvmeStore(StoreOptions options, std::shared_ptr<TransferEngine> engine, std::string engine_name)
    : options_(std::move(options)),
      engine_(std::move(engine)),
      engine_name_(std::move(engine_name)),
      buffers_(static_cast<size_t>(options_.buffers)) {}

std::string NvmeStore::Describe() const {
  return absl::StrCat("files in ", options_.path, " (", engine_name_, ")");
}

int NvmeStore::Add(const at::Tensor& initial) {
  CheckInitial(initial);
  const int index = static_cast<int>(slots_.size());
  Slot slot;
  slot.path = absl::StrCat(options_.path, "/", options_.name, ".slot-", index, ".bin");
  slot.numel = initial.numel();
  slot.dtype = initial.scalar_type();
  slot.bytes = static_cast<int64_t>(initial.nbytes());
  slot.stored = RoundUp(slot.bytes);
  if (slot.stored > 0) {
    absl::StatusOr<std::unique_ptr<AsyncFile>> file = AsyncFile::Create(slot.path, slot.stored, engine_);
    Check(file.status());
    slot.file = *std::move(file);
  }
  largest_ = std::max(largest_, slot.stored);
  slots_.push_back(std::move(slot));
  if (slots_.back().stored == 0) return index;

  Assign(TakeBuffer(true), index, Buffer::Use::kKept);
  const Slot& added = slots_.back();
  const c10::NoGradGuard no_grad;
  View(added).copy_(initial);
  const auto end = Bytes(added, added.stored).subspan(static_cast<size_t>(added.bytes));
  if (!end.empty()) std::memset(end.data(), 0, end.size());
  StartWrite(index);
  return index;
}

void NvmeStore::Prefetch(int slot) {
  const Slot& s = slots_.at(static_cast<size_t>(slot));
  if (s.stored == 0 || s.buffer >= 0) return;
  const int buffer = TakeBuffer(false);
  if (buffer < 0) return;
  Assign(buffer, slot, Buffer::Use::kAhead);
  StartRead(slot);
}

at::Tensor NvmeStore::Open(int slot) {
  Slot& s = slots_.at(static_cast<size_t>(slot));
  if (s.open) throw std::logic_error(absl::StrCat("slot ", slot, " is open already"));
  if (s.stored == 0) {
    s.open = true;
    return at::empty({s.numel}, at::TensorOptions().dtype(s.dtype));
  }
  if (open_ + 1 >= options_.buffers) {
    throw std::logic_error(
        absl::StrCat(open_, " slots are open and there are ", options_.buffers, " buffers"));
  }
  if (s.buffer < 0) {
    Assign(TakeBuffer(true), slot, Buffer::Use::kAhead);
    StartRead(slot);
  }
  Buffer& buffer = buffers_[static_cast<size_t>(s.buffer)];
  if (buffer.use == Buffer::Use::kAhead) {
    FinishRead(slot);
  } else {
    Check(buffer.transfer.Wait());  // who opens it may write to it
  }
  buffer.use = Buffer::Use::kOpen;
  s.open = true;
  ++open_;
  return View(s);
}

void NvmeStore::Close(int slot, bool changed) {
  Slot& s = slots_.at(static_cast<size_t>(slot));
  if (!s.open) throw std::logic_error(absl::StrCat("slot ", slot, " is not open"));
  s.open = false;
  if (s.stored == 0) return;
  --open_;
  Buffer& buffer = buffers_[static_cast<size_t>(s.buffer)];
  buffer.use = Buffer::Use::kKept;
  buffer.last_use = ++clock_;
  if (changed) StartWrite(slot);
}

// A free one; else the one closed longest ago, once its write is done; else, waiting, the one read ahead
// longest ago: an opener is before a hint. Never one that happens to be ready sooner: what is read again
// shall not depend on the disk's speed.
int NvmeStore::TakeBuffer(bool wait) {
  int kept = -1, ahead = -1;
  for (int i = 0; i < options_.buffers; ++i) {
    const Buffer& buffer = buffers_[static_cast<size_t>(i)];
    const auto older = [&](int than) {
      return than < 0 || buffer.last_use < buffers_[static_cast<size_t>(than)].last_use;
    };
    if (buffer.use == Buffer::Use::kFree) return i;
    if (buffer.use == Buffer::Use::kKept && older(kept)) kept = i;
    if (buffer.use == Buffer::Use::kAhead && older(ahead)) ahead = i;
  }
  const int taken = kept >= 0 ? kept : ahead;
  if (!wait && (kept < 0 || !buffers_[static_cast<size_t>(kept)].transfer.Ready())) return -1;
  Buffer& buffer = buffers_[static_cast<size_t>(taken)];
  const bool written = buffer.use == Buffer::Use::kKept;
  const absl::Status status = buffer.transfer.Wait();
  Free(buffer);
  if (written) Check(status);  // a read that nobody opened may have failed: its opener will see
  return taken;
}

void NvmeStore::Free(Buffer& buffer) {
  slots_[static_cast<size_t>(buffer.slot)].buffer = -1;
  buffer.use = Buffer::Use::kFree;
  buffer.slot = -1;
  buffer.transfer = Transfer();
}

void NvmeStore::Assign(int buffer, int slot, Buffer::Use use) {
  Buffer& b = buffers_[static_cast<size_t>(buffer)];
  if (b.capacity < slots_[static_cast<size_t>(slot)].stored) {
    const MemoryScope host(MemoryTag::kHost);
    const OperationScope staging("offload staging");
    b.memory = at::Tensor();  // first, so that both are never there
    b.capacity = 0;
    b.memory = at::empty({largest_ + kDirectAlignment}, at::kByte);
    const auto address = reinterpret_cast<uintptr_t>(b.memory.data_ptr());
    b.data = reinterpret_cast<std::byte*>(RoundUp(static_cast<int64_t>(address)));
    b.capacity = largest_;
  }
  b.use = use;
  b.slot = slot;
  b.last_use = ++clock_;
  slots_[static_cast<size_t>(slot)].buffer = buffer;
}

void NvmeStore::StartRead(int slot) {
  const Slot& s = slots_[static_cast<size_t>(slot)];
  buffers_[static_cast<size_t>(s.buffer)].transfer = s.file->Read(Bytes(s, s.stored), 0);
  bytes_read_ += s.stored;
}

void NvmeStore::StartWrite(int slot) {
  Slot& s = slots_[static_cast<size_t>(slot)];
  s.checksum = Xxh64(Bytes(s, s.bytes));
  buffers_[static_cast<size_t>(s.buffer)].transfer = s.file->Write(Bytes(s, s.stored), 0);
  bytes_written_ += s.stored;
}

void NvmeStore::FinishRead(int slot) {
  const Slot& s = slots_[static_cast<size_t>(slot)];
  Buffer& buffer = buffers_[static_cast<size_t>(s.buffer)];
  const absl::Status status = buffer.transfer.Wait();
  const uint64_t checksum = status.ok() ? Xxh64(Bytes(s, s.bytes)) : 0;
  if (status.ok() && checksum == s.checksum) return;
  Free(buffer);
  if (ExitCodeOf(status) == ExitCode::kEnvironment) Check(status);
  const std::string what =
      status.ok()
          ? absl::StrFormat("%s: the bytes read are not those written (xxh64 %016x, written was %016x)",
                            s.path, checksum, s.checksum)
          : std::string(status.message());
  throw StatusError(DataError(absl::StrFormat(
      "%s; slot %d of the offload store '%s' is lost and the run cannot continue from it: find "
      "out what changed the file, then start the run again",
      what, slot, options_.name)));
}

void NvmeStore::Check(const absl::Status& status) const {
  if (!status.ok()) throw StatusError(Annotate(status, "zero.offload.path"));
}

at::Tensor NvmeStore::View(const Slot& slot) const {
  const Buffer& buffer = buffers_[static_cast<size_t>(slot.buffer)];
  const int64_t start = buffer.data - static_cast<std::byte*>(buffer.memory.data_ptr());
  return buffer.memory.narrow(0, start, slot.bytes).view(slot.dtype);
}

std::span<std::byte> NvmeStore::Bytes(const Slot& slot, int64_t count) const {
  return {buffers_[static_cast<size_t>(slot.buffer)].data, static_cast<size_t>(count)};
}

}  // namespace orthant

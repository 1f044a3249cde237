#include "orthant/data_parallel/state_store.h"

#include <stdexcept>
#include <utility>

#include "ATen/ops/empty.h"
#include "absl/strings/str_cat.h"
#include "c10/core/GradMode.h"
#include "data_parallel/stores.h"
#include "orthant/core/status.h"
#include "orthant/memory/account.h"

namespace orthant {
namespace {

class ResidentStore final : public StateStore {
 public:
  ResidentStore(Tier tier, c10::Device device) : tier_(tier), pinned_(!device.is_cpu()) {}

  int Add(const at::Tensor& initial) override {
    CheckInitial(initial);
    slots_.push_back({Place(initial), false});
    return static_cast<int>(slots_.size()) - 1;
  }

  void Prefetch(int slot) override { slots_.at(static_cast<size_t>(slot)); }

  at::Tensor Open(int slot) override {
    Slot& s = slots_.at(static_cast<size_t>(slot));
    if (s.open) throw std::logic_error(absl::StrCat("slot ", slot, " is open already"));
    s.open = true;
    return s.tensor;
  }

  void Close(int slot, bool) override {
    Slot& s = slots_.at(static_cast<size_t>(slot));
    if (!s.open) throw std::logic_error(absl::StrCat("slot ", slot, " is not open"));
    s.open = false;
  }

  bool stays() const override { return true; }
  Tier tier() const override { return tier_; }
  std::string Describe() const override { return tier_ == Tier::kDevice ? "device" : "host memory"; }
  int64_t bytes_read() const override { return 0; }
  int64_t bytes_written() const override { return 0; }

 private:
  struct Slot {
    at::Tensor tensor;
    bool open = false;
  };

  // A copy even where the device is the processor, so that the account shows what a device would save.
  at::Tensor Place(const at::Tensor& initial) const {
    if (tier_ == Tier::kDevice) return initial;
    const c10::NoGradGuard no_grad;
    const MemoryScope host(MemoryTag::kHost);
    at::Tensor copy = at::empty({initial.numel()}, initial.options().device(at::kCPU).pinned_memory(pinned_));
    copy.copy_(initial);
    return copy;
  }

  Tier tier_;
  bool pinned_;
  std::vector<Slot> slots_;
};

}  // namespace

void CheckInitial(const at::Tensor& initial) {
  if (initial.dim() != 1 || !initial.is_contiguous()) {
    throw std::logic_error("a slot's tensor has one dimension and is contiguous");
  }
}

std::unique_ptr<StateStore> MakeResidentStore(Tier tier, c10::Device device) {
  return std::make_unique<ResidentStore>(tier, device);
}

Tier TierOf(const std::string& name) {
  if (name == "none") return Tier::kDevice;
  if (name == "host") return Tier::kHost;
  if (name == "nvme") return Tier::kNvme;
  throw StatusError(
      ConfigurationError(absl::StrCat("zero.offload: '", name, "' is none of none, host, nvme")));
}

std::unique_ptr<StateStore> StateStore::Create(const StoreOptions& options) {
  std::unique_ptr<StateStore> store =
      options.tier == Tier::kNvme ? MakeNvmeStore(options) : MakeResidentStore(options.tier, options.device);
  if (options.tier == Tier::kDevice || options.device.is_cpu()) return store;
  return MakeStagedStore(std::move(store), options.device, options.buffers);
}

}  // namespace orthant

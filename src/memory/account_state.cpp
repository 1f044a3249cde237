#include "memory/account_state.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "memory/account_text.h"

namespace orthant {
namespace {

size_t Index(MemoryTag tag) {
  return static_cast<size_t>(tag);
}
size_t Index(StepPhase phase) {
  return static_cast<size_t>(phase);
}

constexpr int kHoldersTold = 8;

}  // namespace

void MemoryAccount::State::CheckLimit(int64_t bytes, const MemoryContext& thread) const {
  if (limit_ > 0 && thread.tag != MemoryTag::kHost && WouldPass(bytes)) ThrowOutOfMemory(bytes, thread);
}

bool MemoryAccount::State::Add(MemoryBlock& block) {
  const std::lock_guard lock(mutex_);
  const bool device = block.tag != MemoryTag::kHost;
  if (device && limit_ > 0 && WouldPass(block.bytes)) return false;
  if (blocks_++ == 0) self_ = owner_.shared_from_this();
  (block.tag == MemoryTag::kTemporary ? temporaries_ : others_).Append(block);
  current_[Index(block.tag)] += block.bytes;
  if (device) device_.store(device_.load(std::memory_order_relaxed) + block.bytes, std::memory_order_relaxed);
  NotePeaks(block.phase);
  return true;
}

void MemoryAccount::State::Remove(MemoryBlock& block) {
  std::shared_ptr<MemoryAccount> last;  // let go of behind the lock: it may hold the mutex's own memory
  const std::lock_guard lock(mutex_);
  block.Unlink();
  current_[Index(block.tag)] -= block.bytes;
  if (block.tag != MemoryTag::kHost)
    device_.store(device_.load(std::memory_order_relaxed) - block.bytes, std::memory_order_relaxed);
  if (--blocks_ == 0) last = std::move(self_);
}

void MemoryAccount::State::NotePeak(MemoryPeak& peak) const {
  const int64_t device = device_.load(std::memory_order_relaxed);
  if (device > peak.device_bytes) {
    peak.device_bytes = device;
    peak.tags = current_;
  }
  peak.host_bytes = std::max(peak.host_bytes, current_[Index(MemoryTag::kHost)]);
}

void MemoryAccount::State::NotePeaks(StepPhase phase) {
  NotePeak(peak_);
  NotePeak(phases_[Index(phase)].peak);
  phases_[Index(phase)].seen = true;
}

void MemoryAccount::State::EnterPhase(StepPhase phase) {
  const std::lock_guard lock(mutex_);
  NotePeaks(phase);
}

void MemoryAccount::State::ThrowOutOfMemory(int64_t bytes, const MemoryContext& thread) const {
  const TagBytes held = current();
  throw OutOfMemory(OutOfMemoryText(limit_, bytes, thread, held, LargestHolders(kHoldersTold)), bytes, held);
}

TagBytes MemoryAccount::State::current() const {
  const std::lock_guard lock(mutex_);
  return current_;
}

MemoryPeak MemoryAccount::State::peak() const {
  const std::lock_guard lock(mutex_);
  return peak_;
}

MemoryPeak MemoryAccount::State::peak(StepPhase phase) const {
  const std::lock_guard lock(mutex_);
  return phases_[Index(phase)].peak;
}

bool MemoryAccount::State::seen(StepPhase phase) const {
  const std::lock_guard lock(mutex_);
  return phases_[Index(phase)].seen;
}

void MemoryAccount::State::ResetPeaks(StepPhase phase) {
  const std::lock_guard lock(mutex_);
  peak_ = {};
  phases_ = {};
  NotePeaks(phase);
}

std::vector<MemoryHolder> MemoryAccount::State::LargestHolders(int count) const {
  // By content: one operation's name may be several literals.
  struct Gathered {
    MemoryHolder holder;
    std::set<std::pair<int, int>> places;  // layer, microbatch
  };
  std::map<std::pair<MemoryTag, std::string_view>, Gathered> operations;
  {
    const std::lock_guard lock(mutex_);
    for (const MemoryLink* list : {&temporaries_, &others_}) {
      for (const MemoryLink* link = list->next; link != list; link = link->next) {
        const MemoryBlock& block = static_cast<const MemoryBlock&>(*link);
        const ChargedOperation& from = block.operation;
        const std::string_view what = from.what == nullptr ? "" : from.what;
        auto& [holder, places] = operations[{block.tag, what}];
        places.emplace(from.layer, from.microbatch);
        holder.tag = block.tag;
        holder.operation = places.size() == 1
                               ? OperationText(from)
                               : absl::StrCat(std::string(what), ", ", places.size(), " places");
        ++holder.blocks;
        holder.bytes += block.bytes;
      }
    }
  }
  std::vector<MemoryHolder> sorted;
  for (auto& [key, gathered] : operations) sorted.push_back(std::move(gathered.holder));
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.bytes > b.bytes; });
  if (sorted.size() > static_cast<size_t>(std::max(count, 0)))
    sorted.resize(static_cast<size_t>(std::max(count, 0)));
  return sorted;
}

void MemoryAccount::State::KeepTemporaries(const MemoryContext& thread) {
  const std::lock_guard lock(mutex_);
  for (MemoryLink* link = temporaries_.next; link != &temporaries_;) {
    MemoryBlock& block = static_cast<MemoryBlock&>(*link);
    link = link->next;
    if (block.thread != &thread) continue;
    block.Unlink();
    others_.Append(block);
    block.tag = MemoryTag::kActivations;
    current_[Index(MemoryTag::kTemporary)] -= block.bytes;
    current_[Index(MemoryTag::kActivations)] += block.bytes;
  }
}

}  // namespace orthant

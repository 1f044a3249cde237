// MemoryAccount: every byte a rank holds, by tag, phase of the step and named operation, with an optional
// limit that fails like a device's out-of-memory. The allocator charges the account bound to the calling
// thread.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace orthant {

enum class MemoryTag : uint8_t {
  kParameters,     // values, whole or shards, gathered ones included
  kGradients,      // accumulated gradients, whole or shards
  kOptimizer,      // moments and fp32 masters
  kActivations,    // what a forward keeps for its backward
  kCommunication,  // buffers of transfers
  kTemporary,      // everything else that an operation holds for a moment
  kHost,           // offloaded state and staging buffers: no part of the device's memory
};
inline constexpr int kMemoryTags = 7;
// "parameters", "gradients", "optimizer", "activations", "communication", "temporary", "host"
std::string_view MemoryTagName(MemoryTag tag);

enum class StepPhase : uint8_t { kSetup, kForward, kBackward, kReduce, kOptimizer, kGather, kEvaluate };
inline constexpr int kStepPhases = 7;
// "setup", "forward", ...
std::string_view StepPhaseName(StepPhase phase);

using TagBytes = std::array<int64_t, kMemoryTags>;  // indexed by MemoryTag

// Bytes on the device: all tags but kHost.
int64_t DeviceBytes(const TagBytes& bytes);

// The account at the moment of its largest device use.
struct MemoryPeak {
  int64_t device_bytes = 0;
  TagBytes tags{};         // what it was made of
  int64_t host_bytes = 0;  // largest kHost, at whatever moment
};

// Blocks that one operation holds under one tag, in all layers and microbatches.
struct MemoryHolder {
  MemoryTag tag = MemoryTag::kTemporary;
  std::string operation;  // "mlp.fc layer=3 mb=1", or "mlp.fc, 48 places" (layers and microbatches)
  int64_t bytes = 0, blocks = 0;
};

// One rank's account. Threads may allocate and free on it at once; outlives every block charged to it.
class MemoryAccount : public std::enable_shared_from_this<MemoryAccount> {
 public:
  // `limit` in bytes of device memory; 0: none.
  static std::shared_ptr<MemoryAccount> Create(int64_t limit = 0);
  ~MemoryAccount();
  MemoryAccount(const MemoryAccount&) = delete;
  MemoryAccount& operator=(const MemoryAccount&) = delete;

  int64_t limit() const;
  TagBytes current() const;
  MemoryPeak peak() const;                 // of all phases since the last ResetPeaks
  MemoryPeak peak(StepPhase phase) const;  // of one
  void ResetPeaks();
  // The largest first.
  std::vector<MemoryHolder> LargestHolders(int count) const;

  // The calling thread's temporaries that are still alive become activations: called at the end of a forward
  // whose backward is to come.
  void KeepTemporaries();

  class State;  // the allocator's side
  State& state() { return *state_; }
  // Whether anything was allocated in the phase, or the phase entered, since the last ResetPeaks.
  bool seen(StepPhase phase) const;

 private:
  explicit MemoryAccount(int64_t limit);
  std::unique_ptr<State> state_;
};

// Charges the calling thread's allocations to an account, until destroyed; to nobody when `account` is null.
// Nests. The process's CPU allocator is replaced the first time. Tensors made before keep theirs and are not
// charged.
class BindMemory {
 public:
  explicit BindMemory(std::shared_ptr<MemoryAccount> account);
  ~BindMemory();
  BindMemory(const BindMemory&) = delete;
  BindMemory& operator=(const BindMemory&) = delete;

 private:
  std::shared_ptr<MemoryAccount> account_;
  MemoryAccount* previous_;  // kept alive by the scope around this one
};

// The account bound to the calling thread, or null.
std::shared_ptr<MemoryAccount> BoundMemory();

// Tag of the calling thread's allocations, until destroyed. Without one it is kTemporary.
class MemoryScope {
 public:
  explicit MemoryScope(MemoryTag tag);
  ~MemoryScope();
  MemoryScope(const MemoryScope&) = delete;
  MemoryScope& operator=(const MemoryScope&) = delete;

 private:
  MemoryTag previous_;
};

// Name of the operation that the calling thread is in, until destroyed. `what` outlives the account's blocks
// (a literal, or text kept elsewhere).
class OperationScope {
 public:
  explicit OperationScope(const char* what, int layer = -1, int microbatch = -1);
  ~OperationScope();
  OperationScope(const OperationScope&) = delete;
  OperationScope& operator=(const OperationScope&) = delete;

 private:
  const char* previous_what_;
  int previous_layer_, previous_microbatch_;
};

// Phase of the calling thread's step, until destroyed.
class PhaseScope {
 public:
  explicit PhaseScope(StepPhase phase);
  ~PhaseScope();
  PhaseScope(const PhaseScope&) = delete;
  PhaseScope& operator=(const PhaseScope&) = delete;

 private:
  StepPhase previous_;
};

// Thrown by an allocation that would pass the limit. what() says: the limit, what was being allocated (bytes,
// tag) for which operation in which phase, the account by tag, and the largest holders.
class OutOfMemory : public std::runtime_error {
 public:
  OutOfMemory(const std::string& message, int64_t requested, const TagBytes& current)
      : std::runtime_error(message), requested_(requested), current_(current) {}
  int64_t requested() const { return requested_; }
  const TagBytes& current() const { return current_; }

 private:
  int64_t requested_;
  TagBytes current_;
};

// Table of an account for people: tags down, current and peak of each phase across.
std::string AccountTable(const MemoryAccount& account, bool boxes);

}  // namespace orthant

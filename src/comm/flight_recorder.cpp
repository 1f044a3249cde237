#include "orthant/comm/flight_recorder.h"

#include <algorithm>
#include <bit>
#include <thread>

#include "absl/strings/str_format.h"
#include "orthant/core/hash.h"

namespace orthant {
namespace {

constexpr size_t kKnownLabels = 256;  // a power of two; a rank uses some fifty

}  // namespace

const char* ToString(FlightState state) {
  switch (state) {
    case FlightState::kQueued:
      return "queued";
    case FlightState::kStarted:
      return "started";
    case FlightState::kDone:
      return "done";
    case FlightState::kFailed:
      return "failed";
  }
  return "?";
}

// A spin lock on one slot: the owner of the rank never meets anyone there but a reader of the dump.
class FlightRecorder::Hold {
 public:
  explicit Hold(const Slot& slot) : slot_(slot) {
    while (slot_.busy.test_and_set(std::memory_order_acquire)) std::this_thread::yield();
  }
  ~Hold() { slot_.busy.clear(std::memory_order_release); }
  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;

 private:
  const Slot& slot_;
};

FlightRecorder::FlightRecorder(int rank, size_t capacity)
    : rank_(rank),
      mask_(std::bit_ceil(std::max<size_t>(capacity, 2)) - 1),
      slots_(std::make_unique<Slot[]>(mask_ + 1)),
      origin_(Clock::now()),
      activity_since_(origin_.time_since_epoch().count()),
      labels_(kKnownLabels) {}

int FlightRecorder::RegisterGroup(const std::string& name, const std::vector<int>& members) {
  const std::lock_guard lock(groups_mutex_);
  int instance = 0;
  for (size_t i = 0; i < groups_.size(); ++i) {
    Registered& known = groups_[i];
    if (known.group.name != name || known.group.members != members) continue;
    if (known.released) {
      known.released = false;
      known.issued.store(0, std::memory_order_relaxed);
      known.group.since = next_.load(std::memory_order_relaxed);
      return static_cast<int>(i);
    }
    ++instance;
  }
  Registered& fresh = groups_.emplace_back();
  fresh.group = FlightGroup{name, members, instance, 0, next_.load(std::memory_order_relaxed)};
  return static_cast<int>(groups_.size()) - 1;
}

void FlightRecorder::ReleaseGroup(int group) {
  const std::lock_guard lock(groups_mutex_);
  groups_[static_cast<size_t>(group)].released = true;
}

std::vector<FlightGroup> FlightRecorder::Groups() const {
  const std::lock_guard lock(groups_mutex_);
  std::vector<FlightGroup> groups;
  for (const Registered& known : groups_) {
    groups.push_back(known.group);
    groups.back().issued = known.issued.load(std::memory_order_relaxed);
  }
  return groups;
}

void FlightRecorder::SetActivity(const char* what) {
  activity_since_.store(Clock::now().time_since_epoch().count(), std::memory_order_relaxed);
  activity_.store(what, std::memory_order_release);
}

double FlightRecorder::activity_seconds() const {
  const Clock::time_point since{Clock::duration(activity_since_.load(std::memory_order_relaxed))};
  return std::chrono::duration<double>(Clock::now() - since).count();
}

uint64_t FlightRecorder::LabelHash(const char* what) {
  const uint64_t spread = reinterpret_cast<uintptr_t>(what) * 0x9e3779b97f4a7c15u;
  KnownLabel& known = labels_[spread >> 56];
  static_assert(kKnownLabels == 256);
  if (known.what != what) known = {what, Fnv1a64(what)};
  return known.hash;
}

uint64_t FlightRecorder::Begin(const Operation& op, int group, FlightState state) {
  const uint64_t ticket = next_.load(std::memory_order_relaxed);
  Slot& slot = slots_[ticket & mask_];
  const auto now = Clock::now();
  begun_ = now;
  {
    const Hold hold(slot);
    FlightEntry& entry = slot.entry;
    entry.ticket = ticket;
    entry.sequence = op.sequence;
    entry.group = group;
    entry.step = step();
    entry.op = op.kind;
    entry.reduce = op.reduce;
    entry.state = state;
    entry.dtype = op.dtype;
    entry.peer = op.peer;
    entry.elements = op.count;
    entry.sent = op.sent;
    entry.label = op.label;
    entry.queued = now;
    entry.started = state == FlightState::kStarted ? now : Clock::time_point{};
    entry.ended = Clock::time_point{};
    entry.waited = Clock::time_point{};
    entry.over = Clock::time_point{};
  }
  if (!op.point_to_point()) {
    groups_[static_cast<size_t>(group)].issued.store(op.sequence, std::memory_order_relaxed);
  }
  if (state == FlightState::kStarted) SetWaiting(ticket);
  next_.store(ticket + 1, std::memory_order_release);
  return ticket;
}

FlightRecorder::Clock::time_point FlightRecorder::Mark(uint64_t ticket, FlightState state) {
  const auto now = Clock::now();
  if (ticket == 0) return now;
  if (state != FlightState::kStarted && waiting() == ticket) SetWaiting(0);
  Slot& slot = slots_[ticket & mask_];
  const Hold hold(slot);
  if (slot.entry.ticket != ticket) return now;
  slot.entry.state = state;
  if (state == FlightState::kStarted) {
    slot.entry.started = now;
  } else {
    slot.entry.ended = now;
  }
  return now;
}

void FlightRecorder::NoteWait(uint64_t ticket) {
  const auto now = Clock::now();
  Slot& slot = slots_[ticket & mask_];
  const Hold hold(slot);
  if (slot.entry.ticket == ticket && slot.entry.waited == Clock::time_point{}) slot.entry.waited = now;
}

void FlightRecorder::KeepOver(uint64_t ticket, Clock::time_point when) {
  Slot& slot = slots_[ticket & mask_];
  const Hold hold(slot);
  if (slot.entry.ticket == ticket) slot.entry.over = when;
}

std::vector<FlightEntry> FlightRecorder::EntriesFrom(uint64_t first) const {
  const uint64_t next = next_ticket();
  std::vector<FlightEntry> entries;
  for (uint64_t ticket = std::max(first, next > capacity() ? next - capacity() : 1); ticket < next;
       ++ticket) {
    const Slot& slot = slots_[ticket & mask_];
    const Hold hold(slot);
    if (slot.entry.ticket == ticket) entries.push_back(slot.entry);
  }
  return entries;
}

std::vector<FlightEntry> FlightRecorder::Entries() const {
  std::vector<FlightEntry> entries;
  entries.reserve(capacity());
  for (size_t i = 0; i <= mask_; ++i) {
    const Hold hold(slots_[i]);
    if (slots_[i].entry.ticket != 0) entries.push_back(slots_[i].entry);
  }
  std::sort(entries.begin(), entries.end(),
            [](const FlightEntry& a, const FlightEntry& b) { return a.ticket < b.ticket; });
  return entries;
}

std::string FlightRecorder::Line(const FlightEntry& entry) const {
  std::string group;
  {
    const std::lock_guard lock(groups_mutex_);
    const auto index = static_cast<size_t>(entry.group);
    group = index < groups_.size() ? groups_[index].group.name : "?";
  }
  const auto milliseconds = [this](Clock::time_point time) {
    if (time == Clock::time_point{}) return std::string("-");
    return absl::StrFormat("%.3f", std::chrono::duration<double, std::milli>(time - origin_).count());
  };
  std::string peer;
  if (entry.op == OpKind::kSend) {
    peer = absl::StrFormat(" to=%d", entry.peer);
  } else if (entry.op == OpKind::kRecv) {
    peer = absl::StrFormat(" from=%d", entry.peer);
  } else if (entry.peer >= 0) {
    peer = absl::StrFormat(" root=%d", entry.peer);
  }
  return absl::StrFormat("rank=%d #%d %s.%s seq=%d '%s'%s %d %s %s queued=%s started=%s ended=%s ms", rank_,
                         entry.ticket, group, ToString(entry.op), entry.sequence, ToString(entry.label), peer,
                         entry.elements, DtypeName(entry.dtype), ToString(entry.state),
                         milliseconds(entry.queued), milliseconds(entry.started), milliseconds(entry.ended));
}

std::string FlightRecorder::LineOrNothing() const {
  const uint64_t next = next_.load(std::memory_order_acquire);
  if (next == 1) return "nothing";
  FlightEntry entry;
  {
    const Slot& slot = slots_[(next - 1) & mask_];
    const Hold hold(slot);
    entry = slot.entry;
  }
  return Line(entry);
}

std::string FlightRecorder::Dump(size_t limit) const {
  const std::vector<FlightEntry> entries = Entries();
  const size_t first = limit != 0 && entries.size() > limit ? entries.size() - limit : 0;
  std::string text;
  for (size_t i = first; i < entries.size(); ++i) {
    text += Line(entries[i]);
    text += '\n';
  }
  return text;
}

}  // namespace orthant

#include "orthant/train/replica_check.h"

#include <span>
#include <vector>

#include "ATen/ATen.h"
#include "absl/strings/str_cat.h"
#include "orthant/core/hash.h"
#include "orthant/train/broadcast_text.h"

namespace orthant {
namespace {

int64_t HashOf(const at::Tensor& tensor) {
  const at::Tensor whole = tensor.to(at::kCPU).contiguous();
  return static_cast<int64_t>(
      Xxh64(std::span(static_cast<const std::byte*>(whole.data_ptr()), static_cast<size_t>(whole.nbytes()))));
}

struct Hashed {
  std::string name;
  int64_t hash = 0;
};

// Compares one list over one group. -> which tensor, and which of the group's ranks differs from most others.
std::string Compare(Communicator& group, const std::vector<Hashed>& mine, int world_rank) {
  const auto count = static_cast<int64_t>(mine.size());
  at::Tensor own = at::empty({count + 1}, at::kLong);
  for (int64_t i = 0; i < count; ++i) own.data_ptr<int64_t>()[i] = mine[static_cast<size_t>(i)].hash;
  own.data_ptr<int64_t>()[count] = world_rank;
  const at::Tensor all = at::empty({group.size(), count + 1}, at::kLong);
  group.AllGather(all, own, "check_replicas");
  const auto hash = [&](int r, int64_t i) { return all.data_ptr<int64_t>()[r * (count + 1) + i]; };
  for (int64_t i = 0; i < count; ++i) {
    // The odd one out: it agrees with fewest.
    int odd = 0, fewest = group.size() + 1;
    for (int r = group.size() - 1; r >= 0; --r) {
      int alike = 0;
      for (int other = 0; other < group.size(); ++other) alike += hash(other, i) == hash(r, i) ? 1 : 0;
      if (alike <= fewest) {
        fewest = alike;
        odd = r;
      }
    }
    if (fewest == group.size()) continue;
    // With two ranks nobody is odd: both are named.
    const std::string who = group.size() == 2
                                ? absl::StrCat("ranks ", hash(0, count), " and ", hash(1, count))
                                : absl::StrCat("rank ", hash(odd, count), " and the others");
    return absl::StrCat(mine[static_cast<size_t>(i)].name, " differs between ", who, " of group ",
                        group.name());
  }
  return "";
}

// Shares, with their moments, against the ranks that hold the same share.
std::vector<Hashed> Shares(const std::vector<ShardedUnit*>& units, AdamW& optimizer) {
  std::vector<Hashed> hashed;
  for (size_t u = 0; u < units.size(); ++u) {
    const at::Tensor values = units[u]->OpenValues();
    const at::Tensor state = optimizer.OpenState(static_cast<int>(u));
    const int64_t share = units[u]->share();
    for (const ShareStretch& s : units[u]->ShareStretches()) {
      const std::string& name = s.parameter->spec().name;
      hashed.push_back({"parameter " + name, HashOf(values.narrow(0, s.offset, s.end - s.begin))});
      for (int64_t k = 0; (k + 1) * share <= state.numel(); ++k) {
        const char* const kind = k == 0 ? "first moment of " : k == 1 ? "second moment of " : "master of ";
        hashed.push_back({kind + name, HashOf(state.narrow(0, k * share + s.offset, s.end - s.begin))});
      }
    }
    optimizer.CloseState(static_cast<int>(u), /*changed=*/false);
    units[u]->CloseValues(/*changed=*/false);
  }
  return hashed;
}

// Whole values of the parameters that `wanted` picks.
template <typename Wanted>
std::vector<Hashed> Whole(const std::vector<ShardedUnit*>& units, const Wanted& wanted) {
  std::vector<Hashed> hashed;
  for (ShardedUnit* unit : units) {
    for (const auto& parameter : unit->parameters()) {
      if (wanted(*parameter))
        hashed.push_back({"parameter " + parameter->spec().name, HashOf(parameter->value())});
    }
    unit->ReleaseValues();
  }
  return hashed;
}

}  // namespace

std::string FindDrift(ParallelModel& model, AdamW& optimizer, bool tied) {
  const std::vector<ShardedUnit*>& units = model.units();
  const Groups& groups = model.groups();
  const auto every = [](const Parameter&) { return true; };
  std::string found;
  const auto look = [&](Communicator* group, const auto& hashes) {
    if (group == nullptr || group->size() == 1) return;  // nobody else holds the same
    const std::string difference = Compare(*group, hashes(), groups.world->rank());
    if (found.empty()) found = difference;
  };
  look(units.front()->replica(), [&] { return Shares(units, optimizer); });
  look(groups.data_sequence.get(), [&] { return Whole(units, every); });
  look(groups.tensor.get(),
       [&] { return Whole(units, [](const Parameter& p) { return p.spec().replicated_over_tensor(); }); });
  look(tied ? groups.embedding_pair.get() : nullptr,
       [&] { return Whole(units, [](const Parameter& p) { return p.spec().name == "wte.weight"; }); });
  return FirstText(found, *groups.world);
}

}  // namespace orthant

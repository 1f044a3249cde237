// A rank whose list differs from what was planned is found and named: operations skipped, doubled, reordered,
// of another size, type or kind, each tried at every place.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <utility>

#include "orthant/train/collective_check.h"
#include "unit/train/collective_fixture.h"

namespace orthant {
namespace {

using Kind = CollectiveConflict::Kind;
using Mode = PlannedOperation::Mode;
using testing::Everything;
using ::testing::HasSubstr;
using testing::Planned;

// Changes on one rank. Each is tried at every operation of the rank's list where it changes anything, and
// each must be found and name that rank.
class Mutations : public ::testing::TestWithParam<int> {
 protected:
  using Change = std::function<bool(OperationList& list, size_t at)>;  // false: changes nothing there

  void Try(const Change& change, const std::function<void(const CollectiveConflict&)>& also = nullptr) {
    RunConfig c = Everything();
    c.parallel.zero = GetParam();
    const Planned planned(c);
    const CollectivePass& pass = planned.plan.Of(CollectivePlan::Moment::kStep);
    int64_t tried = 0;
    for (const int64_t rank : {int64_t{0}, int64_t{13}, planned.mesh.world() - 1}) {
      const OperationList list = pass.ListOf(rank);
      for (size_t at = 0; at < list.size(); ++at) {
        OperationList changed = list;
        if (!change(changed, at)) continue;
        CollectivePass mutated = pass;
        mutated.Replace(rank, std::move(changed));
        const std::optional<CollectiveConflict> conflict = CheckPass(mutated, planned.groups);
        ASSERT_TRUE(conflict.has_value()) << "rank " << rank << ": " << Describe(list[at]);
        const std::string text = conflict->ToString(planned.mesh);
        const bool named =
            std::any_of(conflict->sides.begin(), conflict->sides.end(),
                        [&](const CollectiveConflict::Side& side) { return side.rank == rank; });
        ASSERT_TRUE(named) << "rank " << rank << ": " << Describe(list[at]) << "\n" << text;
        ASSERT_THAT(text, HasSubstr(planned.mesh.Describe(rank)));
        if (also) also(*conflict);
        ++tried;
      }
    }
    EXPECT_GT(tried, 100);
  }

  static bool IsWait(const PlannedOperation& op) { return op.mode == Mode::kWait; }
};

TEST_P(Mutations, Skipped) {
  Try([](OperationList& list, size_t at) {
    if (IsWait(list[at])) return false;
    const PlannedOperation gone = list[at];
    list.erase(list.begin() + static_cast<std::ptrdiff_t>(at));
    if (gone.mode != Mode::kIssue) return true;
    for (size_t i = at; i < list.size(); ++i) {  // its wait too: as if it had never been asked for
      if (!IsWait(list[i]) || list[i].slot != gone.slot) continue;
      list.erase(list.begin() + static_cast<std::ptrdiff_t>(i));
      return true;
    }
    return true;
  });
}

TEST_P(Mutations, Doubled) {
  Try([](OperationList& list, size_t at) {
    if (IsWait(list[at])) return false;
    PlannedOperation twice = list[at];
    twice.mode = Mode::kBlocking;
    list.insert(list.begin() + static_cast<std::ptrdiff_t>(at), twice);
    return true;
  });
}

TEST_P(Mutations, OtherCount) {
  Try(
      [](OperationList& list, size_t at) {
        if (IsWait(list[at])) return false;
        ++list[at].count;
        return true;
      },
      [](const CollectiveConflict& conflict) {
        EXPECT_EQ(conflict.kind, Kind::kMismatch);
        EXPECT_EQ(conflict.difference, "count");
      });
}

TEST_P(Mutations, OtherDtype) {
  Try(
      [](OperationList& list, size_t at) {
        if (IsWait(list[at])) return false;
        list[at].dtype = c10::ScalarType::BFloat16;
        return true;
      },
      [](const CollectiveConflict& conflict) { EXPECT_EQ(conflict.difference, "dtype"); });
}

TEST_P(Mutations, OtherReductionOrKind) {
  Try([](OperationList& list, size_t at) {
    if (list[at].kind == OpKind::kAllReduce && !IsWait(list[at])) {
      list[at].reduce = ReduceOp::kMin;
      return true;
    }
    if (list[at].kind != OpKind::kAllGather || IsWait(list[at])) return false;
    list[at].kind = OpKind::kReduceScatter;
    return true;
  });
}

// Two neighbours in one group change places; also two messages to one peer.
TEST_P(Mutations, ReorderedWithinAGroup) {
  Try([](OperationList& list, size_t at) {
    if (IsWait(list[at]) || list[at].mode != Mode::kBlocking) return false;
    for (size_t next = at + 1; next < list.size(); ++next) {
      const PlannedOperation& other = list[next];
      if (other.group != list[at].group || other.mode != Mode::kBlocking) continue;
      if (other.kind == list[at].kind && other.count == list[at].count &&
          other.label.layer == list[at].label.layer && other.label.microbatch == list[at].label.microbatch &&
          std::string(other.label.what) == list[at].label.what) {
        return false;  // the same again: nothing changes (recompute)
      }
      std::swap(list[at], list[next]);
      return true;
    }
    return false;
  });
}

INSTANTIATE_TEST_SUITE_P(Zero, Mutations, ::testing::Values(0, 2, 3));

}  // namespace
}  // namespace orthant

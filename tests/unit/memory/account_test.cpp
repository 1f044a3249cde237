// What is charged, as what, and when it goes.
#include "orthant/memory/account.h"

#include <c10/core/CPUAllocator.h>

#include <barrier>
#include <cstdint>
#include <cstring>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "tensors.h"

namespace orthant::testing {
namespace {

TEST(MemoryNames, AreAllDifferent) {
  std::set<std::string_view> names;
  for (int tag = 0; tag < kMemoryTags; ++tag) names.insert(MemoryTagName(static_cast<MemoryTag>(tag)));
  EXPECT_EQ(names.size(), static_cast<size_t>(kMemoryTags));
  EXPECT_EQ(MemoryTagName(MemoryTag::kHost), "host");
  names.clear();
  for (int phase = 0; phase < kStepPhases; ++phase)
    names.insert(StepPhaseName(static_cast<StepPhase>(phase)));
  EXPECT_EQ(names.size(), static_cast<size_t>(kStepPhases));
  EXPECT_EQ(StepPhaseName(StepPhase::kEvaluate), "evaluate");
}

TEST(MemoryAccountTest, ChargesByTagUntilTheTensorGoes) {
  const auto account = MemoryAccount::Create();
  const BindMemory bound(account);
  std::optional<at::Tensor> weights, plain, staging;
  plain = Hold(100);
  {
    const MemoryScope scope(MemoryTag::kParameters);
    weights = Hold(1000);
    {
      const MemoryScope inner(MemoryTag::kHost);
      staging = Hold(5000);
    }
    weights = at::cat({*weights, Hold(24)});  // the inner scope is over
  }
  EXPECT_EQ(Now(*account, MemoryTag::kTemporary), 100);
  EXPECT_EQ(Now(*account, MemoryTag::kParameters), 1024);
  EXPECT_EQ(Now(*account, MemoryTag::kHost), 5000);
  EXPECT_EQ(Now(*account), 1124);  // host is outside the device
  weights.reset();
  plain.reset();
  staging.reset();
  EXPECT_EQ(account->current(), TagBytes{});
  EXPECT_TRUE(account->LargestHolders(8).empty());
}

TEST(MemoryAccountTest, ViewsAreNotChargedAndClonesAre) {
  const auto account = MemoryAccount::Create();
  const BindMemory bound(account);
  const at::Tensor whole = at::zeros({256}, at::kFloat);
  const at::Tensor view = whole.slice(0, 0, 10);
  EXPECT_EQ(Now(*account), 1024);
  const at::Tensor copy = view.clone();
  EXPECT_EQ(Now(*account), 1064);
}

TEST(MemoryAccountTest, BindingsNestAndNullBindsNobody) {
  const auto outer = MemoryAccount::Create(), inner = MemoryAccount::Create();
  EXPECT_EQ(BoundMemory(), nullptr);
  {
    const BindMemory first(outer);
    const at::Tensor a = Hold(10);
    {
      const BindMemory second(inner);
      EXPECT_EQ(BoundMemory(), inner);
      const at::Tensor b = Hold(20);
      {
        const BindMemory nobody(nullptr);
        const at::Tensor c = Hold(40);
        EXPECT_EQ(BoundMemory(), nullptr);
        EXPECT_EQ(Now(*inner), 20);
      }
      EXPECT_EQ(Now(*inner), 20);
      EXPECT_EQ(Now(*outer), 10);
    }
    EXPECT_EQ(BoundMemory(), outer);
    const at::Tensor d = Hold(80);
    EXPECT_EQ(Now(*outer), 90);
  }
  EXPECT_EQ(BoundMemory(), nullptr);
  const at::Tensor e = Hold(160);
  EXPECT_EQ(Now(*outer), 0);
  EXPECT_EQ(outer->peak().device_bytes, 90);
}

TEST(MemoryAccountTest, ABlockKeepsItsAccountAliveAndNoLonger) {
  auto account = MemoryAccount::Create();
  const std::weak_ptr<MemoryAccount> watch = account;
  at::Tensor kept;
  {
    const BindMemory bound(account);
    kept = Hold(64);
  }
  account.reset();
  ASSERT_FALSE(watch.expired());
  EXPECT_EQ(Now(*watch.lock()), 64);
  std::thread([tensor = std::move(kept)]() mutable { tensor.reset(); }).join();
  EXPECT_TRUE(watch.expired());
}

TEST(MemoryAccountTest, IsDischargedByAFreeOnAnotherThread) {
  const auto account = MemoryAccount::Create();
  const auto other = MemoryAccount::Create();
  at::Tensor tensor;
  {
    const BindMemory bound(account);
    tensor = Hold(4096);
  }
  std::thread([&] {
    const BindMemory bound(other);
    tensor.reset();
  }).join();
  EXPECT_EQ(Now(*account), 0);
  EXPECT_EQ(Now(*other), 0);
}

TEST(MemoryAccountTest, AnUnboundThreadIsChargedToNobodyWhoeverFrees) {
  const auto account = MemoryAccount::Create(1000);
  const BindMemory bound(account);
  at::Tensor mine = Hold(10), foreign;
  std::thread([&] {
    foreign = Hold(5000);  // beyond the limit, which is not its own
    mine.reset();
  }).join();
  EXPECT_EQ(Now(*account), 0);
  foreign.reset();
  EXPECT_EQ(Now(*account), 0);
  EXPECT_EQ(account->peak().device_bytes, 10);
}

TEST(MemoryAccountTest, TwoThreadsWithAnAccountEachDoNotMix) {
  const std::vector<std::shared_ptr<MemoryAccount>> accounts = {MemoryAccount::Create(),
                                                                MemoryAccount::Create()};
  std::barrier both(2);
  const auto work = [&](size_t rank) {
    const BindMemory bound(accounts[rank]);
    const MemoryScope scope(rank == 0 ? MemoryTag::kGradients : MemoryTag::kOptimizer);
    std::vector<at::Tensor> held;
    both.arrive_and_wait();
    for (int i = 0; i < 2000; ++i) {
      held.push_back(Hold(100 + static_cast<int64_t>(rank)));
      if (i % 2 == 1) held.erase(held.begin());
    }
    EXPECT_EQ(Now(*accounts[rank]), 1000 * (100 + static_cast<int64_t>(rank)));
    both.arrive_and_wait();
  };
  std::thread first(work, 0), second(work, 1);
  first.join();
  second.join();
  EXPECT_EQ(Of(accounts[0]->peak(), MemoryTag::kGradients), 1001 * 100);
  EXPECT_EQ(Of(accounts[1]->peak(), MemoryTag::kOptimizer), 1001 * 101);
  EXPECT_EQ(Of(accounts[0]->peak(), MemoryTag::kOptimizer), 0);
  EXPECT_EQ(Now(*accounts[0]) + Now(*accounts[1]), 0);
}

TEST(MemoryAccountTest, ThreadsShareAnAccount) {
  const auto account = MemoryAccount::Create();
  const BindMemory bound(account);
  std::vector<at::Tensor> crossed(400);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      const BindMemory mine(account);
      for (size_t i = t; i < crossed.size(); i += 4) crossed[i] = Hold(8);
      for (int i = 0; i < 500; ++i) Hold(1000);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Now(*account), 400 * 8);
  EXPECT_GE(account->peak().device_bytes, 1000);
  crossed.clear();
  EXPECT_EQ(Now(*account), 0);
}

TEST(MemoryAccountTest, FollowsAStorageThatGrowsAndShrinks) {
  const auto account = MemoryAccount::Create();
  const BindMemory bound(account);
  at::Tensor tensor;
  {
    const MemoryScope scope(MemoryTag::kParameters);
    tensor = Hold(1000);
  }
  {
    const MemoryScope scope(MemoryTag::kGradients);
    tensor.resize_({3000});  // a new block, of the scope that asked for it
  }
  EXPECT_EQ(Now(*account, MemoryTag::kParameters), 0);
  EXPECT_EQ(Now(*account, MemoryTag::kGradients), 3000);
  tensor.storage().unsafeGetStorageImpl()->set_nbytes(0);
  tensor.storage().set_data_ptr_noswap(c10::GetCPUAllocator()->allocate(0));
  EXPECT_EQ(Now(*account), 0);
  tensor.resize_({10});
  EXPECT_EQ(Now(*account, MemoryTag::kTemporary), 10);
}

TEST(MemoryAccountTest, LeavesForeignMemoryAlone) {
  const auto account = MemoryAccount::Create();
  const BindMemory bound(account);
  std::vector<float> values(100, 2.0f);
  {
    const at::Tensor tensor = at::from_blob(values.data(), {100}, at::kFloat);
    EXPECT_EQ(Now(*account), 0);
    const at::Tensor empty = at::empty({0}, at::kFloat);
    EXPECT_EQ(Now(*account), 0);
    EXPECT_EQ(tensor.sum().item<float>(), 200.0f);
  }
  EXPECT_EQ(Now(*account), 0);
}

TEST(MemoryAllocator, GivesRawAlignedBlocksAndClones) {
  const auto account = MemoryAccount::Create();
  const BindMemory bound(account);
  c10::Allocator* allocator = c10::GetCPUAllocator();
  ASSERT_NE(allocator->raw_deleter(), nullptr);
  for (const size_t bytes : {size_t{1}, size_t{63}, size_t{64}, size_t{4097}, size_t{3} << 20}) {
    void* raw = allocator->raw_allocate(bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(raw) % 64, 0u);
    std::memset(raw, 7, bytes);
    EXPECT_EQ(Now(*account), static_cast<int64_t>(bytes));
    {
      const c10::DataPtr copy = allocator->clone(raw, bytes);
      EXPECT_EQ(copy.get(), copy.get_context());
      EXPECT_EQ(std::memcmp(copy.get(), raw, bytes), 0);
      EXPECT_EQ(Now(*account), 2 * static_cast<int64_t>(bytes));
    }
    allocator->raw_deallocate(raw);
    EXPECT_EQ(Now(*account), 0);
  }
  void* nothing = allocator->raw_allocate(0);
  EXPECT_EQ(nothing, nullptr);
  allocator->raw_deallocate(nothing);
}

TEST(MemoryAllocator, RefusesAnAbsurdSizeAndChargesNothing) {
  const auto account = MemoryAccount::Create();
  const BindMemory bound(account);
  EXPECT_THROW(c10::GetCPUAllocator()->allocate(SIZE_MAX - 10), c10::Error);
  EXPECT_EQ(Now(*account), 0);
  EXPECT_EQ(account->peak().device_bytes, 0);
}

TEST(MemoryAccountTest, KeepsTheCallingThreadsTemporariesAsActivations) {
  const auto account = MemoryAccount::Create();
  const BindMemory bound(account);
  const at::Tensor activation = Hold(100);
  Hold(50);  // gone by then
  at::Tensor weights, foreign;
  {
    const MemoryScope scope(MemoryTag::kParameters);
    weights = Hold(1000);
  }
  std::thread([&] {
    const BindMemory mine(account);
    foreign = Hold(7);
  }).join();
  account->KeepTemporaries();
  EXPECT_EQ(Now(*account, MemoryTag::kActivations), 100);
  EXPECT_EQ(Now(*account, MemoryTag::kTemporary), 7);
  EXPECT_EQ(Now(*account, MemoryTag::kParameters), 1000);
  const at::Tensor later = Hold(10);
  EXPECT_EQ(Now(*account, MemoryTag::kTemporary), 17);
  account->KeepTemporaries();
  EXPECT_EQ(Now(*account, MemoryTag::kActivations), 110);
}

TEST(MemoryAccountTest, TellsTheLargestHoldersByOperation) {
  const auto account = MemoryAccount::Create();
  const BindMemory bound(account);
  std::vector<at::Tensor> held = {Hold(1)};
  {
    const OperationScope outer("attention", 2, 1);
    held.push_back(Hold(300));
    {
      const OperationScope inner("mlp.fc", 2);
      held.push_back(Hold(500));
      held.push_back(Hold(250));
      const OperationScope above("mlp.fc", 3);
      held.push_back(Hold(250));
    }
    held.push_back(Hold(300));
    const MemoryScope scope(MemoryTag::kCommunication);
    held.push_back(Hold(400));
  }
  const auto holders = account->LargestHolders(3);
  ASSERT_EQ(holders.size(), 3u);
  EXPECT_EQ(holders[0].operation, "mlp.fc, 2 places");
  EXPECT_EQ(holders[0].bytes, 1000);
  EXPECT_EQ(holders[0].blocks, 3);
  EXPECT_EQ(holders[1].operation, "attention layer=2 mb=1");
  EXPECT_EQ(holders[1].bytes, 600);
  EXPECT_EQ(holders[2].tag, MemoryTag::kCommunication);
  const auto all = account->LargestHolders(100);
  ASSERT_EQ(all.size(), 4u);
  EXPECT_EQ(all[3].operation, "");
  EXPECT_TRUE(account->LargestHolders(0).empty());
}

}  // namespace
}  // namespace orthant::testing

// An allocation beyond the limit: what it says, and that it arrives whole where it is caught.
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "orthant/memory/account.h"
#include "orthant/memory/memory_config.h"
#include "tensors.h"

namespace orthant::testing {
namespace {

TEST(MemoryLimit, SaysWhatWasAskedForAndWhoHoldsWhat) {
  const auto account = MemoryAccount::Create(4 * kMiB);
  EXPECT_EQ(account->limit(), 4 * kMiB);
  const BindMemory bound(account);
  at::Tensor weights, staging, activations;
  {
    const MemoryScope scope(MemoryTag::kParameters);
    const OperationScope operation("block", 3);
    weights = Hold(2 * kMiB);
  }
  {
    const MemoryScope scope(MemoryTag::kHost);
    staging = Hold(16 * kMiB);  // outside the limit
  }
  const PhaseScope forward(StepPhase::kForward);
  const MemoryScope scope(MemoryTag::kActivations);
  activations = Hold(kMiB / 2);
  const OperationScope operation("mlp.fc", 3, 1);
  try {
    Hold(2 * kMiB);
    FAIL() << "the limit did not hold";
  } catch (const OutOfMemory& error) {
    EXPECT_EQ(error.requested(), 2 * kMiB);
    EXPECT_EQ(DeviceBytes(error.current()), 5 * kMiB / 2);
    EXPECT_EQ(
        std::string(error.what()),
        "out of memory: memory.limit = 4.0 MiB a rank; 2.5 MiB are held and 2.0 MiB more (activations) were "
        "asked for by mlp.fc layer=3 mb=1, in forward\n"
        "  held as                       bytes\n"
        "  parameters                  2.0 MiB\n"
        "  activations               512.0 KiB\n"
        "  host (outside the limit)   16.0 MiB\n"
        "  largest holders  operation          bytes  blocks\n"
        "  host             (unnamed)       16.0 MiB       1\n"
        "  parameters       block layer=3    2.0 MiB       1\n"
        "  activations      (unnamed)      512.0 KiB       1\n");
  }
  EXPECT_EQ(Now(*account), 5 * kMiB / 2);
  EXPECT_EQ(account->peak().device_bytes, 5 * kMiB / 2);  // nothing was charged
  activations = at::Tensor();
  activations = Hold(2 * kMiB);  // now there is room, to the last byte
  EXPECT_EQ(account->peak().device_bytes, 4 * kMiB);
}

TEST(MemoryLimit, WithoutAnOperationNamesThePhaseOnly) {
  const auto account = MemoryAccount::Create(1000);
  const BindMemory bound(account);
  try {
    Hold(1001);
    FAIL() << "the limit did not hold";
  } catch (const OutOfMemory& error) {
    EXPECT_STREQ(
        error.what(),
        "out of memory: memory.limit = 1000 B a rank; 0 B are held and 1001 B more (temporary) were asked "
        "for, in setup\n  nothing is held\n");
  }
}

TEST(MemoryLimit, RefusesMoreThanTheMachineHasAsOutOfMemory) {
  const auto account = MemoryAccount::Create(1000);
  const BindMemory bound(account);
  EXPECT_THROW(at::empty({int64_t{1} << 58}, at::kByte), OutOfMemory);
}

TEST(MemoryLimit, HoldsBetweenThreadsOfOneAccount) {
  const auto account = MemoryAccount::Create(1000);
  std::atomic<int> refused = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      const BindMemory bound(account);
      for (int i = 0; i < 2000; ++i) {
        try {
          Hold(600);
        } catch (const OutOfMemory&) {
          ++refused;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(account->peak().device_bytes, 600);
  EXPECT_EQ(Now(*account), 0);
}

// Its backward needs more than any limit here.
class Greedy : public torch::autograd::Function<Greedy> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext*, const at::Tensor& x) { return x.clone(); }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext*,
                                                 torch::autograd::variable_list grads) {
    const OperationScope operation("greedy");
    return {grads[0] + at::ones({kMiB}, at::kFloat)[0]};
  }
};

TEST(MemoryLimit, CrossesABackwardWithItsType) {
  const auto account = MemoryAccount::Create(kMiB);
  const BindMemory bound(account);
  const at::Tensor x = at::ones({16}, at::kFloat).requires_grad_();
  const at::Tensor loss = Greedy::apply(x).sum();
  const PhaseScope backward(StepPhase::kBackward);
  try {
    loss.backward();
    FAIL() << "the limit did not hold";
  } catch (const OutOfMemory& error) {
    EXPECT_EQ(error.requested(), 4 * kMiB);
    EXPECT_THAT(error.what(), ::testing::HasSubstr("by greedy, in backward"));
  }
}

TEST(MemoryLimit, CrossesAParallelForWithItsType) {
  const auto account = MemoryAccount::Create(kMiB);
  const auto ask = [&](int64_t begin, int64_t end) {
    const BindMemory bound(account);
    for (int64_t i = begin; i < end; ++i) Hold(i == 99 ? 2 * kMiB : 10);
  };
  EXPECT_THROW(at::parallel_for(0, 100, 1, ask), OutOfMemory);
  EXPECT_EQ(Now(*account), 0);
}

TEST(MemorySection, ReadsALimitWithItsUnit) {
  MemoryConfig config;
  Fields fields;
  Describe(fields, config);
  ASSERT_NE(fields.Find("limit"), nullptr);
  EXPECT_EQ(fields.Find("limit")->kind(), FieldKind::kBytes);
  EXPECT_EQ(fields.Find("recompute")->allowed(), (std::vector<std::string>{"none", "selective", "full"}));
  EXPECT_EQ(fields.Find("recompute_every")->bounds().low, 1);
  for (const auto& field : fields.all()) EXPECT_FALSE(field->doc().empty()) << field->key();
}

}  // namespace
}  // namespace orthant::testing

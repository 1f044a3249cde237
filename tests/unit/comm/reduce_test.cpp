#include "comm/reduce.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <vector>

#include "comm/mpi_spread.h"

namespace orthant {
namespace {

std::vector<at::Tensor> Parts(int members, int64_t size, at::ScalarType dtype) {
  std::vector<at::Tensor> parts;
  for (int member = 0; member < members; ++member) {
    parts.push_back((at::sin(at::arange(size, at::kDouble) + member * 1.7) * (member + 0.3)).to(dtype));
  }
  return parts;
}

std::vector<const void*> Data(const std::vector<at::Tensor>& tensors) {
  std::vector<const void*> data;
  for (const at::Tensor& tensor : tensors) data.push_back(tensor.data_ptr());
  return data;
}

// A sum that goes from host to host has the bits of one that is taken at once.
TEST(ReduceTest, InstalmentsAddUpToTheSameBits) {
  constexpr int64_t kSize = 5003;
  for (const at::ScalarType dtype : {at::kDouble, at::kFloat, at::kBFloat16, at::kHalf}) {
    const std::vector<at::Tensor> parts = Parts(6, kSize, dtype);
    const std::vector<const void*> data = Data(parts);
    const at::Tensor whole = at::empty({kSize}, dtype);
    void* target = whole.data_ptr();
    ReduceInto(dtype, ReduceOp::kSum, data.data(), 6, &target, 1, 0, kSize);

    EXPECT_EQ(InstalmentSize(dtype), dtype == at::kDouble ? 8 : 4);
    std::vector<std::byte> first(static_cast<size_t>(kSize * InstalmentSize(dtype)));
    std::vector<std::byte> second(first.size());
    const at::Tensor last = at::empty({kSize}, dtype);
    target = last.data_ptr();
    ReduceInto(dtype, ReduceOp::kSum, data.data(), 2, nullptr, 0, 0, kSize, {nullptr, first.data()});
    ReduceInto(dtype, ReduceOp::kSum, &data[2], 2, nullptr, 0, 0, kSize, {first.data(), second.data()});
    ReduceInto(dtype, ReduceOp::kSum, &data[4], 2, &target, 1, 0, kSize, {second.data(), nullptr});
    EXPECT_TRUE(at::equal(last, whole)) << dtype;
  }
}

// Two summands, one of which takes the sum, and a copy elsewhere: the short way, whichever of them it is.
TEST(ReduceTest, PairsInPlaceWithACopy) {
  constexpr int64_t kSize = 1003;
  for (const at::ScalarType dtype : {at::kDouble, at::kFloat, at::kBFloat16, at::kLong}) {
    for (const ReduceOp op : {ReduceOp::kSum, ReduceOp::kMax, ReduceOp::kMin}) {
      for (const size_t in_place : {size_t{0}, size_t{1}}) {
        const std::vector<at::Tensor> parts = Parts(2, kSize, dtype);
        const at::Tensor sum = at::empty({kSize}, dtype);
        void* target = sum.data_ptr();
        ReduceInto(dtype, op, Data(parts).data(), 2, &target, 1, 0, kSize);
        const at::Tensor copy = at::zeros({kSize}, dtype);
        const at::Tensor other = parts[1 - in_place].clone();
        void* const targets[] = {parts[in_place].data_ptr(), copy.data_ptr()};
        ReduceInto(dtype, op, Data(parts).data(), 2, targets, 2, 0, kSize);
        EXPECT_TRUE(at::equal(parts[in_place], sum)) << dtype;
        EXPECT_TRUE(at::equal(copy, sum)) << dtype;
        EXPECT_TRUE(at::equal(parts[1 - in_place], other)) << dtype;
      }
    }
  }
}

TEST(SeatsTest, EquallyManyOnEachHostOneHostAfterTheOther) {
  const auto is = [](const std::vector<int>& hosts, int count, int each) {
    const mpi::Seats seats = mpi::SeatsOf(hosts);
    return seats.hosts == count && seats.per_host == each;
  };
  EXPECT_TRUE(is({0, 0, 2, 2}, 2, 2));
  EXPECT_TRUE(is({4, 4, 4, 0, 0, 0, 9, 9, 9}, 3, 3));
  EXPECT_TRUE(is({0, 0, 0, 0}, 0, 0));        // one host
  EXPECT_TRUE(is({0, 1, 2, 3}, 0, 0));        // nobody to share with
  EXPECT_TRUE(is({0, 0, 1, 1, 1}, 0, 0));     // uneven
  EXPECT_TRUE(is({0, 0, 1, 2}, 0, 0));        // uneven
  EXPECT_TRUE(is({0, 1, 0, 1}, 0, 0));        // in turns
  EXPECT_TRUE(is({0, 0, 1, 1, 0, 0}, 0, 0));  // a host twice
}

}  // namespace
}  // namespace orthant

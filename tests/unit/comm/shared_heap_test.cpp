#include "comm/shared_heap.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

namespace orthant {
namespace {

constexpr int64_t kMiB = 1 << 20;

std::unique_ptr<SharedHeap> Heap(int64_t span) {
  absl::StatusOr<std::unique_ptr<SharedHeap>> heap = SharedHeap::Create(span);
  EXPECT_TRUE(heap.ok()) << heap.status();
  return heap.ok() ? *std::move(heap) : nullptr;
}

// Pages of [block, block + bytes) that memory stands behind.
int64_t ResidentPages(void* block, int64_t bytes) {
  std::vector<unsigned char> pages(static_cast<size_t>((bytes + 4095) / 4096));
  EXPECT_EQ(mincore(block, static_cast<size_t>(bytes), pages.data()), 0);
  return std::count_if(pages.begin(), pages.end(), [](unsigned char page) { return (page & 1) != 0; });
}

TEST(SharedHeapTest, AnotherMappingSeesABlockAtItsOffset) {
  const std::unique_ptr<SharedHeap> heap = Heap(16 * kMiB);
  void* first = heap->Allocate(300000);
  void* second = heap->Allocate(300000);
  std::memset(first, 1, 300000);
  std::memset(second, 2, 300000);
  const absl::StatusOr<SharedMemory> other = SharedMemory::Attach(heap->handle());
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_EQ(other->data()[heap->OffsetOf(first)], std::byte{1});
  EXPECT_EQ(other->data()[heap->OffsetOf(second) + 299999], std::byte{2});
}

TEST(SharedHeapTest, KnowsItsOwn) {
  const std::unique_ptr<SharedHeap> heap = Heap(4 * kMiB);
  auto* block = static_cast<std::byte*>(heap->Allocate(kMiB));
  int elsewhere = 0;
  EXPECT_FALSE(heap->Holds(&elsewhere));
  EXPECT_TRUE(heap->Holds(block));
  EXPECT_EQ(heap->OffsetOf(block + 5) - heap->OffsetOf(block), 5);
}

TEST(SharedHeapTest, AFullHeapSaysSoAndFreedNeighboursMakeOneRoom) {
  const std::unique_ptr<SharedHeap> heap = Heap(4 * kMiB);
  std::vector<void*> blocks;
  for (int i = 0; i < 4; ++i) blocks.push_back(heap->Allocate(kMiB));
  EXPECT_EQ(std::count(blocks.begin(), blocks.end(), nullptr), 0);
  EXPECT_EQ(heap->Allocate(1), nullptr);
  heap->Free(blocks[0]);
  heap->Free(blocks[2]);
  EXPECT_EQ(heap->Allocate(2 * kMiB), nullptr) << "the rooms do not touch";
  heap->Free(blocks[1]);
  EXPECT_EQ(heap->Allocate(3 * kMiB), blocks[0]);
  EXPECT_EQ(heap->Allocate(8 * kMiB), nullptr) << "more than there is";
}

TEST(SharedHeapTest, BlocksOfOneSizeComeBackWithTheirPages) {
  const std::unique_ptr<SharedHeap> heap = Heap(64 * kMiB);
  void* block = heap->Allocate(8 * kMiB);
  std::memset(block, 1, 8 * kMiB);
  heap->Free(block);
  EXPECT_EQ(heap->Allocate(8 * kMiB), block);
  EXPECT_EQ(ResidentPages(block, 8 * kMiB), 2048);
}

TEST(SharedHeapTest, PagesFarBeyondTheMostInUseAreGivenBack) {
  const std::unique_ptr<SharedHeap> heap = Heap(1024 * kMiB);
  // Ever larger blocks, one at a time, each with an untouched one behind it that fits into no room before:
  // none of them comes to lie where another one has been.
  void* first = nullptr;
  for (int64_t size = 8; size <= 64; size += 8) {
    void* block = heap->Allocate(size * kMiB);
    ASSERT_NE(heap->Allocate(size * kMiB + 4096), nullptr);
    if (first == nullptr) first = block;
    std::memset(block, 1, static_cast<size_t>(size * kMiB));
    heap->Free(block);
  }
  EXPECT_EQ(ResidentPages(first, 8 * kMiB), 0);
}

// Blocks of all sizes, taken and given back by several threads, never overlap.
TEST(SharedHeapTest, ThreadsTakeAndGiveBack) {
  const std::unique_ptr<SharedHeap> heap = Heap(256 * kMiB);
  std::atomic<int> wrong{0};
  const auto work = [&](int seed) {
    std::mt19937 random(static_cast<unsigned>(seed));
    std::vector<std::pair<unsigned char*, size_t>> blocks;
    for (int i = 0; i < 600; ++i) {
      if (blocks.size() > 6) {
        const size_t one = random() % blocks.size();
        const auto [block, bytes] = blocks[one];
        if (block[0] != seed || block[bytes / 2] != seed || block[bytes - 1] != seed) ++wrong;
        heap->Free(block);
        blocks.erase(blocks.begin() + static_cast<std::ptrdiff_t>(one));
      }
      const size_t bytes = 1 + random() % (3 * kMiB);
      auto* block = static_cast<unsigned char*>(heap->Allocate(static_cast<int64_t>(bytes)));
      if (block == nullptr) continue;
      block[0] = block[bytes / 2] = block[bytes - 1] = static_cast<unsigned char>(seed);
      blocks.emplace_back(block, bytes);
    }
    for (const auto& [block, bytes] : blocks) heap->Free(block);
  };
  std::vector<std::thread> threads;
  for (int seed = 1; seed <= 4; ++seed) threads.emplace_back(work, seed);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
  EXPECT_NE(heap->Allocate(256 * kMiB), nullptr) << "all of it is one room again";
}

}  // namespace
}  // namespace orthant

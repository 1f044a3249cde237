#include "orthant/data_parallel/state_store.h"

#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "ATen/ATen.h"
#include "data_parallel/stores.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orthant/core/status.h"
#include "orthant/memory/account.h"

namespace orthant::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class StateStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "orthant-test-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string Path(const std::string& name) const { return (folder_ / name).string(); }
  StoreOptions Nvme(int buffers = 3) const {
    return {.tier = Tier::kNvme, .path = Path("offload"), .name = "moments.rank-0", .buffers = buffers};
  }
  std::string FileOf(int slot) const {
    return Path("offload/moments.rank-0.slot-" + std::to_string(slot) + ".bin");
  }
  fs::path folder_;
};

at::Tensor Ramp(int64_t n, double from, at::ScalarType dtype = at::kFloat) {
  return at::arange(n, at::kDouble).add_(from).to(dtype);
}

// What running it throws: its exit code and message.
std::pair<ExitCode, std::string> Thrown(const std::function<void()>& run) {
  try {
    run();
  } catch (const StatusError& error) {
    return {ExitCodeOf(error.status()), error.what()};
  }
  return {ExitCode::kDone, ""};
}

std::vector<double> Values(const at::Tensor& tensor) {
  const at::Tensor wide = tensor.to(at::kDouble).contiguous();
  return {wide.data_ptr<double>(), wide.data_ptr<double>() + wide.numel()};
}

// Opens, changes, closes and prefetches at random; every slot is compared with a vector whenever it is
// opened.
void RandomOperations(StateStore& store, int most_open, unsigned seed) {
  const std::vector<std::pair<int64_t, at::ScalarType>> kinds = {
      {1000, at::kFloat}, {0, at::kFloat},      {1, at::kDouble},        {1024, at::kFloat},
      {0, at::kDouble},   {70001, at::kDouble}, {333333, at::kBFloat16}, {12, at::kHalf},
  };
  std::mt19937 random(seed);
  const auto draw = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  std::vector<std::vector<double>> model;
  std::vector<at::Tensor> open(kinds.size());
  int opened = 0;
  for (size_t i = 0; i < kinds.size(); ++i) {
    const at::Tensor initial = at::full({kinds[i].first}, static_cast<double>(i), kinds[i].second);
    model.push_back(Values(initial));
    ASSERT_EQ(store.Add(initial), static_cast<int>(i));
  }
  for (int step = 0; step < 600; ++step) {
    const int slot = draw(static_cast<int>(kinds.size()));
    const auto at = static_cast<size_t>(slot);
    if (draw(3) == 0) {
      store.Prefetch(slot);
    } else if (open[at].defined()) {
      const bool changed = draw(2) == 0;
      if (changed) {
        const int value = draw(128);
        open[at].add_(value).remainder_(128);  // exact in every type
        model[at] = Values(open[at]);
      }
      open[at] = at::Tensor();
      store.Close(slot, changed);
      --opened;
    } else if (opened < most_open) {
      open[at] = store.Open(slot);
      ++opened;
      ASSERT_EQ(open[at].scalar_type(), kinds[at].second);
      ASSERT_EQ(open[at].dim(), 1);
      ASSERT_EQ(Values(open[at]), model[at]) << "slot " << slot << ", step " << step;
    }
  }
}

TEST_F(StateStoreTest, EveryTierHoldsWhatAVectorWould) {
  for (const unsigned seed : {1u, 2u, 3u}) {
    for (const Tier tier : {Tier::kDevice, Tier::kHost}) {
      RandomOperations(*StateStore::Create({.tier = tier, .path = "", .name = ""}), 3, seed);
    }
    for (const auto engine : {AsyncFile::Engine::kAutomatic, AsyncFile::Engine::kThreads}) {
      for (const int buffers : {2, 3, 4}) {
        SCOPED_TRACE(buffers);
        RandomOperations(*MakeNvmeStore(Nvme(buffers), engine), buffers - 1, seed);
      }
    }
  }
  EXPECT_TRUE(fs::is_empty(Path("offload")));  // files go with their store
}

// The optimiser's walk: the next slot is read ahead while one is updated and earlier ones are written back.
TEST_F(StateStoreTest, ReadingAheadAndWritingBackOverlap) {
  constexpr int64_t kSize = 200000;
  constexpr int kSlots = 7;
  constexpr int kRounds = 5;
  for (const int buffers : {2, 3, 4}) {
    SCOPED_TRACE(buffers);
    const auto store = StateStore::Create(Nvme(buffers));
    for (int i = 0; i < kSlots; ++i) store->Add(Ramp(kSize, i * 1000.0));
    for (int round = 0; round < kRounds; ++round) {
      for (int i = 0; i < kSlots; ++i) {
        at::Tensor tensor = store->Open(i);
        store->Prefetch((i + 1) % kSlots);
        tensor.add_(1);
        store->Close(i, true);
      }
    }
    for (int i = 0; i < kSlots; ++i) {
      EXPECT_TRUE(at::equal(store->Open(i), Ramp(kSize, i * 1000.0 + kRounds)));
      store->Close(i, false);
    }
  }
}

TEST_F(StateStoreTest, CountsWholeBlocks) {
  const auto store = StateStore::Create(Nvme(2));
  EXPECT_EQ(store->bytes_written(), 0);  // the check at the start is no part of it
  store->Add(Ramp(1024, 0));             // exactly one block
  store->Add(Ramp(1025, 0));             // two
  store->Add(Ramp(0, 0));
  store->Add(Ramp(3, 0));
  EXPECT_EQ(store->bytes_written(), 4096 + 8192 + 4096);
  EXPECT_EQ(store->bytes_read(), 0);
  EXPECT_EQ(fs::file_size(FileOf(1)), 8192u);
  EXPECT_FALSE(fs::exists(FileOf(2)));  // nothing to hold

  const auto use = [&](int slot, bool changed) {
    store->Open(slot);
    store->Close(slot, changed);
  };
  use(0, false);
  EXPECT_EQ(store->bytes_read(), 4096);
  use(0, true);  // still in its buffer
  EXPECT_EQ(store->bytes_read(), 4096);
  EXPECT_EQ(store->bytes_written(), 4096 + 8192 + 4096 + 4096);
  store->Prefetch(0);  // there already
  store->Prefetch(2);  // empty
  EXPECT_EQ(store->bytes_read(), 4096);
  use(1, false);
  use(3, false);
  use(0, false);
  EXPECT_EQ(store->bytes_read(), 4096 + 8192 + 4096 + 4096);
  EXPECT_EQ(store->bytes_written(), 4096 + 8192 + 4096 + 4096);
}

TEST_F(StateStoreTest, AHintTakesNoBufferThatIsInUse) {
  const auto store = StateStore::Create(Nvme(3));
  for (int i = 0; i < 5; ++i) store->Add(Ramp(1024, i));
  at::Tensor a = store->Open(0), b = store->Open(1);
  const int64_t before = store->bytes_read();
  for (int i = 2; i < 5; ++i) store->Prefetch(i);
  EXPECT_LE(store->bytes_read(), before + 4096);
  EXPECT_THROW(store->Open(4), std::logic_error);  // two of three are open
  EXPECT_TRUE(at::equal(a, Ramp(1024, 0)));
  EXPECT_TRUE(at::equal(b, Ramp(1024, 1)));
  store->Close(0, false);
  EXPECT_TRUE(at::equal(store->Open(4), Ramp(1024, 4)));  // before a hint
}

TEST_F(StateStoreTest, MisuseIsABug) {
  for (const StoreOptions& options : {StoreOptions{}, Nvme()}) {
    const auto store = StateStore::Create(options);
    store->Add(Ramp(4, 0));
    EXPECT_THROW(store->Close(0, true), std::logic_error);
    store->Open(0);
    EXPECT_THROW(store->Open(0), std::logic_error);
    EXPECT_THROW(store->Open(1), std::logic_error);
    EXPECT_THROW(store->Add(at::zeros({2, 2})), std::logic_error);
  }
}

TEST_F(StateStoreTest, DescribesItself) {
  EXPECT_EQ(StateStore::Create({})->Describe(), "device");
  EXPECT_EQ(StateStore::Create({.tier = Tier::kHost, .path = "", .name = ""})->Describe(), "host memory");
  const auto store = MakeNvmeStore(Nvme(), AsyncFile::Engine::kThreads);
  EXPECT_THAT(store->Describe(), StartsWith("files in " + Path("offload") + " (threads"));
  EXPECT_EQ(store->tier(), Tier::kNvme);
  EXPECT_EQ(TierOf("none"), Tier::kDevice);
  EXPECT_EQ(TierOf("host"), Tier::kHost);
  EXPECT_EQ(TierOf("nvme"), Tier::kNvme);
  EXPECT_EQ(Thrown([] { TierOf("disk"); }).first, ExitCode::kConfiguration);
}

TEST_F(StateStoreTest, TheDeviceTierTakesTheTensorItself) {
  const at::Tensor tensor = Ramp(10, 0);
  const auto device = StateStore::Create({});
  device->Add(tensor);
  EXPECT_EQ(device->Open(0).data_ptr(), tensor.data_ptr());
  const auto host = StateStore::Create({.tier = Tier::kHost, .path = "", .name = ""});
  host->Add(tensor);
  EXPECT_NE(host->Open(0).data_ptr(), tensor.data_ptr());
}

TEST_F(StateStoreTest, OffloadedBytesAreTheHosts) {
  const auto account = MemoryAccount::Create();
  const BindMemory bind(account);
  const auto host_bytes = [&] { return account->current()[static_cast<size_t>(MemoryTag::kHost)]; };
  {
    const at::Tensor tensor = Ramp(1 << 20, 0);
    const auto host = StateStore::Create({.tier = Tier::kHost, .path = "", .name = ""});
    host->Add(tensor);
    EXPECT_GE(host_bytes(), 4 << 20);
    EXPECT_LE(host_bytes(), (4 << 20) + 4096);
  }
  EXPECT_EQ(host_bytes(), 0);
  const auto store = StateStore::Create(Nvme(2));
  for (int i = 0; i < 6; ++i) store->Add(Ramp(1 << 20, i));
  EXPECT_GE(host_bytes(), 2 * (4 << 20));  // two buffers, however many slots
  EXPECT_LE(host_bytes(), 2 * ((4 << 20) + 8192));
  EXPECT_LT(DeviceBytes(account->current()), 4096);
}

// --- damage
// -----------------------------------------------------------------------------------------------------

// A store of several slots, of which the first is in no buffer.
std::unique_ptr<StateStore> Filled(const StoreOptions& options) {
  auto store = StateStore::Create(options);
  for (int i = 0; i < options.buffers + 2; ++i) store->Add(Ramp(5000, i));
  store->Open(options.buffers + 1);  // all earlier writes into its buffer have ended
  store->Close(options.buffers + 1, false);
  return store;
}

TEST_F(StateStoreTest, AShortenedFileEndsTheRun) {
  for (const int64_t left : {0, 100, 4096, 20479}) {
    for (const bool ahead : {false, true}) {
      const auto store = Filled(Nvme());
      ASSERT_EQ(::truncate(FileOf(0).c_str(), left), 0);
      if (ahead) store->Prefetch(0);
      const auto [code, message] = Thrown([&] { store->Open(0); });
      EXPECT_EQ(code, ExitCode::kData);
      EXPECT_THAT(message, AllOf(HasSubstr(FileOf(0)), HasSubstr("20480 bytes were to be read at offset 0"),
                                 HasSubstr("slot 0 of the offload store 'moments.rank-0'"),
                                 HasSubstr("the run cannot continue from it")));
      EXPECT_TRUE(at::equal(store->Open(1), Ramp(5000, 1)));  // the others are whole
    }
  }
}

TEST_F(StateStoreTest, AFlippedByteEndsTheRun) {
  for (const int64_t at : {0, 9999, 19999}) {
    const auto store = Filled(Nvme(2));
    {
      std::fstream file(FileOf(0), std::ios::in | std::ios::out | std::ios::binary);
      file.seekg(at);
      const int byte = file.get();
      file.seekp(at);
      file.put(static_cast<char>(byte ^ 0x10));
    }
    const auto [code, message] = Thrown([&] { store->Open(0); });
    EXPECT_EQ(code, ExitCode::kData);
    EXPECT_THAT(message, AllOf(HasSubstr(FileOf(0)), HasSubstr("the bytes read are not those written"),
                               HasSubstr("slot 0"), HasSubstr("cannot continue")));
  }
}

TEST_F(StateStoreTest, AnOldStateIsNotTakenForTheNewOne) {
  const auto store = Filled(Nvme(2));
  const auto overwrite = fs::copy_options::overwrite_existing;
  fs::copy_file(FileOf(0), Path("old"));
  store->Open(0).add_(1);
  store->Close(0, true);
  for (int i = 1; i < 4; ++i) {
    store->Open(i);
    store->Close(i, false);
  }
  fs::copy_file(Path("old"), FileOf(0), overwrite);
  EXPECT_EQ(Thrown([&] { store->Open(0); }).first, ExitCode::kData);
}

// --- folders and disks
// ------------------------------------------------------------------------------------------

TEST_F(StateStoreTest, TheFolderIsMadeTheOneAboveIsNot) {
  EXPECT_FALSE(fs::exists(Path("offload")));
  StateStore::Create(Nvme());
  EXPECT_TRUE(fs::is_directory(Path("offload")));
  std::ofstream(Path("file")) << "x";
  for (const std::string& wrong : {Path("a/b"), Path("a/b/"), Path("file"), Path("file/b")}) {
    StoreOptions options = Nvme();
    options.path = wrong;
    const auto [code, message] = Thrown([&] { StateStore::Create(options); });
    EXPECT_EQ(code, ExitCode::kEnvironment) << wrong;
    EXPECT_THAT(message, AllOf(StartsWith("zero.offload.path: " + wrong), HasSubstr("name another")));
  }
  EXPECT_EQ(Thrown([&] { StateStore::Create(Nvme(1)); }).first, ExitCode::kConfiguration);
}

TEST_F(StateStoreTest, LeftoversOfAKilledRunAreReplaced) {
  fs::create_directory(Path("offload"));
  for (const int slot : {0, 1, 77}) std::ofstream(FileOf(slot)) << std::string(100000, 'z');
  const std::string other = Path("offload/moments.rank-0.slot-x.bin");
  std::ofstream(other) << "somebody's";
  const auto store = StateStore::Create(Nvme());
  store->Add(Ramp(10, 3));
  EXPECT_TRUE(at::equal(store->Open(0), Ramp(10, 3)));
  EXPECT_FALSE(fs::exists(FileOf(77)));
  EXPECT_TRUE(fs::exists(other));
}

TEST_F(StateStoreTest, AFullOrReadOnlyDisk) {
  fs::create_directory(Path("offload"));
  const auto mount = [&](unsigned long flags) {
    return ::mount("none", Path("offload").c_str(), "tmpfs", flags, "size=1m") == 0;
  };
  if (!mount(0)) GTEST_SKIP() << "this process may not mount";
  {
    const auto store = StateStore::Create(Nvme());
    store->Add(Ramp(1000, 0));
    const auto [code, message] = Thrown([&] { store->Add(Ramp(1 << 19, 0)); });
    EXPECT_EQ(code, ExitCode::kEnvironment);
    EXPECT_THAT(message, AllOf(StartsWith("zero.offload.path: " + FileOf(1)),
                               HasSubstr("2097152 bytes are wanted"), HasSubstr("free space there")));
    EXPECT_TRUE(at::equal(store->Open(0), Ramp(1000, 0)));
  }
  if (mount(MS_REMOUNT | MS_RDONLY)) {
    const auto [code, message] = Thrown([&] { StateStore::Create(Nvme()); });
    EXPECT_EQ(code, ExitCode::kEnvironment);
    EXPECT_THAT(message, AllOf(StartsWith("zero.offload.path: " + Path("offload")),
                               HasSubstr("Read-only file system"), HasSubstr("may write to")));
  }
  ::umount(Path("offload").c_str());
}

}  // namespace
}  // namespace orthant::testing

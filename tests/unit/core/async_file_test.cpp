#include "orthant/core/async_file.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orthant/core/status.h"

namespace orthant::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using Engine = AsyncFile::Engine;

// Bytes at an address that may bypass the page cache, different at each position.
class Bytes {
 public:
  explicit Bytes(size_t size, unsigned seed = 1)
      : data_(static_cast<std::byte*>(::operator new(size + 1, std::align_val_t(kDirectAlignment)))),
        size_(size) {
    uint32_t x = 2654435761u * (seed + 1);
    for (size_t i = 0; i < size; ++i)
      data_[i] = static_cast<std::byte>((x = x * 1664525u + 1013904223u) >> 24);
  }
  ~Bytes() { ::operator delete(data_, std::align_val_t(kDirectAlignment)); }
  Bytes(const Bytes&) = delete;
  Bytes& operator=(const Bytes&) = delete;

  std::span<std::byte> all() { return {data_, size_}; }
  std::span<std::byte> part(size_t at, size_t count) { return all().subspan(at, count); }
  bool operator==(const Bytes& other) const {
    return size_ == other.size_ && std::memcmp(data_, other.data_, size_) == 0;
  }

 private:
  std::byte* data_;
  size_t size_;
};

std::string EngineName(Engine engine) {
  return engine == Engine::kUring ? "io_uring" : "threads";
}

class AsyncFileTest : public ::testing::TestWithParam<Engine> {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "orthant-test-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    if (const auto engine = MakeTransferEngine(GetParam()); !engine.ok()) {
      GTEST_SKIP() << engine.status().message();
    }
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string Path(const std::string& name) const { return (folder_ / name).string(); }
  std::unique_ptr<AsyncFile> Make(const std::string& name, int64_t size) {
    auto file = AsyncFile::Create(Path(name), size, GetParam());
    if (!file.ok()) {
      ADD_FAILURE() << file.status();
      return nullptr;
    }
    return *std::move(file);
  }
  fs::path folder_;
};

INSTANTIATE_TEST_SUITE_P(Engines, AsyncFileTest, ::testing::Values(Engine::kUring, Engine::kThreads),
                         [](const auto& param) { return EngineName(param.param); });

TEST_P(AsyncFileTest, ReservesAtOnceAndRemovesAtTheEnd) {
  auto file = Make("x", 1 << 20);
  EXPECT_THAT(file->Describe(), StartsWith(EngineName(GetParam())));
  struct stat info {};
  ASSERT_EQ(::stat(Path("x").c_str(), &info), 0);
  EXPECT_EQ(info.st_size, 1 << 20);
  EXPECT_EQ(info.st_mode & 0077, 0u);  // a user's weights are that user's
  file.reset();
  EXPECT_FALSE(fs::exists(Path("x")));
}

TEST_P(AsyncFileTest, WhatIsWrittenIsRead) {
  // Aligned and not, less than a piece, exactly one, several, and more than the queue holds.
  const std::vector<std::pair<size_t, int64_t>> places = {
      {1, 0},        {4096, 0},       {4095, 4096},          {10000, 3},
      {1 << 20, 0},  {3 << 20, 8192}, {(5 << 20) + 17, 100}, {size_t{130} << 20, 4096},
      {4096 * 3, 0},
  };
  for (const auto& [size, offset] : places) {
    SCOPED_TRACE(std::to_string(size) + " at " + std::to_string(offset));
    auto file = Make("x", static_cast<int64_t>(size) + offset);
    Bytes written(size), read(size, 2);
    ASSERT_TRUE(file->Write(written.all(), offset).Wait().ok());
    Transfer transfer = file->Read(read.all(), offset);
    ASSERT_TRUE(transfer.Wait().ok());
    EXPECT_TRUE(transfer.Ready());
    ASSERT_TRUE(transfer.Wait().ok());  // again
    EXPECT_TRUE(read == written);
  }
}

TEST_P(AsyncFileTest, AnUnalignedBufferIsAsGood) {
  auto file = Make("x", 1 << 16);
  Bytes written((1 << 16) + 8), read((1 << 16) + 8, 2);
  ASSERT_TRUE(file->Write(written.part(8, 1 << 16), 0).Wait().ok());
  ASSERT_TRUE(file->Read(read.part(8, 1 << 16), 0).Wait().ok());
  EXPECT_EQ(std::memcmp(read.part(8, 1 << 16).data(), written.part(8, 1 << 16).data(), 1 << 16), 0);
}

TEST_P(AsyncFileTest, ManyTransfersAtOnce) {
  constexpr int64_t kSize = 64 << 10;
  constexpr int kCount = 300;  // more than the ring holds
  auto file = Make("x", kSize * kCount);
  std::vector<std::unique_ptr<Bytes>> written, read;
  std::vector<Transfer> transfers;
  for (int i = 0; i < kCount; ++i) {
    written.push_back(std::make_unique<Bytes>(kSize, i));
    read.push_back(std::make_unique<Bytes>(kSize, 1000));
    transfers.push_back(file->Write(written.back()->all(), i * kSize));
  }
  for (int i = kCount - 1; i >= 0; --i) ASSERT_TRUE(transfers[i].Wait().ok());
  for (int i = 0; i < kCount; ++i) transfers[i] = file->Read(read[i]->all(), i * kSize);
  for (int i = 0; i < kCount; i += 2) ASSERT_TRUE(transfers[i].Wait().ok());
  for (int i = 1; i < kCount; i += 2) {
    while (!transfers[i].Ready()) ::usleep(100);  // polled, not waited for
    ASSERT_TRUE(transfers[i].Wait().ok());
  }
  for (int i = 0; i < kCount; ++i) EXPECT_TRUE(*read[i] == *written[i]) << i;
}

TEST_P(AsyncFileTest, DroppingATransferWaits) {
  Bytes read(8 << 20, 2), written(8 << 20);
  Transfer last;
  {
    auto file = Make("x", 8 << 20);
    { Transfer dropped = file->Write(written.all(), 0); }
    last = file->Read(read.all(), 0);
  }  // the file is gone before the transfer
  ASSERT_TRUE(last.Wait().ok());
  EXPECT_TRUE(read == written);
  EXPECT_FALSE(fs::exists(Path("x")));
}

TEST_P(AsyncFileTest, FilesShareAnEngine) {
  auto engine = MakeTransferEngine(GetParam());
  ASSERT_TRUE(engine.ok());
  auto a = AsyncFile::Create(Path("a"), 8192, *engine);
  auto b = AsyncFile::Create(Path("b"), 8192, *engine);
  engine->reset();
  ASSERT_TRUE(a.ok() && b.ok());
  Bytes x(8192, 1), y(8192, 2), read(8192, 3);
  Transfer to_a = (*a)->Write(x.all(), 0), to_b = (*b)->Write(y.all(), 0);
  ASSERT_TRUE(to_b.Wait().ok() && to_a.Wait().ok());
  a->reset();
  ASSERT_TRUE((*b)->Read(read.all(), 0).Wait().ok());
  EXPECT_TRUE(read == y);
}

TEST_P(AsyncFileTest, AFileShortenedWhileInUseIsADataError) {
  for (const int64_t left : {0, 4096, 5000, 1 << 20, (3 << 20) + 1}) {
    SCOPED_TRACE(left);
    auto file = Make("x", 4 << 20);
    Bytes bytes(4 << 20);
    ASSERT_TRUE(file->Write(bytes.all(), 0).Wait().ok());
    ASSERT_EQ(::truncate(Path("x").c_str(), left), 0);
    Transfer read = file->Read(bytes.all(), 0);
    const absl::Status status = read.Wait();
    EXPECT_EQ(ExitCodeOf(status), ExitCode::kData);
    EXPECT_EQ(read.Wait(), status);
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr(Path("x")), HasSubstr("1048576 bytes were to be read at offset"),
                      HasSubstr(" are there: the file was shortened while in use")));
    const absl::Status beyond = file->Read(bytes.part(0, 8192), 4 << 20).Wait();
    EXPECT_THAT(std::string(beyond.message()),
                HasSubstr("8192 bytes were to be read at offset 4194304, 0 are"));
  }
}

TEST_P(AsyncFileTest, LeftoversAreReplaced) {
  std::ofstream(Path("x")) << std::string(100000, 'z');
  auto file = Make("x", 4096);
  EXPECT_EQ(fs::file_size(Path("x")), 4096u);
  auto second = Make("x", 8192);  // another run took the name
  file.reset();
  EXPECT_TRUE(fs::exists(Path("x")));  // it is no longer the first one's to remove
}

TEST_P(AsyncFileTest, FoldersThatCannotBeUsed) {
  std::ofstream(Path("plain")) << "x";
  fs::create_directory(Path("taken"));
  struct Case {
    std::string name, reason, remedy;
  };
  for (const Case& c : {Case{"missing/x", "No such file or directory", "make the folder first"},
                        Case{"plain/x", "Not a directory", "make the folder first"},
                        Case{"taken", "Is a directory", "name another folder"}}) {
    const auto file = AsyncFile::Create(Path(c.name), 4096, GetParam());
    ASSERT_FALSE(file.ok());
    EXPECT_EQ(ExitCodeOf(file.status()), ExitCode::kEnvironment);
    EXPECT_THAT(std::string(file.status().message()),
                AllOf(HasSubstr(Path(c.name)), HasSubstr(c.reason), HasSubstr(c.remedy)));
  }
}

TEST_P(AsyncFileTest, AReadOnlyFolder) {
  fs::create_directory(Path("locked"));
  ASSERT_EQ(::chmod(Path("locked").c_str(), 0555), 0);
  if (::access(Path("locked").c_str(), W_OK) == 0) GTEST_SKIP() << "permissions do not bind this user";
  const auto file = AsyncFile::Create(Path("locked/x"), 4096, GetParam());
  EXPECT_EQ(ExitCodeOf(file.status()), ExitCode::kEnvironment);
  EXPECT_THAT(std::string(file.status().message()),
              AllOf(HasSubstr("Permission denied"), HasSubstr("that this user may write to")));
}

// A tmpfs of 1 MiB at `path`, where this process may mount one.
class SmallDisk {
 public:
  explicit SmallDisk(const std::string& path) : path_(path) {
    fs::create_directory(path);
    mounted_ = ::mount("none", path.c_str(), "tmpfs", 0, "size=1m") == 0;
  }
  ~SmallDisk() {
    if (mounted_) ::umount(path_.c_str());
  }
  bool mounted() const { return mounted_; }
  bool MakeReadOnly() {
    return ::mount("none", path_.c_str(), "tmpfs", MS_REMOUNT | MS_RDONLY, "size=1m") == 0;
  }

 private:
  std::string path_;
  bool mounted_ = false;
};

TEST_P(AsyncFileTest, AFullDiskIsToldAtTheStart) {
  const SmallDisk disk(Path("disk"));
  if (!disk.mounted()) GTEST_SKIP() << "this process may not mount";
  const auto file = AsyncFile::Create(Path("disk/x"), 3 << 20, GetParam());
  ASSERT_EQ(ExitCodeOf(file.status()), ExitCode::kEnvironment);
  EXPECT_THAT(std::string(file.status().message()),
              AllOf(HasSubstr("disk/x"), HasSubstr("3145728 bytes are wanted, the disk has 1048576 free"),
                    HasSubstr("free space there")));
  EXPECT_FALSE(fs::exists(Path("disk/x")));
  // What fits, fits; a write past the reservation meets the end of the disk.
  auto fits = AsyncFile::Create(Path("disk/y"), 1 << 19, GetParam());
  ASSERT_TRUE(fits.ok()) << fits.status();
  Bytes bytes(2 << 20);
  EXPECT_TRUE((*fits)->Write(bytes.part(0, 1 << 19), 0).Wait().ok());
  const absl::Status full = (*fits)->Write(bytes.all(), 0).Wait();
  EXPECT_EQ(ExitCodeOf(full), ExitCode::kEnvironment);
  EXPECT_THAT(std::string(full.message()), AllOf(HasSubstr("disk/y: writing"), HasSubstr("No space left")));
}

TEST_P(AsyncFileTest, AReadOnlyDisk) {
  SmallDisk disk(Path("disk"));
  if (!disk.mounted() || !disk.MakeReadOnly()) GTEST_SKIP() << "this process may not mount";
  const auto file = AsyncFile::Create(Path("disk/x"), 4096, GetParam());
  ASSERT_EQ(ExitCodeOf(file.status()), ExitCode::kEnvironment);
  EXPECT_THAT(std::string(file.status().message()),
              AllOf(HasSubstr("Read-only file system"), HasSubstr("that this user may write to")));
}

TEST_P(AsyncFileTest, ALimitOnFileSizes) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  auto small = Make("small", 1 << 16);
  Bytes bytes(1 << 20);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{1 << 16, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  const auto file = AsyncFile::Create(Path("x"), 1 << 20, GetParam());
  const absl::Status write = small->Write(bytes.part(0, 1 << 16), 1 << 16).Wait();
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  for (const absl::Status& status : {file.status(), write}) {
    EXPECT_EQ(ExitCodeOf(status), ExitCode::kEnvironment);
    EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("File too large"), HasSubstr("ulimit -f")));
  }
  EXPECT_FALSE(fs::exists(Path("x")));
}

TEST_P(AsyncFileTest, MoreFilesThanTheSoftLimitAllows) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit low{32, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
  auto engine = MakeTransferEngine(GetParam());
  std::vector<std::unique_ptr<AsyncFile>> files;
  for (int i = 0; i < 40; ++i) {
    auto file = AsyncFile::Create(Path(std::to_string(i)), 4096, *engine);
    EXPECT_TRUE(file.ok()) << file.status();
    if (file.ok()) files.push_back(*std::move(file));
  }
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
}

TEST(AsyncFile, NothingToTransferIsDone) {
  Transfer none;
  EXPECT_TRUE(none.Ready());
  EXPECT_TRUE(none.Wait().ok());
  const std::string path = ::testing::TempDir() + "/orthant_async_empty";
  auto file = AsyncFile::Create(path, 0);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_TRUE((*file)->Write({}, 0).Wait().ok());
  EXPECT_TRUE((*file)->Read({}, 0).Wait().ok());
}

// A container's rule: io_uring_setup is not permitted to the calling thread from here on.
bool ForbidRings() {
  sock_filter rule[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{std::size(rule), rule};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

TEST(AsyncFile, ThreadsServeWhereTheKernelRefusesARing) {
  bool forbidden = false;
  absl::Status ring;
  std::string engine;
  std::thread([&] {  // the rule is a thread's
    forbidden = ForbidRings();
    if (!forbidden) return;
    ring = MakeTransferEngine(Engine::kUring).status();
    const auto file = AsyncFile::Create(::testing::TempDir() + "/orthant_async_refused", 4096);
    engine = file.ok() ? (*file)->Describe() : std::string(file.status().message());
  })
      .join();
  if (!forbidden) GTEST_SKIP() << "this process may not set such a rule";
  EXPECT_EQ(ExitCodeOf(ring), ExitCode::kEnvironment);
  EXPECT_THAT(std::string(ring.message()), HasSubstr("threads do without it"));
  EXPECT_THAT(engine, StartsWith("threads"));
}

}  // namespace
}  // namespace orthant::testing

// GoogleTest under mpirun: every process runs every test; the failures of all are merged at the end of each
// test and printed by rank 0; a watchdog ends the job when a test hangs.
#include <gtest/gtest.h>
#include <mpi.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "ATen/Parallel.h"
#include "support/mpi_runtime.h"

namespace orthant::testing {
namespace {

// One program, one main thread: the runtime lives in main() and is found here.
MpiRuntime* g_runtime = nullptr;
Communicator* g_world = nullptr;

// Ends the job when a test takes too long.
class Watchdog {
 public:
  Watchdog() : thread_([this] { Watch(); }) {}
  ~Watchdog() {
    stop_.store(true);
    thread_.join();
  }
  void Start() { deadline_.store(Now() + kSeconds); }
  void Stop() { deadline_.store(0); }

 private:
  static constexpr int64_t kSeconds = 240;

  static int64_t Now() {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::seconds>(now).count();
  }
  void Watch() {
    while (!stop_.load()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      const int64_t deadline = deadline_.load();
      if (deadline != 0 && Now() > deadline) {
        AbortTests("the test hangs; its last operations:\n" + g_runtime->flight_recorder()->Dump(8));
      }
    }
  }

  std::atomic<int64_t> deadline_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

std::string FailuresOf(const ::testing::TestResult& result) {
  std::string text;
  for (int i = 0; i < result.total_part_count(); ++i) {
    const ::testing::TestPartResult& part = result.GetTestPartResult(i);
    if (!part.failed()) continue;
    text += std::string(part.file_name() == nullptr ? "?" : part.file_name()) + ":" +
            std::to_string(part.line_number()) + ": " + part.message() + "\n";
  }
  return text;
}

class Merge : public ::testing::EmptyTestEventListener {
 public:
  void OnTestStart(const ::testing::TestInfo&) override { watchdog_.Start(); }

  // Runs before the printer says OK or FAILED, so that rank 0's line tells of all ranks.
  void OnTestEnd(const ::testing::TestInfo& info) override {
    const std::string own = FailuresOf(*info.result());
    const int size = g_runtime->size();
    const int rank = g_runtime->rank();
    const int length = static_cast<int>(own.size());
    std::vector<int> lengths(size);
    // Processes that have nothing to do in a test wait here, asleep: the others want the cores.
    MPI_Request request = MPI_REQUEST_NULL;
    MPI_Iallgather(&length, 1, MPI_INT, lengths.data(), 1, MPI_INT, MPI_COMM_WORLD, &request);
    for (int complete = 0; complete == 0;) {
      MPI_Test(&request, &complete, MPI_STATUS_IGNORE);
      if (complete == 0) std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    watchdog_.Stop();
    int total = 0;
    std::vector<int> offsets(size);
    for (int i = 0; i < size; ++i) {
      offsets[i] = total;
      total += lengths[i];
    }
    if (total == 0) return;
    std::string all(static_cast<size_t>(total), ' ');
    MPI_Gatherv(own.data(), length, MPI_CHAR, all.data(), lengths.data(), offsets.data(), MPI_CHAR, 0,
                MPI_COMM_WORLD);
    for (int i = 0; i < size; ++i) {
      // Every process's result must be a failure, or their exit codes would differ. Rank 0 has printed its
      // own.
      if (lengths[i] == 0 || i == rank) continue;
      ADD_FAILURE() << "on process " << i << ":\n" << (rank == 0 ? all.substr(offsets[i], lengths[i]) : "");
    }
  }

 private:
  Watchdog watchdog_;
};

int RunTests(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  MpiOptions options;
  options.timeout_seconds = 120;
  // Lets the suite run with tiny MPI calls, as if every tensor had more than 2^31 elements.
  if (const char* count = std::getenv("ORTHANT_TEST_MPI_MAX_COUNT")) options.max_count = std::atoll(count);
  // Or pieces so small that every tensor takes many; several hosts of so many ranks; no shared memory.
  if (const char* bytes = std::getenv("ORTHANT_TEST_MPI_SLOT_BYTES")) {
    options.slot_bytes = std::atoll(bytes);
    options.reach_in = false;
  }
  if (const char* ranks = std::getenv("ORTHANT_TEST_MPI_RANKS_PER_HOST")) {
    options.host_name = [per_host = std::atoi(ranks)](int rank) {
      return "host" + std::to_string(rank / per_host);
    };
  }
  if (std::getenv("ORTHANT_TEST_MPI_STAGED") != nullptr) options.reach_in = false;
  options.shared_memory = std::getenv("ORTHANT_TEST_MPI_MESSAGES") == nullptr;
  auto runtime = MpiRuntime::Start(options);
  if (!runtime.ok()) {
    std::fprintf(stderr, "%s\n", runtime.status().ToString().c_str());
    return 3;
  }
  g_runtime = runtime->get();
  at::set_num_threads(1);
  const std::unique_ptr<Communicator> world = g_runtime->World();
  g_world = world.get();
  ::testing::TestEventListeners& listeners = ::testing::UnitTest::GetInstance()->listeners();
  if (g_runtime->rank() > 0) {  // rank 0 speaks for all, on the screen and in the results file
    delete listeners.Release(listeners.default_result_printer());
    delete listeners.Release(listeners.default_xml_generator());
  }
  Merge merge;
  listeners.Append(&merge);
  const int code = RUN_ALL_TESTS();
  listeners.Release(&merge);  // its thread ends before MPI does
  return code;
}

}  // namespace

MpiRuntime& TestRuntime() {
  return *g_runtime;
}
Communicator& TestWorld() {
  return *g_world;
}

void AbortTests(const std::string& text) {
  std::fprintf(stderr, "process %d of %d: %s\n", g_runtime->rank(), g_runtime->size(), text.c_str());
  g_runtime->Abort(1);
}

}  // namespace orthant::testing

int main(int argc, char** argv) {
  return orthant::testing::RunTests(argc, argv);
}

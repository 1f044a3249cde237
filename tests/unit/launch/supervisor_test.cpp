#include "orthant/launch/supervisor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "orthant/core/status.h"
#include "unit/data/folder.h"

namespace orthant::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::vector<std::string> Shell(const std::string& script) {
  return {"sh", "-c", script};
}

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// A supervised shell script with small times, and what was logged about it.
class SupervisorTest : public ::testing::Test {
 protected:
  int Run(const std::string& script, int restarts = 0) {
    options.command = Shell(script);
    return RunCommand(restarts);
  }
  int RunCommand(int restarts) {
    options.restarts = restarts;
    options.backoff_seconds = backoff;
    options.grace_seconds = grace;
    options.log = [this](const std::string& line) {
      log.push_back(line);
      lines = static_cast<int>(log.size());
    };
    const absl::StatusOr<int> code = Supervise(options);
    EXPECT_TRUE(code.ok()) << code.status();
    return code.value_or(-1);
  }
  // What the run's folder shows at the start and after each attempt; the last one stays.
  void Show(std::deque<RunProgress> states) {
    options.progress = [states]() mutable {
      const RunProgress now = states.front();
      if (states.size() > 1) states.pop_front();
      return now;
    };
  }
  std::string File(const std::string& name) const { return folder / name; }

  ~SupervisorTest() override {
    EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a child is left";
    EXPECT_EQ(errno, ECHILD);
  }

  Folder folder;
  SupervisorOptions options;
  std::vector<std::string> log;
  std::atomic<int> lines = 0;  // of it, for another thread
  double backoff = 0.001, grace = 0.3;
};

TEST(Restartable, WhatANewStartCanHeal) {
  for (const int code : {1, 4, 127, 134, 137, 143}) EXPECT_TRUE(Restartable(code)) << code;
  for (const int code : {0, 2, 3, 5, 6, 7}) EXPECT_FALSE(Restartable(code)) << code;
}

TEST_F(SupervisorTest, GoodEndsAreQuiet) {
  EXPECT_EQ(Run("exit 0", 3), 0);
  EXPECT_THAT(log, IsEmpty());
}

TEST_F(SupervisorTest, FailuresAreStartedAgainAndCounted) {
  EXPECT_EQ(Run("echo $ORTHANT_ATTEMPT >> " + File("attempts") + "; [ $ORTHANT_ATTEMPT = 2 ] || exit 4", 5),
            0);
  EXPECT_EQ(folder.Read("attempts"), "0\n1\n2\n");
  ASSERT_THAT(log, SizeIs(3));
  EXPECT_THAT(log[0], AllOf(HasSubstr("attempt 0 ended after"), HasSubstr(": exit code 4 (communication); "),
                            HasSubstr("restart 1 of 5 in 1 ms")));
  EXPECT_THAT(log[1], AllOf(HasSubstr("attempt 1 ended"), HasSubstr("restart 2 of 5 in 2 ms")));
  EXPECT_EQ(log[2], "attempt 2 is done");
}

TEST_F(SupervisorTest, WhatCannotBeHealedEndsAtOnce) {
  for (const int code : {2, 3, 5, 6, 7}) {
    log.clear();
    EXPECT_EQ(Run("exit " + std::to_string(code), 3), code);
    ASSERT_THAT(log, SizeIs(1)) << code;
    EXPECT_THAT(log[0], AllOf(HasSubstr("attempt 0 ended"), HasSubstr("; stopped: "))) << code;
  }
}

TEST_F(SupervisorTest, RestartsAreLimited) {
  EXPECT_EQ(Run("echo x >> " + File("attempts") + "; exit 1", 2), 1);
  EXPECT_EQ(folder.Read("attempts"), "x\nx\nx\n");
  EXPECT_THAT(log.back(), HasSubstr("stopped: all of its restarts (2) are used"));
}

TEST_F(SupervisorTest, SignalsOfTheCommandAreToldAndHealed) {
  EXPECT_EQ(Run("[ $ORTHANT_ATTEMPT = 0 ] && kill -9 $$; [ $ORTHANT_ATTEMPT = 1 ] && exit 137; exit 0", 3),
            0);
  ASSERT_THAT(log, SizeIs(3));
  EXPECT_THAT(log[0], HasSubstr(": SIGKILL; "));
  EXPECT_THAT(log[1], HasSubstr(": exit code 137 (SIGKILL in a process below it); "));
  EXPECT_EQ(Run("kill -9 $$"), 137);
}

TEST_F(SupervisorTest, BackOffDoublesUpToTheMost) {
  backoff = 0.02;
  options.most_backoff_seconds = 0.05;
  const double began = Now();
  EXPECT_EQ(Run("exit 1", 4), 1);
  EXPECT_GE(Now() - began, 0.02 + 0.04 + 0.05 + 0.05);
  EXPECT_THAT(log[1], HasSubstr("restart 2 of 4 in 40 ms"));
  EXPECT_THAT(log[2], HasSubstr("restart 3 of 4 in 50 ms"));
}

TEST_F(SupervisorTest, AFailureAtTheSameStepStops) {
  Show({{0, -1, ""}, {7, 5, "rank 3 is dead\nmore"}, {7, 5, "rank 3 is dead\nmore"}});
  EXPECT_EQ(Run("exit $((4 - 3 * ORTHANT_ATTEMPT))", 9), 1);
  ASSERT_THAT(log, SizeIs(2));
  EXPECT_THAT(log[0], AllOf(HasSubstr("exit code 4 (communication), at step 7; verdict: rank 3 is dead; "),
                            HasSubstr("from the checkpoint of step 5")));
  EXPECT_THAT(
      log[1],
      AllOf(HasSubstr("exit code 1, at step 7; verdict: rank 3 is dead; stopped: it failed at the same step"),
            HasSubstr("as attempt 0, which ended with exit code 4 (communication)")));
}

TEST_F(SupervisorTest, ANewerCheckpointOrAFurtherStepIsProgress) {
  Show({{0, -1, ""}, {7, -1, ""}, {7, 5, ""}, {8, 5, ""}, {6, 5, ""}});
  EXPECT_EQ(Run("exit 1", 9), 1);
  ASSERT_THAT(log, SizeIs(4));
  EXPECT_THAT(log[0], HasSubstr(", from the beginning"));
  EXPECT_THAT(log[3], HasSubstr("stopped: it failed no further than attempt 2, which got to step 8"));
}

TEST_F(SupervisorTest, DeadRanksWithAVerdictAreACommunicationError) {
  Show({{0, -1, ""}, {3, -1, "rank 1 is dead"}});
  EXPECT_EQ(Run("exit 137"), 4);
  EXPECT_EQ(Run("kill -TERM $$"), 4);
  EXPECT_EQ(Run("exit 1"), 1);
  Show({{0, -1, ""}});
  EXPECT_EQ(Run("exit 137"), 137);
}

TEST_F(SupervisorTest, WithoutProgressTheCommandShrinks) {
  Show({{0, -1, ""}, {0, -1, ""}});
  options.shrink = [](const std::vector<std::string>& command) {
    const int ranks = std::stoi(command[3]);
    return ranks > 1 ? std::vector<std::string>{command[0], command[1], command[2], std::to_string(ranks / 2)}
                     : std::vector<std::string>{};
  };
  options.command = {"sh", "-c", "echo $0 >> " + File("ranks") + "; exit 1", "4"};
  EXPECT_EQ(RunCommand(9), 1);
  EXPECT_EQ(folder.Read("ranks"), "4\n2\n1\n");
  EXPECT_THAT(log.back(), HasSubstr("; the command cannot use fewer ranks"));
}

TEST_F(SupervisorTest, WithProgressTheCommandStays) {
  Show({{0, -1, ""}, {3, -1, ""}, {6, -1, ""}, {9, -1, ""}});
  options.shrink = [](const std::vector<std::string>&) { return Shell("exit 2"); };
  EXPECT_EQ(Run("exit 1", 2), 1);
}

TEST_F(SupervisorTest, SignalsArePassedOnAndEndTheSupervision) {
  for (const auto& [name, signal] : {std::pair{"TERM", SIGTERM}, {"USR1", SIGUSR1}, {"INT", SIGINT}}) {
    log.clear();
    const std::string script =
        std::string("trap 'exit 7' ") + name + "; kill -" + name + " $PPID; while true; do sleep 0.01; done";
    EXPECT_EQ(Run(script, 3), 7) << name;
    EXPECT_THAT(log, ElementsAre(HasSubstr("stopped: SIG" + std::string(name) + " was passed on to it")));
  }
  EXPECT_EQ(Run("trap 'exit 1' TERM; kill -TERM $PPID; while true; do sleep 0.01; done", 3), 1)
      << "even where a new start could heal";
}

TEST_F(SupervisorTest, ALauncherMayGetAnotherSignalThanSigterm) {
  options.stop_signal = SIGUSR1;
  EXPECT_EQ(Run("trap 'exit 7' USR1; trap 'exit 8' TERM; kill -TERM $PPID; while true; do sleep 0.01; done"),
            7);
}

TEST_F(SupervisorTest, AfterTheGracePeriodTheWholeGroupGetsTheSignal) {
  const double began = Now();
  // The shell waits for a child that alone obeys.
  EXPECT_EQ(
      Run("trap '' TERM; (trap 'exit 9' TERM; while true; do sleep 0.01; done) & kill -TERM $PPID; wait $!"),
      9);
  EXPECT_GE(Now() - began, 0.3);
}

TEST_F(SupervisorTest, TheThirdInterruptKills) {
  grace = 30.0;
  const double began = Now();
  EXPECT_EQ(Run("trap '' INT TERM; for i in 1 2 3; do kill -INT $PPID; sleep 0.2; done; sleep 20"), 137);
  EXPECT_LT(Now() - began, 10.0);
}

TEST_F(SupervisorTest, ASignalDuringBackOffEndsWithTheLastExitCode) {
  backoff = 20.0;
  const double began = Now();
  // A process that sends the signal would be ended with the attempt: so a thread does.
  const pid_t self = ::getpid();
  std::thread sender([&] {
    sigset_t all;
    sigfillset(&all);
    ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
    while (lines == 0) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    ::kill(self, SIGTERM);
  });
  EXPECT_EQ(Run("exit 4", 3), 4);
  sender.join();
  EXPECT_LT(Now() - began, 10.0);
  EXPECT_EQ(log.back(), "stopped: SIGTERM came before the next attempt");
}

TEST_F(SupervisorTest, NothingOfAFailedAttemptIsLeftRunning) {
  // In another group, as mpirun's ranks are; one obeys, one has to be killed.
  const std::string script = "setsid sh -c 'echo $$ > " + File("one") + "; exec sleep 60' & " +
                             "setsid sh -c 'trap \"\" TERM; echo $$ > " + File("two") +
                             "; while true; do sleep 0.05; done' & " + "while [ ! -s " + File("two") +
                             " ] || [ ! -s " + File("one") + " ]; do sleep 0.01; done; kill -9 $$";
  EXPECT_EQ(Run(script), 137);
  for (const char* name : {"one", "two"}) {
    EXPECT_EQ(::kill(std::stoi(folder.Read(name)), 0), -1) << name;
    EXPECT_EQ(errno, ESRCH) << name;
  }
  EXPECT_THAT(log[0], HasSubstr("; what it left running was ended (processes: "));
}

TEST_F(SupervisorTest, TheCommandEndsWithTheSupervisor) {
  const std::string script = "echo $$ > " + File("id") + "; exec sleep 60";
  const pid_t supervisor = ::fork();
  if (supervisor == 0) {
    options.command = Shell(script);
    options.log = [](const std::string&) {};
    ::_exit(Supervise(options).ok() ? 0 : 1);
  }
  while (!folder.Has("id") || folder.Read("id").empty()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  const pid_t child = std::stoi(folder.Read("id"));
  EXPECT_EQ(::kill(child, 0), 0);
  ::kill(supervisor, SIGKILL);
  ::waitpid(supervisor, nullptr, 0);
  const double began = Now();
  const auto runs = [&] {  // an orphan that init has not noticed yet has ended too
    std::ifstream file("/proc/" + std::to_string(child) + "/stat");
    std::string id, name, state;
    return static_cast<bool>(file >> id >> name >> state) && state != "Z" && state != "X";
  };
  while (runs() && Now() - began < 10.0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_FALSE(runs());
}

TEST_F(SupervisorTest, TheCommandsEnvironmentIsAddedTo) {
  options.environment = {"ORTHANT_TEST_ADDED=yes"};
  ::setenv("ORTHANT_TEST_KEPT", "kept", 1);
  EXPECT_EQ(Run("[ \"$ORTHANT_TEST_ADDED$ORTHANT_TEST_KEPT\" = yeskept ] && ! read line"), 0);
  ::unsetenv("ORTHANT_TEST_KEPT");
}

TEST_F(SupervisorTest, SignalsAreAsBeforeAfterwards) {
  sigset_t before, after;
  ::pthread_sigmask(SIG_BLOCK, nullptr, &before);
  EXPECT_EQ(Run("exit 0"), 0);
  ::pthread_sigmask(SIG_BLOCK, nullptr, &after);
  for (const int signal : {SIGTERM, SIGINT, SIGUSR1, SIGCHLD}) {
    EXPECT_EQ(sigismember(&before, signal), sigismember(&after, signal)) << signal;
  }
}

TEST_F(SupervisorTest, WhatCannotBeStartedIsAnEnvironmentError) {
  options.command = {"no-such-program-here"};
  options.restarts = 3;
  options.log = [this](const std::string& line) { log.push_back(line); };
  const absl::Status status = Supervise(options).status();
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kEnvironment);
  EXPECT_EQ(status.message(), "no-such-program-here: cannot be started: No such file or directory");
  options.command.clear();
  EXPECT_EQ(ExitCodeOf(Supervise(options).status()), ExitCode::kConfiguration);
}

}  // namespace
}  // namespace orthant::testing

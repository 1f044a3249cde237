#include "orthant/launch/host_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "orthant/core/status.h"

namespace orthant::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

std::vector<std::string> Expand(const std::string& text) {
  const auto names = ExpandHostList(text);
  EXPECT_TRUE(names.ok()) << names.status();
  return names.value_or(std::vector<std::string>());
}

TEST(ExpandHostList, ReadsWhatSlurmWrites) {
  EXPECT_THAT(Expand("n[001-003,7],m2"), ElementsAre("n001", "n002", "n003", "n7", "m2"));
  EXPECT_THAT(Expand("login"), ElementsAre("login"));
  EXPECT_THAT(Expand("nid[001008-001010]"), ElementsAre("nid001008", "nid001009", "nid001010"));
  EXPECT_THAT(Expand("n[8-11]"), ElementsAre("n8", "n9", "n10", "n11"))
      << "the width of the first number, or more";
  EXPECT_THAT(Expand("n[08-11]-ib"), ElementsAre("n08-ib", "n09-ib", "n10-ib", "n11-ib"));
  EXPECT_THAT(Expand("r[1-2]n[1,3]"), ElementsAre("r1n1", "r1n3", "r2n1", "r2n3"));
  EXPECT_THAT(Expand("a1,b[2],c-3.x.org"), ElementsAre("a1", "b2", "c-3.x.org"));
  EXPECT_THAT(Expand("f[0-9407]"), SizeIs(9408));
}

TEST(ExpandHostList, SaysWhatItCannotRead) {
  for (const char* text :
       {"", "n[1-", "n1]", "n[3-1]", "n[a-b]", "n[]", "n1,,n2", "n[1-2", "n[1-99999999]"}) {
    const auto names = ExpandHostList(text);
    ASSERT_FALSE(names.ok()) << text;
    EXPECT_EQ(ExitCodeOf(names.status()), ExitCode::kConfiguration);
    EXPECT_THAT(std::string(names.status().message()), HasSubstr("host list '" + std::string(text) + "': "))
        << text;
  }
}

std::vector<Host> Parse(const std::string& text) {
  const auto hosts = ParseHostFile(text, "hosts");
  EXPECT_TRUE(hosts.ok()) << hosts.status();
  return hosts.value_or(std::vector<Host>());
}

TEST(ParseHostFile, ReadsEachForm) {
  EXPECT_THAT(Parse("# two hosts\nn1\n\n  n2   # the second\n"), ElementsAre(Host{"n1", 0}, Host{"n2", 0}));
  EXPECT_THAT(Parse("n1 slots=4 max_slots=8\nn2 slots=2"), ElementsAre(Host{"n1", 4}, Host{"n2", 2}));
  EXPECT_THAT(Parse("n1:4\nn2:4\n"), ElementsAre(Host{"n1", 4}, Host{"n2", 4}));
  EXPECT_THAT(Parse("n1\nn1\nn2\nn2\n"), ElementsAre(Host{"n1", 2}, Host{"n2", 2})) << "as PBS writes it";
}

TEST(ParseHostFile, SaysTheLine) {
  EXPECT_EQ(ParseHostFile("n1\nn2 slots=0\n", "hosts").status().message(),
            "hosts:2: 'n2 slots=0' is not a host; a line is NAME, NAME slots=4 or NAME:4");
  EXPECT_FALSE(ParseHostFile("n1:x", "hosts").ok());
  EXPECT_EQ(ParseHostFile("# nobody\n", "hosts").status().message(),
            "hosts: holds no host; a line is NAME or NAME slots=4");
}

TEST(HostsInWords, LeavesOutTheMiddle) {
  EXPECT_EQ(HostsInWords({"a", "b"}), "a, b");
  EXPECT_EQ(HostsInWords(Expand("n[1-9]")), "n1, n2, n3, n4, n5, n6, n7 ... n9");
}

}  // namespace
}  // namespace orthant::testing

// PNGs by a browser, played by shell scripts.
#include "orthant/report/browser.h"

#include <filesystem>

#include "gmock/gmock.h"
#include "orthant/core/status.h"
#include "unit/report/run_folder.h"

namespace orthant::testing {
namespace {

using ::testing::HasSubstr;

class BrowserTest : public RunFolderFixture {
 protected:
  Browser Script(const std::string& commands) {
    const std::string path = Write("browser", "#!/bin/sh\n" + commands + "\n");
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
    return {path, false, 0.5};
  }
  absl::Status Png(const Browser& browser) {
    return WritePng(browser, "<svg></svg>", 10, 10, 3, root_ + "/picture.png");
  }
};

TEST_F(BrowserTest, ThePictureIsWhatThePageWasLeftWith) {
  ASSERT_TRUE(Png(Script("echo '<body>data:image/png;base64,cGl4ZWxz</body>'")).ok());
  std::ifstream file(root_ + "/picture.png");
  std::string text;
  file >> text;
  EXPECT_EQ(text, "pixels");
}

TEST_F(BrowserTest, OneThatHangsIsEnded) {
  const absl::Status status = Png(Script("exec sleep 600"));
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kEnvironment);
  EXPECT_THAT(std::string(status.message()), HasSubstr("hangs: no picture"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("after 0.5 s"));
}

TEST_F(BrowserTest, OneThatFailsIsQuoted) {
  const absl::Status status = Png(Script("echo no display; exit 1"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("(exit code 1): no display"));
}

}  // namespace
}  // namespace orthant::testing

#include "orthant/report/browser.h"

#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "orthant/core/file.h"
#include "orthant/core/status.h"
#include "orthant/core/subprocess.h"

namespace orthant {
namespace {

namespace fs = std::filesystem;

// Debian, Fedora and openSUSE; Google; Mozilla.
constexpr const char* kPrograms[] = {"chromium", "chromium-browser", "google-chrome", "google-chrome-stable",
                                     "firefox"};

bool OnPath(const std::string& program) {
  if (absl::StrContains(program, '/')) return access(program.c_str(), X_OK) == 0;
  const char* path = std::getenv("PATH");
  const std::vector<std::string> folders =
      absl::StrSplit(path == nullptr ? "" : path, ':', absl::SkipEmpty());
  for (const std::string& folder : folders) {
    if (access(absl::StrCat(folder, "/", program).c_str(), X_OK) == 0) return true;
  }
  return false;
}

absl::Status NoPicture(const std::string& program, const std::string& png, int exit_code,
                       const std::string& output) {
  const std::string words = output.substr(output.size() - std::min<size_t>(output.size(), 600));
  return EnvironmentError(
      absl::StrCat(program, " made no picture ", png, " (exit code ", exit_code, "): ", words));
}

// A folder for a browser's profile, gone at the end of the scope.
class Profile {
 public:
  Profile() {
    std::string name = (fs::temp_directory_path() / "orthant-browser-XXXXXX").string();
    if (mkdtemp(name.data()) != nullptr) path_ = name;
  }
  ~Profile() {
    std::error_code error;
    if (!path_.empty()) fs::remove_all(path_, error);
  }
  Profile(const Profile&) = delete;
  Profile& operator=(const Profile&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Draws the picture to scale and leaves it in the page as a data URL: a window's size, and what of it a
// browser's own frame takes, does not matter then.
constexpr const char* kDraw = R"(
<script>
const svg = document.querySelector("svg");
svg.setAttribute("data-theme", "light");
const image = new Image();
image.onload = () => {
  const canvas = document.createElement("canvas");
  canvas.width = WIDTH * SCALE;
  canvas.height = HEIGHT * SCALE;
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  document.body.textContent = canvas.toDataURL("image/png");
};
image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(new XMLSerializer().serializeToString(svg));
</script>
)";
constexpr const char* kDataUrl = "data:image/png;base64,";
constexpr size_t kMostOutput = size_t{1} << 28;

std::string PageOf(const std::string& svg, const std::string& script) {
  return absl::StrCat(
      "<!DOCTYPE html>\n<html data-theme=\"light\"><meta "
      "charset=\"utf-8\"><style>body{margin:0}svg{display:block}"
      "</style>\n<body>",
      svg, script, "</body></html>\n");
}

// -> what the browser printed; EnvironmentError when it failed.
absl::StatusOr<std::string> RunBrowser(const Browser& browser, const std::vector<std::string>& line,
                                       const std::string& png) {
  SubprocessOptions options;
  options.tail_bytes = kMostOutput;
  options.seconds = browser.seconds;
  const absl::StatusOr<SubprocessResult> result = RunProgram(line, options);
  if (!result.ok()) return result.status();
  if (result->too_long) {
    return EnvironmentError(absl::StrCat(
        line.front(), " hangs: no picture ", png, " after ", browser.seconds,
        " s, so it was ended; does it run by itself here? ORTHANT_BROWSER names another, --svg needs none"));
  }
  if (result->exit_code == 0) return result->output;
  return NoPicture(line.front(), png, result->exit_code, result->output);
}

absl::Status ByChromium(const Browser& browser, const std::string& folder, const std::string& page,
                        const std::string& png) {
  std::vector<std::string> line = {browser.program,
                                   "--headless=new",
                                   "--disable-gpu",
                                   "--disable-dev-shm-usage",
                                   "--dump-dom",
                                   "--virtual-time-budget=10000",
                                   "--user-data-dir=" + folder};
  if (geteuid() == 0) line.push_back("--no-sandbox");  // chromium refuses root otherwise; the page is our own
  line.push_back("file://" + page);
  const absl::StatusOr<std::string> printed = RunBrowser(browser, line, png);
  if (!printed.ok()) return printed.status();
  const size_t begin = printed->find(kDataUrl);
  if (begin == std::string::npos) return NoPicture(browser.program, png, 0, *printed);
  const size_t from = begin + std::strlen(kDataUrl);
  std::string bytes;
  if (!absl::Base64Unescape(printed->substr(from, printed->find('<', from) - from), &bytes))
    return NoPicture(browser.program, png, 0, "its data URL is damaged");
  return WriteFileAtomically(png, bytes);
}

absl::Status ByFirefox(const Browser& browser, const std::string& folder, const std::string& page,
                       const std::string& png, const std::string& size) {
  std::error_code error;
  fs::remove(png, error);
  const absl::StatusOr<std::string> printed =
      RunBrowser(browser,
                 {browser.program, "--headless", "--no-remote", "--profile", folder, "--window-size", size,
                  "--screenshot", fs::absolute(png, error).string(), "file://" + page},
                 png);
  if (!printed.ok()) return printed.status();
  return FileExists(png) ? absl::OkStatus() : NoPicture(browser.program, png, 0, *printed);
}

}  // namespace

absl::StatusOr<Browser> FindBrowser() {
  const char* chosen = std::getenv("ORTHANT_BROWSER");
  if (chosen != nullptr && *chosen != '\0') {
    if (!OnPath(chosen))
      return EnvironmentError(absl::StrCat("ORTHANT_BROWSER = ", chosen, " is no program that can be run"));
    return Browser{chosen, absl::StrContains(fs::path(chosen).filename().string(), "firefox")};
  }
  for (const char* program : kPrograms) {
    if (OnPath(program)) return Browser{program, absl::StrContains(program, "firefox")};
  }
  return EnvironmentError(
      "PNGs are made by a web browser without a window, and none is on PATH: install chromium (Debian: "
      "apt-get "
      "install chromium), google-chrome or firefox, or name one in ORTHANT_BROWSER; --svg FOLDER needs none");
}

absl::Status WritePng(const Browser& browser, const std::string& svg, int width, int height, int scale,
                      const std::string& png) {
  const Profile profile;
  if (profile.path().empty()) return EnvironmentError("no temporary folder could be made for the browser");
  const std::string script = absl::StrReplaceAll(
      kDraw,
      {{"WIDTH", absl::StrCat(width)}, {"HEIGHT", absl::StrCat(height)}, {"SCALE", absl::StrCat(scale)}});
  const std::string page = profile.path() + "/picture.html";
  const std::string html = PageOf(svg, browser.firefox ? "" : script);
  if (absl::Status written = WriteFileAtomically(page, html); !written.ok()) return written;
  if (browser.firefox) return ByFirefox(browser, profile.path(), page, png, absl::StrCat(width, ",", height));
  return ByChromium(browser, profile.path(), page, png);
}

}  // namespace orthant

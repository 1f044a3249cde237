// A web browser without a window, to make PNGs of pictures: chromium, google-chrome or firefox.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace orthant {

struct Browser {
  std::string program;  // on PATH, or a path
  bool firefox = false;
  double seconds = 60;  // for a picture, which takes one or two; one that hangs is ended then
};

// $ORTHANT_BROWSER, else the first on PATH. EnvironmentError, which says what to install, when there is none.
absl::StatusOr<Browser> FindBrowser();

// Writes `svg`, a picture of `width` x `height` units, as a PNG on white ground; a unit is `scale` pixels
// wide (firefox: one). EnvironmentError, with the browser's last words, when no picture came of it.
absl::Status WritePng(const Browser& browser, const std::string& svg, int width, int height, int scale,
                      const std::string& png);

}  // namespace orthant

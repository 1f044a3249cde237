#include "cli/picture_files.h"

#include <ostream>

#include "absl/strings/str_cat.h"
#include "orthant/core/file.h"

namespace orthant {

absl::Status WriteSvgs(const std::vector<Picture>& pictures, const std::string& folder, std::ostream& said) {
  if (absl::Status made = MakeDirectories(folder); !made.ok()) return made;
  for (const Picture& picture : pictures) {
    const std::string path = absl::StrCat(folder, "/", picture.name, ".svg");
    if (absl::Status written = WriteFileAtomically(path, picture.svg); !written.ok()) return written;
    said << "wrote " << path << "\n";
  }
  return absl::OkStatus();
}

}  // namespace orthant

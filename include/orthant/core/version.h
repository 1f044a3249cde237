// The version of Orthant, as CMakeLists.txt has it: for --version and for the files that say what wrote them.
#pragma once

namespace orthant {

inline constexpr char kOrthantVersion[] = "0.1.0";

}  // namespace orthant

// Text from a run inside HTML, SVG and script elements: nothing in it can become markup.
#pragma once

#include <string>
#include <string_view>

#include "nlohmann/json_fwd.hpp"

namespace orthant {

// For element content and quoted attributes, of HTML and of XML: & < > " ' become entities; what is no UTF-8,
// and control characters that XML forbids, become U+FFFD.
std::string Escape(std::string_view text);

// JSON that can stand in <script type="application/json">: no "<" in it. Numbers that are not finite are
// null.
std::string ScriptJson(const nlohmann::ordered_json& value);

// A number for an SVG attribute: at most two decimals.
std::string SvgNumber(double value);

// Lower-case letters, digits and '-': usable as an id, a class or a file's name.
std::string Slug(std::string_view text);

}  // namespace orthant

// The page's hand-written parts, src/report/page/*, which CMake puts into the program
// (cmake/OrthantEmbed.cmake).
#pragma once

#include <string>

namespace orthant {

std::string PlotStyle();   // page/plot.css: of pictures, on the page and in files
std::string PageStyle();   // page/page.css
std::string PageScript();  // page/page.js

}  // namespace orthant

#include "orthant/report/svg.h"

#include "absl/strings/str_cat.h"
#include "orthant/report/markup.h"
#include "report/page_files.h"

namespace orthant {
namespace {

std::string Class(const std::string& classes) {
  return classes.empty() ? "" : absl::StrCat(" class=\"", Escape(classes), "\"");
}

// The end of an element that may hold a tooltip.
std::string End(const std::string& element, const std::string& tooltip) {
  if (tooltip.empty()) return "/>\n";
  return absl::StrCat("><title>", Escape(tooltip), "</title></", element, ">\n");
}

std::string LookClass(const char* letter, int look) {
  if (look == kIdeal) return "ideal";
  return absl::StrCat(letter, look % 8, look % kLooks < 8 ? "" : " again");
}

}  // namespace

std::string LineClass(int look) {
  return absl::StrCat("line ", LookClass("s", look));
}

std::string DotClass(int look) {
  return absl::StrCat("dot ", LookClass("f", look));
}

Svg::Svg(double width, double height, const std::string& label)
    : width_(width), height_(height), label_(label) {}

void Svg::Line(double x1, double y1, double x2, double y2, const std::string& classes) {
  absl::StrAppend(&body_, "<line", Class(classes), " x1=\"", SvgNumber(x1), "\" y1=\"", SvgNumber(y1),
                  "\" x2=\"", SvgNumber(x2), "\" y2=\"", SvgNumber(y2), "\"/>\n");
}

void Svg::Rect(double x, double y, double width, double height, const std::string& classes,
               const std::string& tooltip) {
  absl::StrAppend(&body_, "<rect", Class(classes), " x=\"", SvgNumber(x), "\" y=\"", SvgNumber(y),
                  "\" width=\"", SvgNumber(width), "\" height=\"", SvgNumber(height), "\"",
                  End("rect", tooltip));
}

void Svg::Circle(double x, double y, double radius, const std::string& classes, const std::string& tooltip) {
  absl::StrAppend(&body_, "<circle", Class(classes), " cx=\"", SvgNumber(x), "\" cy=\"", SvgNumber(y),
                  "\" r=\"", SvgNumber(radius), "\"", End("circle", tooltip));
}

void Svg::Path(const std::string& path, const std::string& classes, const std::string& attributes) {
  absl::StrAppend(&body_, "<path", Class(classes), attributes.empty() ? "" : " ", attributes, " d=\"", path,
                  "\"/>\n");
}

void Svg::Text(double x, double y, const std::string& text, const std::string& classes,
               const std::string& anchor) {
  absl::StrAppend(&body_, "<text", Class(classes), " x=\"", SvgNumber(x), "\" y=\"", SvgNumber(y),
                  "\" text-anchor=\"", anchor, "\">", Escape(text), "</text>\n");
}

void Svg::TurnedText(double x, double y, const std::string& text, const std::string& classes) {
  absl::StrAppend(&body_, "<text", Class(classes), " transform=\"translate(", SvgNumber(x), " ", SvgNumber(y),
                  ") rotate(-90)\" text-anchor=\"middle\">", Escape(text), "</text>\n");
}

void Svg::Open(const std::string& classes) {
  absl::StrAppend(&body_, "<g", Class(classes), ">\n");
}

void Svg::Close() {
  body_ += "</g>\n";
}

std::string Svg::Head(const std::string& attributes) const {
  return absl::StrCat("<svg class=\"plot\" ", attributes, "viewBox=\"0 0 ", SvgNumber(width_), " ",
                      SvgNumber(height_), "\" role=\"img\" aria-label=\"", Escape(label_), "\">\n");
}

std::string Svg::Inline() const {
  return absl::StrCat(Head(""), body_, "</svg>\n");
}

std::string Svg::File() const {
  return absl::StrCat(Head(absl::StrCat("xmlns=\"http://www.w3.org/2000/svg\" width=\"", SvgNumber(width_),
                                        "\" height=\"", SvgNumber(height_), "\" ")),
                      "<style>\n", PlotStyle(), "</style>\n<rect class=\"ground\" width=\"",
                      SvgNumber(width_), "\" height=\"", SvgNumber(height_), "\"/>\n", body_, "</svg>\n");
}

}  // namespace orthant

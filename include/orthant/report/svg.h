// Svg: one picture as SVG text. Classes, not colours, say how a thing looks (src/report/page/plot.css), so
// that one picture serves light and dark pages, print and a file of its own.
#pragma once

#include <string>

namespace orthant {

// Looks that can be told apart: eight colours, each with a dash; eight more have the same ones with thick
// lines and hollow dots. kIdeal is for what is no data: grey.
inline constexpr int kLooks = 16;
inline constexpr int kIdeal = kLooks;
std::string LineClass(int look);
std::string DotClass(int look);

// One owner thread. Coordinates in units of the picture's size; texts are escaped here.
class Svg {
 public:
  // `label`: what a screen reader says of the picture.
  Svg(double width, double height, const std::string& label);

  void Line(double x1, double y1, double x2, double y2, const std::string& classes);
  void Rect(double x, double y, double width, double height, const std::string& classes,
            const std::string& tooltip = "");
  void Circle(double x, double y, double radius, const std::string& classes, const std::string& tooltip = "");
  // `path`: as the attribute d.
  void Path(const std::string& path, const std::string& classes, const std::string& attributes = "");
  // anchor: "start", "middle" or "end".
  void Text(double x, double y, const std::string& text, const std::string& classes,
            const std::string& anchor = "start");
  // Counter-clockwise by a quarter turn around its middle.
  void TurnedText(double x, double y, const std::string& text, const std::string& classes);
  void Open(const std::string& classes);
  void Close();

  // For a page, whose style applies.
  std::string Inline() const;
  // A file: with its own style and a background.
  std::string File() const;

 private:
  std::string Head(const std::string& attributes) const;

  double width_, height_;
  std::string label_, body_;
};

}  // namespace orthant

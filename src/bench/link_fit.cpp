#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "orthant/bench/link_file.h"

namespace orthant {
namespace {

constexpr double kGoodEnough = 0.10;
constexpr int kMostPieces = 3;

double ErrorAt(const LinkPiece& piece, const LinkPoint& point) {
  const double formula = piece.latency + static_cast<double>(point.bytes) * piece.seconds_per_byte;
  return std::abs(formula / point.seconds - 1.0);
}

// The line that is least wrong in squares of relative errors: with x = bytes / t and y = 1 / t, minimises
// (latency y + slope x - 1)^2 over both from 0 up.
LinkPiece Line(const LinkPoint* begin, const LinkPoint* end) {
  double yy = 0, xy = 0, xx = 0, y1 = 0, x1 = 0;
  for (const LinkPoint* p = begin; p != end; ++p) {
    const double y = 1.0 / p->seconds, x = static_cast<double>(p->bytes) / p->seconds;
    yy += y * y, xy += x * y, xx += x * x, y1 += y, x1 += x;
  }
  LinkPiece piece;
  const double determinant = yy * xx - xy * xy;
  if (determinant > 1e-12 * yy * xx) {
    piece.latency = (y1 * xx - x1 * xy) / determinant;
    piece.seconds_per_byte = (x1 * yy - y1 * xy) / determinant;
  } else {
    piece.latency = -1;  // one size: no slope can be told
  }
  // Where the minimum is outside, it is on an edge.
  if (piece.latency < 0 && xx > 0 && determinant > 1e-12 * yy * xx) {
    piece.latency = 0;
    piece.seconds_per_byte = x1 / xx;
  } else if (piece.latency < 0 || piece.seconds_per_byte < 0) {
    piece.latency = y1 / yy;
    piece.seconds_per_byte = 0;
  }
  return piece;
}

// The best split of points [0, n) into `pieces`: the least worst error over the pieces' own points.
struct Split {
  double worst = std::numeric_limits<double>::infinity();
  std::vector<LinkPiece> pieces;
};

Split BestSplit(const std::vector<LinkPoint>& points, size_t n, int pieces) {
  Split best;
  const auto last_piece = [&](size_t begin, double* worst) {
    LinkPiece piece = Line(&points[begin], points.data() + n);
    piece.up_to = points[n - 1].bytes;
    for (size_t i = begin; i < n; ++i) *worst = std::max(*worst, ErrorAt(piece, points[i]));
    return piece;
  };
  if (pieces == 1) {
    best.worst = 0;
    best.pieces.push_back(last_piece(0, &best.worst));
    return best;
  }
  for (size_t begin = 2 * (static_cast<size_t>(pieces) - 1); begin + 2 <= n; ++begin) {
    Split split = BestSplit(points, begin, pieces - 1);
    const LinkPiece piece = last_piece(begin, &split.worst);
    if (split.worst >= best.worst) continue;
    split.pieces.push_back(piece);
    best = std::move(split);
  }
  return best;
}

}  // namespace

std::vector<LinkPiece> FitPieces(const std::vector<LinkPoint>& points) {
  if (points.empty()) return {};
  Split best = BestSplit(points, points.size(), 1);
  for (int pieces = 2; pieces <= kMostPieces && best.worst > kGoodEnough; ++pieces) {
    Split more = BestSplit(points, points.size(), pieces);
    if (more.worst < best.worst) best = std::move(more);
  }
  best.pieces.back().up_to = LinkPiece().up_to;
  return best.pieces;
}

void Fit(LinkCurve* curve) {
  curve->pieces = FitPieces(curve->points);
  curve->worst_error = 0;
  for (const LinkPoint& point : curve->points) {
    curve->worst_error =
        std::max(curve->worst_error, std::abs(curve->Seconds(point.bytes) / point.seconds - 1.0));
  }
}

double LinkCurve::Seconds(int64_t bytes) const {
  for (const LinkPiece& piece : pieces) {
    if (bytes <= piece.up_to) return piece.latency + static_cast<double>(bytes) * piece.seconds_per_byte;
  }
  return 0.0;
}

const LinkAxis* LinkFile::Find(const std::string& axis) const {
  for (const LinkAxis& measured : axes) {
    if (measured.axis == axis) return &measured;
  }
  return nullptr;
}

}  // namespace orthant

// The plots of runs, by name: what the page shows and what `orthant report --svg` and `--png` write.
#pragma once

#include <string>
#include <vector>

#include "orthant/report/bars.h"
#include "orthant/report/line_plot.h"
#include "orthant/report/run_data.h"
#include "orthant/report/span_chart.h"

namespace orthant {

// A curve that every run may have, and where it comes from.
struct Curve {
  const char* name;    // of the file and of the element: "loss"
  const char* column;  // of metrics.jsonl
  const char* title;
  const char* y_label;
  Quantity quantity;
  bool from_zero;
  bool evaluated;  // it is there after evaluations alone
};
// Loss, validation loss, gradient norm, learning rate, tokens/s, MFU, memory.
const std::vector<Curve>& Curves();

// Series are runs that have a number in the column, in their order and colours. Where a step has none, or one
// that was not finite, the line is broken; steps without an evaluation are in no evaluated curve.
LinePlot CurveOf(const std::vector<RunData>& runs, const Curve& curve);

// Peak of each rank, from the last start that ended; by category where every rank knows its own (a GPU's
// allocator knows the total alone); of more ranks than `most` the largest.
BarChart MemoryByRank(const RunData& run, size_t most = 64);
// What rank 0 held after each step, by category.
LinePlot MemoryOverSteps(const RunData& run);
// Bytes that rank 0 sent in a step, by axis: the median over steps.
BarChart BytesByAxis(const RunData& run);
// Of the traced steps: seconds of communication a step and rank, exposed and hidden, by axis. Empty without
// one.
BarChart TimeByAxis(const RunData& run);

// A picture as a file.
struct Picture {
  std::string name;  // without folder and extension: "loss", "shakespeare-pipeline-measured"
  std::string svg;
};
// Names differ, of runs whose labels make the same file name too.
std::vector<Picture> Pictures(const std::vector<RunData>& runs);

}  // namespace orthant

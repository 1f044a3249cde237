// The plots of a sweep: scaling, efficiency, MFU by layout, memory by ZeRO stage, predicted and measured.
#pragma once

#include "orthant/report/bars.h"
#include "orthant/report/charts.h"
#include "orthant/report/line_plot.h"
#include "orthant/report/scatter.h"
#include "orthant/report/sweep_data.h"

namespace orthant {

// Over the ranks, a line a layout. Empty without a case that was measured.
LinePlot StepTimeOverRanks(const SweepData& sweep);
LinePlot ThroughputOverRanks(const SweepData& sweep);
// Tokens a second over those of the layout's smallest number of ranks, times that number; with the ideal. Of
// layouts that were measured on two numbers of ranks or more.
LinePlot SpeedUp(const SweepData& sweep);
// The speed-up over the ranks: of strong scaling T1 / (n Tn), of weak scaling T1 / Tn.
LinePlot Efficiency(const SweepData& sweep);
// A bar a case.
BarChart MfuByLayout(const SweepData& sweep);
// The rank that holds most, over the ZeRO stage: a line for cases that differ in nothing else, where two
// stages or more were measured.
LinePlot MemoryOverZero(const SweepData& sweep);
// A point a case; on the diagonal the prediction is right. Of a step's seconds, and of memory.
ScatterPlot PredictedTime(const SweepData& sweep);
ScatterPlot PredictedMemory(const SweepData& sweep);

// All that have something in them, as files.
std::vector<Picture> Pictures(const SweepData& sweep);

}  // namespace orthant

// The page of a plan, from plots and texts that whoever planned made: this room knows no planner.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "orthant/report/bars.h"
#include "orthant/report/charts.h"
#include "orthant/report/scatter.h"

namespace orthant {

struct PlanPageData {
  std::string title;                                       // "gpt3-175b on 1,024 ranks of selene"
  std::vector<std::pair<std::string, std::string>> facts;  // name, value
  BarChart memory;                                         // of the choice: a bar a stage, the limit
  BarChart time;          // a bar a layout: compute, exposed communication by axis, bubble, optimizer
  ScatterPlot trade_off;  // memory and time
  std::vector<std::pair<std::string, int>> trade_off_legend;
  ScatterPlot measured;           // predicted and measured steps; no points: nothing was measured
  std::vector<std::string> head;  // of the table of layouts
  std::vector<std::vector<std::string>> rows;   // best first
  std::vector<std::string> rejections;          // a line each
  std::vector<std::vector<std::string>> rules;  // agrees or not, rule, why; empty: not asked for
};

std::string PlanPage(const PlanPageData& data);
// plan-memory, plan-time, plan-front, and plan-measured where something was.
std::vector<Picture> Pictures(const PlanPageData& data);

}  // namespace orthant

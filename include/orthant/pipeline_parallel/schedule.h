// A pipeline schedule as data: for each pipeline rank the list of its actions. Generators write it, lowering
// adds communication, validation proves it, simulation times it and the executor interprets one row of it.
#pragma once

#include <string>
#include <vector>

#include "orthant/pipeline_parallel/action.h"

namespace orthant {

struct Schedule {
  std::string name = "";                       // for messages
  int ranks = 1;                               // pipeline degree
  int chunks = 1;                              // stages per rank
  int microbatches = 1;                        // per step
  bool forward_only = false;                   // evaluation: no backward anywhere
  std::vector<std::vector<Action>> rows = {};  // [ranks]: what each rank does, in order

  // Stages are dealt out in a loop: stage = chunk * ranks + rank (Megatron-LM, arXiv 2104.04473,
  // section 2.2).
  int stages() const { return ranks * chunks; }
  int StageOf(int rank, int chunk) const { return chunk * ranks + rank; }
  int RankOf(int stage) const { return stage % ranks; }
  int ChunkOf(int stage) const { return stage / ranks; }

  friend bool operator==(const Schedule&, const Schedule&) = default;
};

// The cell of an action on `rank`, as "0F0" or "3SEND_B7" (schedule_text.h).
std::string CellText(const Schedule& schedule, int rank, const Action& action);

// The other side of a send or receive on `rank`: its rank and its action.
struct Peer {
  int rank = 0;
  Action action;
};
Peer PeerOf(const Schedule& schedule, int rank, const Action& communication);

}  // namespace orthant

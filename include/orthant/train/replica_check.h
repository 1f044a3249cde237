// Whether what several ranks must hold alike is alike to the bit: values that are whole on each, parameters
// that every tensor rank holds, tied copies, moments of unsharded state.
#pragma once

#include <string>

#include "orthant/optim/adamw.h"
#include "orthant/train/parallel_model.h"

namespace orthant {

// Compares hashes over the groups that hold the same. -> "" when all are alike, else the first tensor that
// differs and the first rank that has drifted, the same text on every rank. Collective over the world; reads
// every byte of the state once and moves some bytes a parameter. `tied`: the embedding's table is the head's
// too.
std::string FindDrift(ParallelModel& model, AdamW& optimizer, bool tied);

}  // namespace orthant

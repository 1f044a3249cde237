// Exchange: one collective on one member of a group that shares memory, in the midst of it, and the steps
// that each piece of it takes.
#pragma once

#include <algorithm>
#include <cstring>

#include "comm/mpi_engine.h"

namespace orthant::mpi {

constexpr int64_t kCacheLine = 64;

struct Exchange {
  Channel& channel;
  Transfer& transfer;
  Spread* const spread = channel.stage == nullptr ? channel.spread.get() : nullptr;
  Stage& stage = spread == nullptr ? *channel.stage : spread->stage;
  SharedRun& run = transfer.shared;
  const Operation& op = transfer.op;
  const int n = stage.members();  // on this host
  const int me = spread == nullptr ? channel.rank : spread->place;
  const int64_t size = op.element_size();

  bool root() const { return channel.rank == op.peer; }
  int64_t begin(int64_t piece) const { return std::min(run.extent, piece * run.piece); }
  int64_t end(int64_t piece) const { return std::min(run.extent, begin(piece) + run.piece); }
  uint64_t round(int64_t piece) const { return run.base + static_cast<uint64_t>(piece); }

  const std::byte* In(int64_t element) const {
    return static_cast<const std::byte*>(op.input) + element * size;
  }
  std::byte* Out(int64_t element) const { return static_cast<std::byte*>(op.output) + element * size; }
  // A slot for the whole piece, or cut into equal parts for the members.
  std::byte* Data(int member, int64_t piece) const { return stage.data(member, round(piece)); }
  int64_t PartBytes() const { return stage.slot_bytes() / n / kCacheLine * kCacheLine; }
  std::byte* Part(int from, int to, int64_t piece) const { return Data(from, piece) + to * PartBytes(); }

  void Copy(std::byte* to, const std::byte* from, int64_t elements) const {
    if (elements > 0 && to != from) std::memcpy(to, from, static_cast<size_t>(elements * size));
  }
};

// A piece of a large reduction is cut into a slice for each member of the host, who adds it up for all.
struct Slice {
  int64_t offset = 0;  // within the piece
  int64_t count = 0;
};
Slice SliceOf(const Exchange& exchange, int64_t piece, int member);
// The same of any number of elements, in whole cache lines.
Slice SliceOfCount(const Exchange& exchange, int64_t count, int member);
void StageSlices(const Exchange& exchange, int64_t piece);
void FetchSlices(const Exchange& exchange, int64_t piece);

// Copies what the others need of this member's piece into its slot.
void StagePiece(const Exchange& exchange, int64_t piece);
// Takes this member's piece, or adds its slice of a large reduction, out of all members' slots.
void ReadPiece(const Exchange& exchange, int64_t piece);

// mpi_direct.cpp. Whether the members shall tell each other where their tensors are, as all know alike.
bool MayGoDirect(const Exchange& exchange);
void TellWhereabouts(const Exchange& exchange, const Host& host);
// All have told: takes note of it; false: a tensor is not where the others reach it.
bool FindTensors(const Exchange& exchange);
// One step, if one can be made now.
bool StepDirect(const Exchange& exchange);

// Cuts `extent` elements into pieces of at most `largest`.
void CutUp(const Exchange& exchange, int64_t extent, int64_t largest);
// Tells the others what this member calls, in its first slot.
void StagePrint(const Exchange& exchange);
// Throws CommError when the members of this host do not all call the same, as all of them see.
void Verify(const Exchange& exchange);
// After Verify has thrown: the round in which they disagreed is over.
void GiveUp(const Exchange& exchange);

}  // namespace orthant::mpi

// With fewer writers than ranks: who writes for whom, and how the others' pieces come to the writer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "orthant/checkpoint/saver.h"
#include "orthant/comm/communicator.h"

namespace orthant {

// Consecutive ranks, the first of which writes for all.
struct WriterBlock {
  int begin = 0, end = 0;     // ranks
  int shard = 0, shards = 1;  // of the file
  int writer() const { return begin; }
};
// `writers`: 0, or more than there are ranks: each rank writes its own.
WriterBlock BlockOf(int rank, int ranks, int64_t writers);

// On a rank that does not write: its pieces go to the writer. Holds one piece that is fetched, and a chunk.
void SendPieceList(const std::vector<StatePiece>& pieces, int writer, Communicator& world);
void SendPieces(const std::vector<StatePiece>& pieces, int writer, Communicator& world);

// On the writer: what rank `from` will send, and then its bytes, piece by piece to targets[i] (null: let go).
std::vector<StatePiece> RecvPieceList(int from, Communicator& world);
void RecvPieces(const std::vector<StatePiece>& pieces, const std::vector<std::byte*>& targets, int from,
                Communicator& world);

}  // namespace orthant

#include "checkpoint/collect.h"

#include <algorithm>
#include <cstring>
#include <span>

#include "ATen/ATen.h"
#include "checkpoint/manifest_json.h"
#include "checkpoint/rank_texts.h"
#include "orthant/memory/account.h"

namespace orthant {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kChunkWords = int64_t{1} << 20;  // of 8 bytes: every backend carries int64

int64_t BytesOf(const std::vector<StatePiece>& pieces) {
  int64_t sum = 0;
  for (const StatePiece& piece : pieces) sum += piece.bytes();
  return sum;
}

// A stream of `bytes` in chunks, whose sizes both ends know.
class Chunks {
 public:
  explicit Chunks(int64_t bytes) : left_(bytes) {
    const MemoryScope host(MemoryTag::kHost);
    const OperationScope what("checkpoint chunk");
    memory_ = at::empty({std::min(kChunkWords, (bytes + 7) / 8)}, at::kLong);
  }
  // The next one's memory; empty at the end.
  std::span<std::byte> Next() {
    size_ = std::min(left_, 8 * kChunkWords);
    left_ -= size_;
    return {static_cast<std::byte*>(memory_.data_ptr()), static_cast<size_t>(size_)};
  }
  at::Tensor tensor() const { return memory_.narrow(0, 0, (size_ + 7) / 8); }

 private:
  at::Tensor memory_;
  int64_t left_, size_ = 0;
};

}  // namespace

WriterBlock BlockOf(int rank, int ranks, int64_t writers) {
  if (writers <= 0 || writers >= ranks) return {rank, rank + 1, rank, ranks};
  // Block b begins at the first rank r with floor(r * writers / ranks) = b.
  const int64_t block = rank * writers / ranks;
  const auto first = [&](int64_t b) { return static_cast<int>((b * ranks + writers - 1) / writers); };
  return {first(block), first(block + 1), static_cast<int>(block), static_cast<int>(writers)};
}

void SendPieceList(const std::vector<StatePiece>& pieces, int writer, Communicator& world) {
  Json list = Json::array();
  for (const StatePiece& piece : pieces) {
    Json item = {piece.tensor, ToString(piece.kind), StoredName(piece.dtype), piece.shape};
    AppendPortion(piece.portion, &item);
    list.push_back(std::move(item));
  }
  SendText(list.dump(), writer, world);
}

void SendPieces(const std::vector<StatePiece>& pieces, int writer, Communicator& world) {
  int64_t largest = 0;
  for (const StatePiece& piece : pieces) {
    if (piece.data == nullptr) largest = std::max(largest, piece.bytes());
  }
  at::Tensor fetched;
  if (largest > 0) {
    const MemoryScope host(MemoryTag::kHost);
    fetched = at::empty({largest}, at::kByte);
  }
  Chunks chunks(BytesOf(pieces));
  std::span<std::byte> chunk = chunks.Next();
  size_t filled = 0;
  for (const StatePiece& piece : pieces) {
    if (piece.bytes() == 0) continue;
    const std::byte* data = piece.data;
    if (data == nullptr) {
      auto* to = static_cast<std::byte*>(fetched.data_ptr());
      piece.Fetch(to);
      data = to;
    }
    std::span<const std::byte> rest(data, static_cast<size_t>(piece.bytes()));
    while (!rest.empty()) {
      const size_t count = std::min(rest.size(), chunk.size() - filled);
      std::memcpy(chunk.data() + filled, rest.data(), count);
      filled += count;
      rest = rest.subspan(count);
      if (filled < chunk.size()) continue;
      world.Send(chunks.tensor(), writer, "checkpoint.pieces");
      chunk = chunks.Next();
      filled = 0;
    }
  }
}

std::vector<StatePiece> RecvPieceList(int from, Communicator& world) {
  std::vector<StatePiece> pieces;
  for (const Json& item : Json::parse(RecvText(from, world))) {
    StatePiece piece;
    piece.tensor = item.at(0).get<std::string>();
    piece.kind = ReadKind(item.at(1));
    piece.dtype = ReadDtype(item.at(2));
    piece.shape = ReadShape(item.at(3));
    piece.portion = ReadPortion(item, 4, piece.shape);
    pieces.push_back(std::move(piece));
  }
  return pieces;
}

void RecvPieces(const std::vector<StatePiece>& pieces, const std::vector<std::byte*>& targets, int from,
                Communicator& world) {
  Chunks chunks(BytesOf(pieces));
  std::span<std::byte> chunk;
  for (size_t i = 0; i < pieces.size(); ++i) {
    int64_t done = 0;
    while (done < pieces[i].bytes()) {
      if (chunk.empty()) {
        chunk = chunks.Next();
        world.Recv(chunks.tensor(), from, "checkpoint.pieces");
      }
      const size_t count = std::min(chunk.size(), static_cast<size_t>(pieces[i].bytes() - done));
      if (targets[i] != nullptr) std::memcpy(targets[i] + done, chunk.data(), count);
      chunk = chunk.subspan(count);
      done += static_cast<int64_t>(count);
    }
  }
}

}  // namespace orthant

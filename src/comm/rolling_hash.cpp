#include "orthant/comm/rolling_hash.h"

namespace orthant {
namespace {

// One round of a multiply-and-shift mixer (as in splitmix64): every bit of `word` reaches the upper half.
uint64_t Mix(uint64_t hash, uint64_t word) {
  hash = (hash ^ word) * 0xbf58476d1ce4e5b9u;
  return hash ^ (hash >> 29);
}

uint64_t Tail(uint64_t hash) {
  hash = (hash ^ (hash >> 30)) * 0x94d049bb133111ebu;
  return hash ^ (hash >> 31);
}

double Bits28(uint64_t hash) {
  return static_cast<double>(Tail(hash) >> 36);
}

// Potentials whose differences around the ring of members are the collectives' coefficients: they add up to
// 0, none is 0 (neighbours differ in their multiple of 32), and they are not alike, so that ranks that differ
// from the rest in the same way do not cancel.
int Potential(int rank, int size) {
  const int part = rank == size - 1 && size % 2 == 1 ? 64 : 32 * (rank % 2);
  return part + static_cast<int>(Tail(static_cast<uint64_t>(rank) + 1) & 31);
}

int Coefficient(int rank, int size) {
  return Potential(rank, size) - Potential((rank + size - 1) % size, size);
}

// Both ends give the same weight; channels of different pairs get different ones.
int Weight(int sender, int receiver) {
  const uint64_t pair = static_cast<uint64_t>(sender) << 32 | static_cast<uint32_t>(receiver);
  return 1 + static_cast<int>(Tail(pair + 1) & 15);
}

}  // namespace

uint64_t RollingHash::Add(const Operation& op, uint64_t label) {
  const uint64_t dtype = static_cast<uint64_t>(op.dtype);
  const uint64_t count = static_cast<uint64_t>(op.count);
  const uint64_t place = static_cast<uint64_t>(static_cast<uint32_t>(op.label.layer)) << 32 |
                         static_cast<uint32_t>(op.label.microbatch);
  if (op.point_to_point()) {
    std::vector<Channel>& channels = op.kind == OpKind::kSend ? sends_ : receives_;
    if (channels.empty()) channels.resize(static_cast<size_t>(size_));
    Channel& channel = channels[static_cast<size_t>(op.peer)];
    channel.hash = Mix(Mix(Mix(channel.hash, count << 8 | dtype), label), place);
    return ++channel.count;
  }
  const uint64_t head = static_cast<uint64_t>(op.kind) | static_cast<uint64_t>(op.reduce) << 8 | dtype << 16 |
                        static_cast<uint64_t>(static_cast<uint32_t>(op.peer)) << 32;
  collectives_ = Mix(Mix(Mix(Mix(collectives_, head), count), label), place);
  return ++collective_count_;
}

double RollingHash::Balance() const {
  if (size_ == 1) return 0;
  double balance = Coefficient(rank_, size_) * Bits28(collectives_ + collective_count_);
  for (size_t peer = 0; peer < sends_.size(); ++peer) {
    const Channel& channel = sends_[peer];
    if (channel.count == 0) continue;  // the other end has no list yet
    balance += Weight(rank_, static_cast<int>(peer)) * Bits28(channel.hash + channel.count);
  }
  for (size_t peer = 0; peer < receives_.size(); ++peer) {
    const Channel& channel = receives_[peer];
    if (channel.count == 0) continue;
    balance -= Weight(static_cast<int>(peer), rank_) * Bits28(channel.hash + channel.count);
  }
  return balance;
}

}  // namespace orthant

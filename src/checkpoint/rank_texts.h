// Texts between ranks, over any backend: as whole int64 words, which each carries.
#pragma once

#include <string>
#include <vector>

#include "orthant/comm/communicator.h"

namespace orthant {

// Collective. -> on rank 0 the texts of all ranks; elsewhere none.
std::vector<std::string> GatherTexts(const std::string& text, Communicator& world);
// Collective. -> rank 0's text.
std::string BroadcastFromZero(const std::string& text, Communicator& world);

void SendText(const std::string& text, int to, Communicator& world);
std::string RecvText(int from, Communicator& world);

}  // namespace orthant

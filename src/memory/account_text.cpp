#include "memory/account_text.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "orthant/core/terminal.h"
#include "orthant/core/text.h"

namespace orthant {
namespace {

std::string Bytes(int64_t bytes) {
  return FormatBinaryBytes(static_cast<double>(bytes));
}

std::string TagName(MemoryTag tag) {
  return std::string(MemoryTagName(tag));
}

// "  " before each line of a table.
std::string Indented(const Table& table) {
  std::string text = absl::StrCat("  ", table.ToString(TableStyle::kPlain));
  text.pop_back();  // the last line's end
  return absl::StrReplaceAll(text, {{"\n", "\n  "}}) + "\n";
}

// One column of the account's table.
struct Column {
  std::string head;
  TagBytes tags;
  int64_t host = 0;
};

}  // namespace

std::string OutOfMemoryText(int64_t limit, int64_t requested, const MemoryContext& thread,
                            const TagBytes& held, const std::vector<MemoryHolder>& holders) {
  const std::string operation = OperationText(thread.operation);
  std::string text = absl::StrCat("out of memory: memory.limit = ", Bytes(limit), " a rank; ",
                                  Bytes(DeviceBytes(held)), " are held and ", Bytes(requested), " more (",
                                  TagName(thread.tag), ") were asked for", operation.empty() ? "" : " by ",
                                  operation, ", in ", std::string(StepPhaseName(thread.phase)), "\n");
  Table tags({"held as", "bytes"});
  for (size_t tag = 0; tag < held.size(); ++tag) {
    const std::string name = TagName(static_cast<MemoryTag>(tag));
    const bool host = static_cast<MemoryTag>(tag) == MemoryTag::kHost;
    if (held[tag] != 0) tags.AddRow({host ? "host (outside the limit)" : name, Bytes(held[tag])});
  }
  if (holders.empty()) return text + "  nothing is held\n";
  text += Indented(tags);
  Table largest({"largest holders", "operation", "bytes", "blocks"});
  for (const MemoryHolder& holder : holders) {
    largest.AddRow({TagName(holder.tag), holder.operation.empty() ? "(unnamed)" : holder.operation,
                    Bytes(holder.bytes), FormatCount(holder.blocks)});
  }
  return text + Indented(largest);
}

std::string AccountTable(const MemoryAccount& account, bool boxes) {
  const auto column = [](std::string head, const MemoryPeak& peak) {
    return Column{std::move(head), peak.tags, peak.host_bytes};
  };
  const TagBytes now = account.current();
  std::vector<Column> columns = {{"now", now, now[static_cast<size_t>(MemoryTag::kHost)]},
                                 column("peak", account.peak())};
  for (int i = 0; i < kStepPhases; ++i) {
    const auto phase = static_cast<StepPhase>(i);
    if (account.seen(phase))
      columns.push_back(column(std::string(StepPhaseName(phase)), account.peak(phase)));
  }
  std::vector<std::string> head = {"memory"};
  for (const Column& c : columns) head.push_back(c.head);
  Table table(std::move(head));
  const auto add_row = [&](std::string name, const auto& bytes_of) {
    std::vector<std::string> cells = {std::move(name)};
    for (const Column& c : columns) cells.push_back(Bytes(bytes_of(c)));
    table.AddRow(std::move(cells));
  };
  for (size_t tag = 0; tag < static_cast<size_t>(MemoryTag::kHost); ++tag) {
    add_row(TagName(static_cast<MemoryTag>(tag)), [&](const Column& c) { return c.tags[tag]; });
  }
  add_row("device", [](const Column& c) { return DeviceBytes(c.tags); });
  add_row("host", [](const Column& c) { return c.host; });
  return table.ToString(boxes ? TableStyle::kBoxes : TableStyle::kPlain);
}

}  // namespace orthant

// Checks of the folder that a run writes into: its speed, and that all hosts see the same one.
#include <set>

#include "absl/strings/str_cat.h"
#include "doctor/judging.h"
#include "orthant/core/median.h"
#include "orthant/core/text.h"

namespace orthant::doctor {
namespace {

constexpr double kSlowDisk = 50e6;  // bytes a second

Check Disk(const Survey& survey) {
  Check check{"disk", State::kOk, "", ""};
  std::vector<double> costs, writes, reads;
  std::vector<std::string> names;
  bool direct = true;
  for (size_t i = 0; i < survey.disks.size(); ++i) {
    const DiskSpeed& disk = survey.disks[i];
    if (!disk.error.empty()) {
      return {check.name, State::kFail,
              absl::StrCat("no file can be written on ", survey.hosts[i].name, ": ", disk.error),
              "choose a folder that can be written: run.dir, or --dir here"};
    }
    if (disk.write <= 0) continue;  // a host that does not see the folder: the next check says so
    costs.push_back(1 / disk.write);
    writes.push_back(disk.write);
    reads.push_back(disk.read);
    names.push_back(survey.hosts[i].name);
    direct = direct && disk.direct;
  }
  if (writes.empty()) {
    return {check.name, State::kFail, absl::StrCat("no file can be written in ", survey.folder),
            "choose a folder that can be written: run.dir, or --dir here"};
  }
  check.text = absl::StrCat(
      survey.folder, ": writes ", FormatBytes(MedianOf(writes)), "/s, reads ", FormatBytes(MedianOf(reads)),
      "/s", survey.between_hosts() ? " on each host at once" : "", direct ? "" : " (through the page cache)");
  std::vector<std::string> slow;
  for (const size_t i : OddOnes(costs, {.factor = 3}))
    slow.push_back(absl::StrCat(names[i], " (", FormatBytes(writes[i]), "/s)"));
  if (!slow.empty()) {
    check.state = State::kWarn;
    absl::StrAppend(&check.text, "; slow on ", ListNames(slow));
    check.remedy = "look at that host's mount and its link to the file system";
  } else if (MedianOf(writes) < kSlowDisk) {
    check.state = State::kWarn;
    check.remedy = "checkpoints will take long: use scratch, or more stripes (lfs setstripe -c -1)";
  }
  return check;
}

Check SharedFolder(const Survey& survey) {
  Check check{"shared folder", State::kOk, "", ""};
  if (!survey.between_hosts()) {
    check.text = absl::StrCat(survey.folder, ": one host");
    return check;
  }
  std::set<std::string> seen;
  std::vector<std::string> blind;
  for (const int rank : survey.blind) {
    if (seen.insert(NameOf(survey, rank)).second) blind.push_back(NameOf(survey, rank));
  }
  if (blind.empty()) {
    check.text = absl::StrCat(survey.folder, ": what rank 0 writes is seen by all ranks");
    return check;
  }
  return {check.name, State::kFail,
          absl::StrCat(survey.folder, ": what rank 0 writes is not seen on ", ListNames(blind)),
          "put run.dir (and data.path) on a file system that all hosts mount at the same path"};
}

}  // namespace

void JudgeFolder(const Survey& survey, std::vector<Check>* checks) {
  checks->push_back(Disk(survey));
  checks->push_back(SharedFolder(survey));
}

}  // namespace orthant::doctor

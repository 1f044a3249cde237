// Checks of the program: libraries, MPI, devices, NCCL's network.
#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "doctor/judging.h"
#include "orthant/core/text.h"

namespace orthant::doctor {
namespace {

Check Libraries(const Survey& survey) {
  Check check{"libraries", State::kOk, "", ""};
  const ProgramFacts& first = survey.ranks.front().program;
  std::vector<std::string> texts;
  for (const char* name : {"Orthant", "LibTorch"}) {
    if (const auto at = first.versions.find(name); at != first.versions.end())
      texts.push_back(absl::StrCat(name, " ", at->second));
  }
  texts.push_back(first.mpi);
  for (const auto& [name, version] : first.versions) {
    if (name != "Orthant" && name != "LibTorch") texts.push_back(absl::StrCat(name, " ", version));
  }
  check.text = absl::StrJoin(texts, ", ");
  for (const char* name : {"Orthant", "LibTorch", "MPI"}) {
    const std::string differs = Minority(survey, [&](const RankFacts& rank) {
      if (std::string(name) == "MPI") return rank.program.mpi;
      const auto at = rank.program.versions.find(name);
      return at == rank.program.versions.end() ? std::string("unknown") : at->second;
    });
    if (differs.empty()) continue;
    check.state = State::kFail;
    check.text = absl::StrCat(name, " is not the same on all hosts: ", differs);
    check.remedy = "run the same build everywhere: from a shared folder, or the same container image";
  }
  return check;
}

std::string FileName(const std::string& path) {
  return path.substr(path.find_last_of('/') + 1);
}

// The library of a file: "libgomp-a34b3233.so.1" is "libgomp".
std::string LibraryOf(const std::string& path) {
  const std::string name = FileName(path);
  return name.substr(0, name.find_first_of(".-"));
}

Check OpenMp(const Survey& survey) {
  Check check{"OpenMP runtime", State::kOk, "", ""};
  for (const RankFacts& rank : survey.ranks) {
    const std::vector<std::string>& files = rank.program.openmp_files;
    if (files.size() < 2) {
      if (check.state == State::kOk) check.text = files.empty() ? "none is loaded" : "one: " + files.front();
      continue;
    }
    std::set<std::string> libraries;
    for (const std::string& file : files) libraries.insert(LibraryOf(file));
    const State state = libraries.size() < files.size() ? State::kFail : State::kWarn;
    if (state == Worse(state, check.state) && state != check.state) {
      check.state = state;
      check.text = absl::StrCat(files.size(), " are loaded on ", NameOf(survey, rank.rank), ": ",
                                absl::StrJoin(files, ", "), "; each has threads of its own");
      check.remedy =
          "leave one: link what brings the second (LD_PRELOAD, MKL, a module) against LibTorch's, or take it "
          "out "
          "of LD_LIBRARY_PATH";
    }
  }
  return check;
}

Check MpiLibrary(const Survey& survey) {
  Check check{"MPI library", State::kOk, "", ""};
  for (const RankFacts& rank : survey.ranks) {
    const std::vector<std::string>& files = rank.program.mpi_files;
    if (files.size() > 1) {
      return {check.name, State::kFail,
              absl::StrCat(files.size(), " are loaded on ", NameOf(survey, rank.rank), ": ",
                           absl::StrJoin(files, ", ")),
              "a program can use one MPI: unload the module, or clear LD_LIBRARY_PATH and LD_PRELOAD of the "
              "other, "
              "and build with the mpicc of the mpirun that starts it"};
    }
  }
  const std::vector<std::string>& files = survey.ranks.front().program.mpi_files;
  check.text = absl::StrCat(survey.ranks.front().program.mpi, ": ",
                            files.empty() ? "linked statically" : files.front());
  return check;
}

Check MpiThreads(const Survey& survey) {
  const std::string& level = survey.ranks.front().program.mpi_thread_level;
  if (!survey.launched) return {"MPI threads", State::kOk, "not started: there is no launcher", ""};
  Check check{"MPI threads", State::kOk, "", ""};
  check.text =
      absl::StrCat("level ", level,
                   "; operations are moved on by Orthant's communication thread, whatever progress MPI "
                   "makes by itself");
  if (level == "multiple") return check;
  check.state = State::kFail;
  check.remedy = "MPI_THREAD_MULTIPLE is needed: use an MPI built with it";
  return check;
}

Check MpiTransports(const Survey& survey) {
  Check check{"MPI transports", State::kOk, "", ""};
  if (!survey.launched) {
    check.text = "not started: there is no launcher";
    return check;
  }
  const ProgramFacts& program = survey.ranks.front().program;
  check.text = program.mpi_components.empty()
                   ? "this MPI does not show its components"
                   : absl::StrCat("loaded: ", absl::StrJoin(program.mpi_components, ", "));
  std::vector<std::string> set;
  for (const auto& [name, value] : program.mpi_settings) set.push_back(absl::StrCat(name, "=", value));
  if (!set.empty()) absl::StrAppend(&check.text, "; set: ", absl::StrJoin(set, ", "));
  const auto has = [&](const char* component) {
    return std::find(program.mpi_components.begin(), program.mpi_components.end(), component) !=
           program.mpi_components.end();
  };
  const bool fast = has("pml/ucx") || has("btl/uct") || has("btl/openib") || has("mtl/ofi") ||
                    has("mtl/psm2") || has("btl/ofi") || has("btl/usnic");
  for (const HostGroup& host : survey.hosts) {
    const std::vector<std::string>& fabric = survey.FirstOf(host).machine.fabric;
    if (survey.between_hosts() && !fabric.empty() && has("btl/tcp") && !fast) {
      check.state = State::kWarn;
      absl::StrAppend(&check.text, "; ", host.name, " has ", ListNames(fabric), ", but MPI goes over TCP");
      check.remedy =
          "use an MPI built with UCX or libfabric (ompi_info | grep -e ucx -e ofi), or load the module";
      return check;
    }
  }
  return check;
}

Check Devices(const Survey& survey) {
  Check check{"devices", State::kOk, "", ""};
  if (!survey.ranks.front().devices.cuda_build) {
    check.text = "none: this is a CPU build";
    return check;
  }
  std::vector<std::string> without, apart, kinds;
  for (const HostGroup& host : survey.hosts) {
    const DeviceFacts& devices = survey.FirstOf(host).devices;
    if (devices.devices.empty()) {
      without.push_back(devices.error.empty() ? host.name
                                              : absl::StrCat(host.name, " (", devices.error, ")"));
      continue;
    }
    kinds.push_back(absl::StrCat(devices.devices.size(), " x ", devices.devices.front().name));
    for (const std::vector<int>& peers : devices.peers) {
      if (peers.size() + 1 < devices.devices.size()) apart.push_back(host.name);
    }
  }
  if (!without.empty()) {
    return {check.name, State::kFail,
            absl::StrCat("this is a CUDA build, and there is no GPU on ", ListNames(without)),
            "run where there are GPUs (ask the scheduler for them, look at nvidia-smi and "
            "CUDA_VISIBLE_DEVICES), or "
            "use a CPU build (preset release)"};
  }
  check.text =
      absl::StrCat("CUDA ", survey.ranks.front().devices.cuda, ", NCCL ", survey.ranks.front().devices.nccl,
                   ": ", kinds.front(), " on ", survey.hosts.front().name);
  if (std::any_of(kinds.begin(), kinds.end(),
                  [&](const std::string& kind) { return kind != kinds.front(); })) {
    check.state = State::kWarn;
    absl::StrAppend(&check.text, "; not the same on all hosts: ", ListNames(kinds));
    check.remedy = "ask for hosts of one kind: the slowest device sets the pace";
  }
  if (!apart.empty()) {
    check.state = State::kWarn;
    absl::StrAppend(&check.text, "; devices without direct access to one another on ", apart.front());
    check.remedy = "see nvidia-smi topo -m; tensor groups are slow across such devices";
  }
  return check;
}

// The first interface that NCCL_SOCKET_IFNAME can mean on a host: prefixes, "=" for whole names, "^" for all
// but.
bool HasInterface(const std::string& setting, const std::vector<std::string>& interfaces) {
  if (setting.empty() || setting[0] == '^') return true;
  const bool whole = setting[0] == '=';
  const std::string names = whole ? setting.substr(1) : setting;
  for (const absl::string_view name : absl::StrSplit(names, ',', absl::SkipEmpty())) {
    for (const std::string& interface : interfaces) {
      if (whole ? interface == name : absl::StartsWith(interface, name)) return true;
    }
  }
  return false;
}

Check NcclNetwork(const Survey& survey) {
  Check check{"NCCL network", State::kOk, "", ""};
  std::vector<std::string> set;
  for (const auto& [name, value] : survey.ranks.front().program.environment) {
    if (absl::StartsWith(name, "NCCL_")) set.push_back(absl::StrCat(name, "=", value));
  }
  check.text = set.empty() ? "no NCCL_* variable is set: NCCL chooses" : absl::StrJoin(set, ", ");
  if (!survey.ranks.front().devices.cuda_build) absl::StrAppend(&check.text, " (not used by a CPU build)");
  const std::string differs = Minority(survey, [](const RankFacts& rank) {
    std::vector<std::string> own;
    for (const auto& [name, value] : rank.program.environment) {
      if (absl::StartsWith(name, "NCCL_")) own.push_back(absl::StrCat(name, "=", value));
    }
    return own.empty() ? std::string("nothing") : absl::StrJoin(own, " ");
  });
  if (!differs.empty()) {
    check.state = State::kWarn;
    absl::StrAppend(&check.text, "; not the same on all hosts: ", differs);
    check.remedy = "pass the variables to every host (mpirun -x NAME, sbatch --export)";
  }
  for (const HostGroup& host : survey.hosts) {
    const RankFacts& rank = survey.FirstOf(host);
    const auto& environment = rank.program.environment;
    if (const auto at = environment.find("NCCL_SOCKET_IFNAME");
        at != environment.end() && !HasInterface(at->second, rank.machine.interfaces)) {
      check.state = State::kFail;
      absl::StrAppend(&check.text, "; ", host.name, " has no such interface (it has ",
                      ListNames(rank.machine.interfaces), ")");
      check.remedy = "set NCCL_SOCKET_IFNAME to an interface that every host has, or leave it out";
      return check;
    }
    if (const auto at = environment.find("NCCL_IB_DISABLE");
        at != environment.end() && at->second == "1" && !rank.machine.fabric.empty()) {
      check.state = Worse(check.state, State::kWarn);
      absl::StrAppend(&check.text, "; ", host.name, " has ", ListNames(rank.machine.fabric),
                      ", which this turns off");
      check.remedy = "leave NCCL_IB_DISABLE out, unless the fabric is broken";
      return check;
    }
  }
  return check;
}

}  // namespace

void JudgeProgram(const Survey& survey, std::vector<Check>* checks) {
  for (const auto judge : {Libraries, OpenMp, MpiLibrary, MpiThreads, MpiTransports, Devices, NcclNetwork})
    checks->push_back(judge(survey));
}

}  // namespace orthant::doctor

#include "orthant/doctor/examine.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <random>
#include <system_error>
#include <thread>

#include "absl/strings/str_cat.h"
#include "doctor/system_files.h"
#include "doctor/texts.h"
#include "orthant/core/file.h"
#include "orthant/doctor/measure.h"
#include "orthant/doctor/survey.h"

namespace orthant::doctor {
namespace {

using Json = nlohmann::json;

constexpr double kFolderPatience = 5.0;  // seconds; network file systems show new files late

RankFacts GatherFacts(Communicator& world, const ExamineOptions& options) {
  RankFacts facts;
  facts.rank = world.rank();
  facts.pid = getpid();
  facts.program = GatherProgramFacts();
  facts.machine = GatherMachineFacts();
  if (!options.host.empty()) facts.machine.host = options.host;
  facts.devices = FindDevices();
  world.Barrier("doctor.measure");  // all at once, as in a run
  const CoreSpeed core = MeasureCore();
  facts.core_flops = core.flops;
  facts.core_share = core.share;
  facts.copy_bytes = MeasureCopy();
  return facts;
}

// What rank 0 tells all after the first look.
struct Plan {
  std::vector<int> nodes;    // world ranks between which links are measured
  std::vector<int> leaders;  // the first rank of each host
  std::string folder;
  std::string nonce;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Plan, nodes, leaders, folder, nonce)

std::string NearestFolder(const std::string& path) {
  std::error_code error;
  std::filesystem::path folder = std::filesystem::absolute(path, error);
  while (!std::filesystem::is_directory(folder, error) && folder.has_relative_path())
    folder = folder.parent_path();
  return folder.lexically_normal().string();
}

Plan MakePlan(const Survey& survey, const std::string& folder) {
  Plan plan;
  for (const HostGroup& host : survey.hosts) plan.leaders.push_back(host.ranks.front());
  plan.nodes = plan.leaders;
  if (!survey.between_hosts()) plan.nodes = survey.hosts.front().ranks;
  plan.folder = NearestFolder(folder);
  std::random_device random;
  plan.nonce = absl::StrCat(absl::Hex(random()), absl::Hex(random()));
  return plan;
}

// Whether this rank sees the file that rank 0 writes. Collective.
bool SeesFileOfFirst(Communicator& world, const Plan& plan) {
  const std::string path = absl::StrCat(plan.folder, "/.orthant-doctor-", plan.nonce);
  std::string problem;
  if (world.rank() == 0) problem = std::string(WriteFileAtomically(path, plan.nonce).message());
  if (!ShareText(problem, world).empty()) return true;  // nothing to see: the disk's check says why
  const auto start = std::chrono::steady_clock::now();
  bool seen = ReadText(path) == plan.nonce;
  while (!seen && std::chrono::steady_clock::now() - start < std::chrono::duration<double>(kFolderPatience)) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    seen = ReadText(path) == plan.nonce;
  }
  world.Barrier("doctor.folder");
  if (world.rank() == 0) unlink(path.c_str());
  return seen;
}

bool IsLeader(const Plan& plan, int rank) {
  return std::find(plan.leaders.begin(), plan.leaders.end(), rank) != plan.leaders.end();
}

// What a rank measured after the plan.
struct Measured {
  std::vector<Link> links;
  DiskSpeed disk;
  bool seen = true;
};

std::string Packed(const Measured& measured) {
  Json links = Json::array();
  for (const Link& link : measured.links) {
    links.push_back({link.a, link.b, link.latency, link.median_latency, link.bandwidth, link.clock_offset,
                     link.clock_error});
  }
  const DiskSpeed& disk = measured.disk;
  return Json({{"links", links},
               {"seen", measured.seen},
               {"disk", {disk.write, disk.read, disk.direct, disk.error}}})
      .dump();
}

Measured Unpacked(const std::string& text) {
  const Json value = Json::parse(text);
  Measured measured;
  for (const Json& link : value["links"]) {
    measured.links.push_back({link[0], link[1], link[2], link[3], link[4], link[5], link[6]});
  }
  const Json& disk = value["disk"];
  measured.disk = {disk[0], disk[1], disk[2], disk[3]};
  measured.seen = value["seen"];
  return measured;
}

void AddMeasured(const std::vector<std::string>& texts, const Plan& plan, Survey* survey) {
  for (size_t rank = 0; rank < texts.size(); ++rank) {
    Measured measured = Unpacked(texts[rank]);
    survey->links.insert(survey->links.end(), measured.links.begin(), measured.links.end());
    if (!measured.seen) survey->blind.push_back(static_cast<int>(rank));
    if (IsLeader(plan, static_cast<int>(rank))) survey->disks.push_back(std::move(measured.disk));
  }
  survey->folder = plan.folder;
  for (const int node : plan.nodes) {
    std::string name = survey->between_hosts() ? "" : absl::StrCat("rank ", node);
    for (const HostGroup& host : survey->hosts) {
      if (survey->between_hosts() && host.ranks.front() == node) name = host.name;
    }
    survey->nodes.push_back(std::move(name));
  }
}

std::string Heading(const Survey& survey) {
  const size_t ranks = survey.ranks.size(), hosts = survey.hosts.size();
  std::vector<std::string> names;
  for (const HostGroup& host : survey.hosts) names.push_back(host.name);
  if (!survey.launched)
    return absl::StrCat("orthant doctor on ", ListNames(names),
                        " alone; under mpirun or srun it looks at all hosts");
  return absl::StrCat("orthant doctor: ", ranks, ranks == 1 ? " rank" : " ranks", " on ", hosts,
                      hosts == 1 ? " host: " : " hosts: ", ListNames(names));
}

}  // namespace

Report Examine(Communicator& world, const ExamineOptions& options) {
  Survey survey;
  survey.launched = options.launched;
  const std::vector<std::string> facts = GatherTexts(Json(GatherFacts(world, options)).dump(), world);
  Plan plan;
  if (world.rank() == 0) {
    for (const std::string& text : facts) survey.ranks.push_back(Json::parse(text).get<RankFacts>());
    survey.hosts = GroupHosts(survey.ranks);
    plan = MakePlan(survey, options.folder);
  }
  plan = Json::parse(ShareText(Json(plan).dump(), world)).get<Plan>();
  Measured measured;
  measured.links = MeasureLinks(world, plan.nodes);
  measured.seen = SeesFileOfFirst(world, plan);
  if (IsLeader(plan, world.rank()) && measured.seen) {
    measured.disk = MeasureDisk(plan.folder, absl::StrCat(".orthant-doctor-", plan.nonce, "-", world.rank()));
  }
  const std::vector<std::string> rest = GatherTexts(Packed(measured), world);
  if (world.rank() != 0) return {};
  AddMeasured(rest, plan, &survey);
  return {Heading(survey), Judge(survey), FactsJson(survey)};
}

}  // namespace orthant::doctor

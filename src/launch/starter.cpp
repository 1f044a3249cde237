#include "launch/starter.h"

#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

// What an mpirun or mpiexec is, by what its --version says; nullopt: something else, or not there.
std::optional<RankStarter> KindOf(const std::string& program, const Surroundings& surroundings) {
  if (!surroundings.has_program(program)) return std::nullopt;
  const std::string version = surroundings.output_of({program, "--version"});
  if (absl::StrContains(version, "Open MPI") || absl::StrContains(version, "OpenRTE"))
    return RankStarter::kOpenMpi;
  if (absl::StrContains(version, "PALS")) return RankStarter::kPals;
  if (absl::StrContains(version, "HYDRA") || absl::StrContains(version, "Intel(R) MPI"))
    return RankStarter::kMpich;
  return std::nullopt;
}

// pmix (OpenMPI) or cray_shasta (Cray MPICH), of what srun can do; "" when neither. Where there are both, the
// loaded module decides.
std::string SrunMpi(const std::string& program, const Surroundings& surroundings) {
  const std::string list = surroundings.output_of({program, "--mpi=list"});
  const bool pmix = absl::StrContains(list, "pmix"), cray = absl::StrContains(list, "cray_shasta");
  if (cray && (!pmix || !surroundings.variable("CRAY_MPICH_VERSION").empty())) return "cray_shasta";
  return pmix ? "pmix" : "";
}

std::string UsualProgram(RankStarter kind) {
  switch (kind) {
    case RankStarter::kSrun:
      return "srun";
    case RankStarter::kOpenMpi:
      return "mpirun";
    case RankStarter::kPals:
    case RankStarter::kMpich:
      return "mpiexec";
    default:
      return "";
  }
}

std::optional<RankStarter> Named(const std::string& name) {
  for (const RankStarter kind : {RankStarter::kNone, RankStarter::kSrun, RankStarter::kOpenMpi,
                                 RankStarter::kPals, RankStarter::kMpich}) {
    if (name == ToString(kind)) return kind;
  }
  return std::nullopt;
}

// The first that is there: SLURM's own where it can start MPI programs, then what mpiexec and mpirun are.
absl::StatusOr<Starter> Look(const Allocation& allocation, const Surroundings& surroundings) {
  if (allocation.scheduler == Scheduler::kSlurm && surroundings.has_program("srun")) {
    const std::string mpi = SrunMpi("srun", surroundings);
    if (!mpi.empty()) return Starter{RankStarter::kSrun, "srun", mpi, {}};
  }
  for (const char* program : {"mpiexec", "mpirun"}) {
    const std::optional<RankStarter> kind = KindOf(program, surroundings);
    // OpenMPI's own name is mpirun.
    if (kind == RankStarter::kOpenMpi && surroundings.has_program("mpirun"))
      return Starter{*kind, "mpirun", "", {}};
    if (kind.has_value()) return Starter{*kind, program, "", {}};
  }
  if (allocation.scheduler == Scheduler::kSlurm && surroundings.has_program("srun")) {
    return Starter{
        RankStarter::kSrun,
        "srun",
        "",
        {"srun --mpi=list names neither pmix nor cray_shasta: if the ranks do not find each other, give "
         "--launcher openmpi, or launch.mpi in the cluster's file"}};
  }
  return EnvironmentError(absl::StrCat("no launcher was found to start the ranks: neither ",
                                       allocation.scheduler == Scheduler::kSlurm ? "srun, " : "",
                                       "mpiexec nor mpirun on PATH is one of Open MPI, PALS or MPICH; load "
                                       "the MPI module that Orthant was built "
                                       "with"));
}

}  // namespace

std::string ToString(RankStarter starter) {
  switch (starter) {
    case RankStarter::kSrun:
      return "srun";
    case RankStarter::kOpenMpi:
      return "openmpi";
    case RankStarter::kPals:
      return "pals";
    case RankStarter::kMpich:
      return "mpich";
    default:
      return "none";
  }
}

absl::StatusOr<Starter> ChooseStarter(const std::string& wanted, const ClusterConfig& cluster,
                                      const Allocation& allocation, const Surroundings& surroundings) {
  const std::optional<RankStarter> named = Named(wanted);
  if (!named.has_value()) {
    absl::StatusOr<Starter> found = Look(allocation, surroundings);
    if (found.ok() && !cluster.launch.mpi.empty() && found->kind == RankStarter::kSrun) {
      found->mpi = cluster.launch.mpi;
    }
    return found;
  }
  Starter starter{*named, UsualProgram(*named), "", {}};
  if (*named == RankStarter::kNone) return starter;
  if (!cluster.launch.program.empty() && wanted == cluster.launch.launcher)
    starter.program = cluster.launch.program;
  if (!surroundings.has_program(starter.program)) {
    return EnvironmentError(
        absl::StrCat("launcher ", wanted, ": ", starter.program,
                     " is not on PATH; load its module, or choose another with --launcher"));
  }
  if (*named == RankStarter::kSrun) {
    starter.mpi = !cluster.launch.mpi.empty() ? cluster.launch.mpi : SrunMpi(starter.program, surroundings);
  }
  return starter;
}

}  // namespace orthant

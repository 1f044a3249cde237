// The libraries that this process runs with, from its own memory map, from MPI and from the environment.
#include <gnu/libc-version.h>
#include <mpi.h>
#include <sys/utsname.h>
#include <torch/version.h>
#include <unistd.h>

#include <algorithm>

#include "absl/base/config.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "doctor/system_files.h"
#include "orthant/core/version.h"
#include "orthant/doctor/facts.h"

extern char** environ;  // NOLINT: the one way to list the environment

namespace orthant::doctor {
namespace {

bool MpiRuns() {
  int started = 0, ended = 0;
  MPI_Initialized(&started);
  MPI_Finalized(&ended);
  return started != 0 && ended == 0;
}

const char* LevelName(int level) {
  if (level == MPI_THREAD_MULTIPLE) return "multiple";
  if (level == MPI_THREAD_SERIALIZED) return "serialized";
  return level == MPI_THREAD_FUNNELED ? "funneled" : "single";
}

// The texts of OpenMPI's settings of these names, by the tool interface of MPI 3; another MPI has none of
// them.
std::map<std::string, std::string> MpiSettings(const std::vector<std::string>& wanted) {
  std::map<std::string, std::string> found;
  int provided = 0, count = 0;
  if (MPI_T_init_thread(MPI_THREAD_SINGLE, &provided) != MPI_SUCCESS) return found;
  if (MPI_T_cvar_get_num(&count) != MPI_SUCCESS) count = 0;
  for (int i = 0; i < count; ++i) {
    char name[256] = "", text[64] = "";
    int name_length = sizeof(name), text_length = sizeof(text), verbosity = 0, bind = 0, scope = 0;
    MPI_Datatype type = MPI_DATATYPE_NULL;
    MPI_T_enum values = MPI_T_ENUM_NULL;
    if (MPI_T_cvar_get_info(i, name, &name_length, &verbosity, &type, &values, text, &text_length, &bind,
                            &scope) != MPI_SUCCESS) {
      continue;
    }
    if (type != MPI_CHAR || std::find(wanted.begin(), wanted.end(), name) == wanted.end()) continue;
    MPI_T_cvar_handle handle = MPI_T_CVAR_HANDLE_NULL;
    int length = 0;
    if (MPI_T_cvar_handle_alloc(i, nullptr, &handle, &length) != MPI_SUCCESS) continue;
    std::string value(static_cast<size_t>(std::max(length, 0)) + 1, '\0');
    if (MPI_T_cvar_read(handle, value.data()) == MPI_SUCCESS) {
      value.resize(value.find('\0'));
      if (!value.empty()) found[name] = value;
    }
    MPI_T_cvar_handle_free(&handle);
  }
  MPI_T_finalize();
  return found;
}

// "Open MPI v4.1.4, package: ..." and "MPICH Version: 4.1\nMPICH Release date: ...": what comes first.
std::string MpiVersion() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  int length = 0;
  MPI_Get_library_version(text, &length);
  const std::vector<std::string> parts = absl::StrSplit(text, absl::ByAnyChar(",\n"));
  return absl::StrReplaceAll(parts.front(), {{"\t", " "}});
}

void AddMpi(const std::string& maps, ProgramFacts* facts) {
  facts->mpi = MpiVersion();
  if (!MpiRuns()) return;
  int level = 0;
  if (MPI_Query_thread(&level) == MPI_SUCCESS) facts->mpi_thread_level = LevelName(level);
  facts->mpi_components = MpiComponents(maps, {"pml", "btl", "mtl"});
  facts->mpi_settings = MpiSettings({"pml", "btl", "mtl", "btl_tcp_if_include", "oob_tcp_if_include"});
}

}  // namespace

std::vector<std::string> MappedLibraries(const std::string& maps, const std::vector<std::string>& libraries) {
  std::vector<std::string> files;
  for (const absl::string_view line : absl::StrSplit(maps, '\n', absl::SkipEmpty())) {
    const size_t slash = line.find('/');
    if (slash == absl::string_view::npos) continue;
    const std::string path(line.substr(slash));
    const std::string name = path.substr(path.find_last_of('/') + 1);
    for (const std::string& library : libraries) {
      const bool named = absl::StartsWith(name, library + ".so") ||
                         (absl::StartsWith(name, library + "-") && absl::StrContains(name, ".so"));
      if (named && std::find(files.begin(), files.end(), path) == files.end()) files.push_back(path);
    }
  }
  return files;
}

std::vector<std::string> MpiComponents(const std::string& maps, const std::vector<std::string>& kinds) {
  std::vector<std::string> found;
  for (const absl::string_view line : absl::StrSplit(maps, '\n', absl::SkipEmpty())) {
    const size_t from = line.find("/mca_"), to = line.rfind(".so");
    if (from == absl::string_view::npos || to == absl::string_view::npos || to < from) continue;
    const std::vector<std::string> parts =
        absl::StrSplit(line.substr(from + 5, to - from - 5), absl::MaxSplits('_', 1));
    if (parts.size() != 2 || std::find(kinds.begin(), kinds.end(), parts[0]) == kinds.end()) continue;
    const std::string component = absl::StrCat(parts[0], "/", parts[1]);
    if (std::find(found.begin(), found.end(), component) == found.end()) found.push_back(component);
  }
  std::sort(found.begin(), found.end());
  return found;
}

ProgramFacts GatherProgramFacts(const std::string& root) {
  ProgramFacts facts;
  utsname system{};
  uname(&system);
  facts.versions = {
      {"Orthant", kOrthantVersion},
      {"LibTorch", TORCH_VERSION},
      {"Abseil", absl::StrCat(ABSL_LTS_RELEASE_VERSION)},
      {"nlohmann-json", absl::StrCat(NLOHMANN_JSON_VERSION_MAJOR, ".", NLOHMANN_JSON_VERSION_MINOR, ".",
                                     NLOHMANN_JSON_VERSION_PATCH)},
      {"glibc", gnu_get_libc_version()},
      {"compiler", __VERSION__},
      {"kernel", system.release}};
  const std::string maps = ReadText(root + "/proc/self/maps");
  facts.openmp_files = MappedLibraries(maps, {"libgomp", "libiomp5", "libomp"});
  facts.mpi_files = MappedLibraries(maps, {"libmpi", "libmpich", "libmpi_cray", "libmpi_gnu"});
  facts.torch_files = MappedLibraries(maps, {"libtorch_cpu"});
  AddMpi(maps, &facts);
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::vector<std::string> parts = absl::StrSplit(*entry, absl::MaxSplits('=', 1));
    if (parts.size() != 2) continue;
    for (const char* prefix :
         {"OMP_", "GOMP_", "KMP_", "MKL_", "NCCL_", "OMPI_MCA_btl", "OMPI_MCA_pml", "OMPI_MCA_mtl",
          "OMPI_MCA_coll", "UCX_", "FI_", "MPICH_", "CUDA_VISIBLE_DEVICES", "LD_PRELOAD"}) {
      if (absl::StartsWith(parts[0], prefix)) facts.environment[parts[0]] = parts[1];
    }
  }
  return facts;
}

}  // namespace orthant::doctor

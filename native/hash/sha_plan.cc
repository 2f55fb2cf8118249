// Which kernels this CPU can run and which to use for how many messages. The thresholds come from
// bench/hash.ts: a wide call costs the same however few of its lanes carry a message.
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "hash/sha_kernels.h"

namespace cfsbridge {
namespace {

#if defined(__x86_64__)
struct Cpu {
  bool avx2, avx512, shaNi;

  Cpu() {
    __builtin_cpu_init();
    avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
    avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    // Not every compiler in use knows the SHA extensions by name here.
    unsigned eax, ebx = 0, ecx, edx;
    constexpr unsigned shaBit = 1u << 29;
    shaNi = __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && (ebx & shaBit) != 0 &&
            __builtin_cpu_supports("sse4.1") && __builtin_cpu_supports("ssse3");
  }
};

const Cpu& cpu() {
  static const Cpu found;
  return found;
}
#endif

HashPlan planSha256() {
#if defined(__x86_64__)
  if (cpu().avx512 && cpu().shaNi)
    return {Algorithm::Sha256, {{&kSha256Avx512, 9}, {&kSha256NiTwice, 2}, {&kSha256Ni, 1}}};
  if (cpu().avx512) return {Algorithm::Sha256, {{&kSha256Avx512, 2}, {&kSha256Bmi2, 1}}};
  if (cpu().shaNi) return {Algorithm::Sha256, {{&kSha256NiTwice, 2}, {&kSha256Ni, 1}}};
  if (cpu().avx2) return {Algorithm::Sha256, {{&kSha256Avx2, 3}, {&kSha256Bmi2, 1}}};
#endif
  return {Algorithm::Sha256, {{&kSha256Lanes4, 2}, {&kSha256Scalar, 1}}};
}

HashPlan planSha512() {
#if defined(__x86_64__)
  if (cpu().avx512) return {Algorithm::Sha512, {{&kSha512Avx512, 5}, {&kSha512Avx512Half, 2}, {&kSha512Bmi2, 1}}};
  if (cpu().avx2) return {Algorithm::Sha512, {{&kSha512Avx2, 3}, {&kSha512Bmi2, 1}}};
#endif
  return {Algorithm::Sha512, {{&kSha512Lanes2, 2}, {&kSha512Scalar, 1}}};
}

std::vector<const LaneKernel*> findLaneKernels() {
  std::vector<const LaneKernel*> found = {&kSha256Scalar, &kSha512Scalar, &kSha256Lanes4, &kSha512Lanes2};
#if defined(__x86_64__)
  if (cpu().avx2) found.insert(found.end(), {&kSha256Bmi2, &kSha512Bmi2, &kSha256Avx2, &kSha512Avx2});
  if (cpu().avx512) found.insert(found.end(), {&kSha256Avx512, &kSha512Avx512Half, &kSha512Avx512});
  if (cpu().shaNi) found.insert(found.end(), {&kSha256Ni, &kSha256NiTwice});
#endif
  return found;
}

std::vector<StreamKernel> findStreamKernels() {
  std::vector<StreamKernel> found;
#if defined(__x86_64__)
  if (cpu().shaNi) found.push_back({"ni", sha256CompressNi});
  if (cpu().avx2) found.push_back({"bmi2", sha256CompressBmi2});
#endif
  found.push_back({"portable", sha256CompressPortable});
  return found;
}

}  // namespace

const HashPlan& bestPlan(Algorithm algorithm) {
  static const HashPlan sha256 = planSha256(), sha512 = planSha512();
  return algorithm == Algorithm::Sha256 ? sha256 : sha512;
}

const std::vector<const LaneKernel*>& laneKernels() {
  static const std::vector<const LaneKernel*> found = findLaneKernels();
  return found;
}

const std::vector<StreamKernel>& streamKernels() {
  static const std::vector<StreamKernel> found = findStreamKernels();
  return found;
}

void hashMessages(const HashPlan& plan, const uint8_t* const* messages, size_t count, size_t length, uint8_t* digests) {
  const size_t size = digestSize(plan.algorithm);
  while (count > 0) {
    const PlanStep* step = plan.steps;
    while (count < step->atLeast) step++;
    const LaneKernel& kernel = *step->kernel;
    size_t taken = kernel.lanes;
    if (count >= kernel.lanes) {
      kernel.hash(messages, length, digests);
    } else {
      taken = count;
      const uint8_t* lanes[kMaxLanes];
      uint8_t results[kMaxLanes * 64];
      for (size_t i = 0; i < kernel.lanes; i++) lanes[i] = messages[i < count ? i : 0];
      kernel.hash(lanes, length, results);
      memcpy(digests, results, count * size);
    }
    messages += taken;
    digests += taken * size;
    count -= taken;
  }
}

}  // namespace cfsbridge

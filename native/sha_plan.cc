// Which kernels this CPU can run and which to use for how many messages. The thresholds were measured with
// bench/hash.ts: a wide call costs the same however few of its lanes carry a message.
#include <cstring>

#include "sha_kernels.h"

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
    shaNi = hasShaExtensions() && __builtin_cpu_supports("sse4.1") && __builtin_cpu_supports("ssse3");
  }

 private:
  // Older compilers do not know "sha" as a name for __builtin_cpu_supports.
  static bool hasShaExtensions() {
    uint32_t highest, eax = 7, ebx, ecx = 0, edx;
    uint32_t b, c = 0, d;
    highest = 0;
    asm volatile("cpuid" : "+a"(highest), "=b"(b), "+c"(c), "=d"(d));
    if (highest < 7) return false;
    asm volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
    return ebx & (1u << 29);
  }
};

const Cpu& cpu() {
  static const Cpu found;
  return found;
}
#endif

HashPlan planSha256() {
#if defined(__x86_64__)
  if (cpu().avx512 && cpu().shaNi) return {Algorithm::Sha256, {{&kSha256Avx512, 12}, {&kSha256NiTwice, 2}, {&kSha256Ni, 1}}};
  if (cpu().avx512) return {Algorithm::Sha256, {{&kSha256Avx512, 6}, {&kSha256Avx2, 2}, {&kSha256Scalar, 1}}};
  if (cpu().shaNi) return {Algorithm::Sha256, {{&kSha256NiTwice, 2}, {&kSha256Ni, 1}}};
  if (cpu().avx2) return {Algorithm::Sha256, {{&kSha256Avx2, 3}, {&kSha256Lanes4, 2}, {&kSha256Scalar, 1}}};
#endif
  return {Algorithm::Sha256, {{&kSha256Lanes4, 2}, {&kSha256Scalar, 1}}};
}

HashPlan planSha512() {
#if defined(__x86_64__)
  if (cpu().avx512) return {Algorithm::Sha512, {{&kSha512Avx512, 5}, {&kSha512Avx512Half, 2}, {&kSha512Bmi2, 1}}};
  if (cpu().avx2) return {Algorithm::Sha512, {{&kSha512Avx2, 2}, {&kSha512Bmi2, 1}}};
#endif
  return {Algorithm::Sha512, {{&kSha512Lanes2, 2}, {&kSha512Scalar, 1}}};
}

}  // namespace

const HashPlan& bestPlan(Algorithm algorithm) {
  static const HashPlan sha256 = planSha256(), sha512 = planSha512();
  return algorithm == Algorithm::Sha256 ? sha256 : sha512;
}

void forEachKernel(void (*visit)(const LaneKernel& kernel, void* context), void* context) {
  for (const LaneKernel* kernel : {&kSha256Lanes4, &kSha512Lanes2, &kSha256Scalar, &kSha512Scalar}) visit(*kernel, context);
#if defined(__x86_64__)
  if (cpu().avx2) {
    for (const LaneKernel* kernel : {&kSha256Avx2, &kSha512Avx2, &kSha512Bmi2}) visit(*kernel, context);
  }
  if (cpu().avx512) {
    for (const LaneKernel* kernel : {&kSha256Avx512, &kSha512Avx512, &kSha512Avx512Half}) visit(*kernel, context);
  }
  if (cpu().shaNi) {
    for (const LaneKernel* kernel : {&kSha256Ni, &kSha256NiTwice}) visit(*kernel, context);
  }
#endif
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

Sha256Compress bestSha256Compress() {
#if defined(__x86_64__)
  if (cpu().shaNi) return sha256CompressNi;
#endif
  return sha256CompressPortable;
}

}  // namespace cfsbridge

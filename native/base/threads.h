// Work that several threads share.
#pragma once
#include <functional>

namespace cfsbridge {

// Runs `work` on so many threads, this one among them, and returns when all have ended. Where no more threads are to be
// had fewer do it all: this one at least. `work` must not throw (see FirstFailure).
void runOnThreads(unsigned count, const std::function<void()>& work);

}  // namespace cfsbridge

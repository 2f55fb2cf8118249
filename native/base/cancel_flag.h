// A byte that JavaScript sets to end work early; src/cancel-flag.ts is its other end.
#pragma once
#include <atomic>
#include <cstdint>

namespace cfsbridge {

class CancelFlag {
 public:
  // Of work that nobody ends early.
  CancelFlag() = default;
  // The byte must stay where it is as long as this is asked.
  explicit CancelFlag(const uint8_t* byte) : byte_(byte) {}

  bool isSet() const {
    // atomic_ref of a constant came after C++20.
    return byte_ && std::atomic_ref(*const_cast<uint8_t*>(byte_)).load(std::memory_order_relaxed) != 0;
  }

 private:
  const uint8_t* byte_ = nullptr;
};

}  // namespace cfsbridge

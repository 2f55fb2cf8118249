// What an object store does for JavaScript on another thread.
#pragma once

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#include "base/addon.h"
#include "base/file_io.h"
#include "store/object_store.h"

namespace cfsbridge {

// Something that gives nothing back.
class StoreJob : public PromiseJob {
 public:
  StoreJob(Napi::Env env, std::function<void()> call) : PromiseJob(env), call_(std::move(call)) {}

 private:
  void work() override { call_(); }
  Napi::Value result(Napi::Env env) override { return env.Undefined(); }

  const std::function<void()> call_;
};

class PutJob : public PromiseJob {
 public:
  PutJob(Napi::Env env, std::shared_ptr<ObjectStore> store, const Napi::Value& bytes)
      : PromiseJob(env), store_(std::move(store)) {
    const Napi::Uint8Array kept = this->kept(steadyBytes(bytes));
    data_ = kept.Data();
    size_ = kept.ByteLength();
  }

 private:
  void work() override {
    VerityHasher hasher(store_->algorithm());
    hasher.update(data_, size_);
    hasher.finish(digest_.data());
    if (store_->presentAndRight(digest_, size_, nullptr)) return;
    OwnedFd file = store_->temporary();
    writeExactly(file.get(), data_, size_, 0);
    store_->publish(std::move(file), digest_, size_);
  }
  Napi::Value result(Napi::Env env) override {
    return Napi::Buffer<uint8_t>::Copy(env, digest_.data(), digestSize(store_->algorithm()));
  }

  const std::shared_ptr<ObjectStore> store_;
  const uint8_t* data_;
  size_t size_;
  Digest digest_{};
};

// Looks for some objects, given as raw digests.
class LookupJob : public PromiseJob {
 public:
  LookupJob(Napi::Env env, std::shared_ptr<ObjectStore> store, Napi::Uint8Array digests)
      : PromiseJob(env), store_(std::move(store)), digests_(digests.Data(), digests.Data() + digests.ByteLength()) {}

 private:
  void work() override {
    const size_t size = digestSize(store_->algorithm());
    Digest digest{};
    for (size_t at = 0; at + size <= digests_.size(); at += size) {
      memcpy(digest.data(), digests_.data() + at, size);
      if (!look(*store_, digest, at / size)) return;
    }
  }
  // Whether to go on.
  virtual bool look(ObjectStore& store, const Digest& digest, size_t index) = 0;

  const std::shared_ptr<ObjectStore> store_;
  const std::vector<uint8_t> digests_;
};

// Those that are not usable: their indexes, in ascending order.
class UnusableJob : public LookupJob {
 public:
  using LookupJob::LookupJob;

 private:
  bool look(ObjectStore& store, const Digest& digest, size_t index) override {
    if (!store.hasUsable(digest)) unusable_.push_back(static_cast<uint32_t>(index));
    return true;
  }
  Napi::Value result(Napi::Env env) override {
    Napi::Uint32Array indexes = Napi::Uint32Array::New(env, unusable_.size());
    std::copy(unusable_.begin(), unusable_.end(), indexes.Data());
    return indexes;
  }

  std::vector<uint32_t> unusable_;
};

// The first that is not there.
class MissingJob : public LookupJob {
 public:
  using LookupJob::LookupJob;

 private:
  bool look(ObjectStore& store, const Digest& digest, size_t index) override {
    if (store.has(digest)) return true;
    missing_ = static_cast<int64_t>(index);
    return false;
  }
  Napi::Value result(Napi::Env env) override { return Napi::Number::New(env, static_cast<double>(missing_)); }

  int64_t missing_ = -1;
};

}  // namespace cfsbridge

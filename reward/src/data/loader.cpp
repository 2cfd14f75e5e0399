#include "rahf/reward/data/loader.h"

#include <ATen/Parallel.h>
#include <omp.h>

#include <numeric>

#include "rahf/core/io/resize.h"
#include "rahf/core/random.h"

namespace rahf::reward {
namespace {

/// @param map  [h, w] u8  @return [size, size] f32 in [0, 1]
torch::Tensor map_tensor(const torch::Tensor& map, std::int64_t size) {
  auto values = map.to(torch::kFloat).div_(255);
  if (values.size(0) == size && values.size(1) == size) return values;
  return io::resize(values.unsqueeze(0), size, size)[0];
}

torch::Tensor picture_tensor(const Image& picture, std::int64_t size) {
  if (picture.height == size && picture.width == size) return to_tensor(picture);
  return to_tensor(io::resize(picture, size, size));
}

}  // namespace

void LoaderOptions::validate() const {
  const auto require = [](bool ok, const char* what, std::int64_t got) {
    if (!ok) throw ConfigError(c10::str("loader: ", what, ", got ", got));
  };
  require(batch_size > 0, "batch_size must be > 0", batch_size);
  require(image_size > 0, "image_size must be > 0", image_size);
  require(threads >= 0, "threads must be >= 0", threads);
  require(prefetch > 0, "prefetch must be > 0", prefetch);
  augment.validate();
}

Loader::Loader(const Dataset& dataset, std::vector<std::int64_t> rows, LoaderOptions options,
               std::int64_t first)
    : dataset_(dataset),
      rows_(std::move(rows)),
      options_(std::move(options)),
      asked_(first),
      started_(first) {
  options_.validate();
  if (rows_.empty()) throw ConfigError("loader: rows must not be empty (is the split empty?)");
  for (std::int64_t t = 0; t < options_.threads; ++t) threads_.emplace_back([this] { work(); });
}

Loader::~Loader() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  for (auto& thread : threads_) thread.join();
}

std::int64_t Loader::batches() const {
  return (std::ssize(rows_) + options_.batch_size - 1) / options_.batch_size;
}

Loader::Order Loader::order(std::int64_t epoch) const {
  const std::lock_guard lock(order_mutex_);
  auto& order = orders_[epoch];
  if (!order) {
    std::vector<std::int64_t> shuffled = rows_;
    auto engine = Randomness(options_.seed).engine("shuffle", epoch);
    for (auto i = std::ssize(shuffled) - 1; i > 0; --i) {
      std::swap(shuffled[i], shuffled[uniform_int(engine, i + 1)]);
    }
    order = std::make_shared<const std::vector<std::int64_t>>(std::move(shuffled));
    if (orders_.size() > 3) {  // Threads are at most one pass apart.
      orders_.erase(orders_.begin()->first == epoch ? std::prev(orders_.end()) : orders_.begin());
    }
    return orders_.at(epoch);
  }
  return order;
}

std::vector<std::int64_t> Loader::rows(std::int64_t k) const {
  const auto count = std::ssize(rows_);
  const auto begin = k * options_.batch_size;
  const auto end =
      options_.repeat ? begin + options_.batch_size : std::min(begin + options_.batch_size, count);
  std::vector<std::int64_t> chosen;
  for (auto position = begin; position < end; ++position) {
    const auto epoch = position / count;
    chosen.push_back(options_.shuffle ? (*order(epoch))[position % count]
                                      : rows_[position % count]);
  }
  return chosen;
}

Batch Loader::batch(std::int64_t k) const {
  const auto chosen = rows(k);
  const auto count = std::ssize(chosen);
  const auto size = options_.image_size;
  Batch batch;
  batch.images = torch::empty({count, 3, size, size});
  batch.implausibility = torch::empty({count, size, size});
  batch.misalignment = torch::empty({count, size, size});
  batch.scores = torch::empty({count, static_cast<std::int64_t>(kScoreNames.size())});
  for (std::int64_t j = 0; j < count; ++j) {
    auto sample = dataset_.at(chosen[j]);
    auto engine = Randomness(options_.seed).engine("augment", k * options_.batch_size + j);
    augment(sample, options_.augment, engine);
    batch.images[j].copy_(picture_tensor(sample.picture, size));
    batch.implausibility[j].copy_(map_tensor(sample.implausibility, size));
    batch.misalignment[j].copy_(map_tensor(sample.misalignment, size));
    std::copy(sample.scores.begin(), sample.scores.end(),
              batch.scores.data_ptr<float>() + j * std::ssize(sample.scores));
    batch.prompts.push_back(std::move(sample.prompt));
    batch.misaligned_words.push_back(std::move(sample.misaligned_words));
  }
  return batch;
}

void Loader::work() {
  // One thread of its own is what a worker has: tensor operations in it take no more. LibTorch sets
  // a new thread's number on its first use, so that comes first.
  at::get_num_threads();
  omp_set_num_threads(1);
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stop_ || started_ < asked_ + options_.prefetch; });
    if (stop_ || !exists(started_)) return;
    const auto k = started_++;
    lock.unlock();
    Prepared prepared;
    try {
      prepared.batch = batch(k);
    } catch (...) {
      prepared.failure = std::current_exception();
    }
    lock.lock();
    ready_.emplace(k, std::move(prepared));
    changed_.notify_all();
  }
}

Batch Loader::next() {
  if (!exists(asked_)) {
    throw Error(c10::str("Loader::next: there are ", batches(), " batches, all were given out"));
  }
  if (threads_.empty()) return batch(asked_++);
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return ready_.count(asked_) > 0; });
  auto prepared = std::move(ready_.extract(asked_++).mapped());
  lock.unlock();
  changed_.notify_all();
  if (prepared.failure) std::rethrow_exception(prepared.failure);
  return std::move(prepared.batch);
}

}  // namespace rahf::reward

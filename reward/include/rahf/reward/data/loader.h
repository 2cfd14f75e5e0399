#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "rahf/reward/data/augment.h"
#include "rahf/reward/data/dataset.h"
#include "rahf/reward/data/sample.h"

namespace rahf::reward {

struct LoaderOptions {
  std::int64_t batch_size = 32;  ///< B; > 0.
  std::int64_t image_size = 0;   ///< Height and width of pictures and heatmaps, pixels; > 0.
  bool shuffle = true;           ///< A new order in every pass over the data.
  bool repeat = true;  ///< Pass after pass, all batches full; else one pass, whose last batch may
                       ///< be smaller.
  std::uint64_t seed = 0;
  std::int64_t threads = 1;   ///< That prepare batches ahead; 0 prepares them when asked for.
  std::int64_t prefetch = 4;  ///< Batches kept ready; > 0.
  AugmentOptions augment = AugmentOptions::none();

  /// @throws ConfigError naming the field.
  void validate() const;
};

/// Batches of a dataset, prepared on threads of its own. Batch k is a function of the dataset, its
/// rows, and the options but threads and prefetch: a run that resumes at k sees what it would have
/// seen.
///
/// Pictures are resized like Pillow's bilinear filter, heatmaps antialiased bilinear.
class Loader {
 public:
  /// @param dataset  must outlive the loader
  /// @param rows     the rows to draw from; not empty
  /// @param first    number of the batch that next() gives first
  Loader(const Dataset& dataset, std::vector<std::int64_t> rows, LoaderOptions options,
         std::int64_t first = 0);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// The next batch, waiting for it if need be. Call it from one thread.
  /// @throws FileError if a picture of it cannot be read or decoded; Error behind the last batch.
  Batch next();

  /// Batch k, prepared by the caller's thread.
  Batch batch(std::int64_t k) const;

  /// Row of the dataset of each picture of batch k.
  std::vector<std::int64_t> rows(std::int64_t k) const;

  /// Number of batches that one pass over the rows takes, rounded up.
  std::int64_t batches() const;

 private:
  using Order = std::shared_ptr<const std::vector<std::int64_t>>;
  Order order(std::int64_t epoch) const;
  bool exists(std::int64_t k) const { return options_.repeat || k < batches(); }
  void work();

  /// A batch, or why there is none.
  struct Prepared {
    Batch batch;
    std::exception_ptr failure;
  };

  const Dataset& dataset_;
  std::vector<std::int64_t> rows_;
  LoaderOptions options_;
  mutable std::mutex order_mutex_;
  mutable std::map<std::int64_t, Order> orders_;  ///< Of the latest epochs.

  std::mutex mutex_;
  std::condition_variable changed_;
  std::int64_t asked_;    ///< Number of the next batch to give out.
  std::int64_t started_;  ///< Number of the next batch to prepare.
  bool stop_ = false;
  std::map<std::int64_t, Prepared> ready_;
  std::vector<std::thread> threads_;
};

}  // namespace rahf::reward

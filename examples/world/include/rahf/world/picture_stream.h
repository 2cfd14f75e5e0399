#pragma once

#include <string>
#include <vector>

#include "rahf/core/picture_source.h"
#include "rahf/core/random.h"
#include "rahf/world/picture.h"

namespace rahf::world {

/// The closed world as a source of pictures to learn from, drawn in memory, several at a time.
class PictureStream : public PictureSource {
 public:
  /// @param captions  what to draw pictures for, each equally often; empty: any that options allow
  /// @throws ConfigError for bad options, or a caption that is not one of the grammar.
  PictureStream(const WorldOptions& options, const Randomness& random,
                const std::vector<std::string>& captions = {});

  std::int64_t side() const override { return options_.size; }
  CaptionedPictures at(std::int64_t first, std::int64_t count) const override;
  std::string identity() const override;

 private:
  WorldOptions options_;
  Randomness random_;
  std::vector<Description> asked_;
};

}  // namespace rahf::world

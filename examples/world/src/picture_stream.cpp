#include "rahf/world/picture_stream.h"

#include <torch/types.h>

#include <exception>

#include "draws.h"
#include "rahf/core/error.h"
#include "rahf/core/options.h"
#include "rahf/world/caption.h"

namespace rahf::world {

PictureStream::PictureStream(const WorldOptions& options, const Randomness& random,
                             const std::vector<std::string>& captions)
    : options_(options), random_(random) {
  options_.annotators = 0;
  options_.validate();
  for (const auto& text : captions) {
    const auto description = parse_caption(text);
    if (!description) {
      throw ConfigError("PictureStream: captions must be of the closed world's grammar, got '" +
                        text + "'");
    }
    asked_.push_back(*description);
  }
}

CaptionedPictures PictureStream::at(std::int64_t first, std::int64_t count) const {
  TORCH_INTERNAL_ASSERT(first >= 0 && count > 0);
  const auto side = options_.size;
  auto bytes = torch::empty({count, side, side, 3}, torch::kUInt8);
  CaptionedPictures drawn;
  drawn.prompts.resize(count);
  std::exception_ptr problem;
#pragma omp parallel for schedule(dynamic)
  for (std::int64_t i = 0; i < count; ++i) {
    try {
      auto engine = random_.engine("picture", first + i);
      const auto asked = asked_.empty() ? random_description(engine, options_.two_group_share)
                                        : pick(engine, asked_);
      auto picture = draw_picture_of(asked, options_, engine);
      std::copy(picture.image.pixels.begin(), picture.image.pixels.end(),
                bytes.data_ptr<std::uint8_t>() + i * side * side * 3);
      drawn.prompts[i].text = std::move(picture.prompt);
    } catch (...) {
#pragma omp critical(rahf_world_problem)
      problem = std::current_exception();
    }
  }
  if (problem) std::rethrow_exception(problem);
  drawn.images = bytes.permute({0, 3, 1, 2}).to(torch::kFloat).div_(255).contiguous();
  return drawn;
}

std::string PictureStream::identity() const {
  auto copy = options_;
  std::string text = "closed world, seed " + std::to_string(random_.seed());
  for (const auto& field : option_fields(copy)) text += ", " + field.name + ' ' + field.get();
  if (!asked_.empty()) {
    std::string all;
    for (const auto& description : asked_) all += caption(description) + '\n';
    const auto hash = Randomness(0).key(all, 0);
    text += ", captions " + std::to_string(asked_.size()) + " (" + std::to_string(hash) + ')';
  }
  return text;
}

}  // namespace rahf::world

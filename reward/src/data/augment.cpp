#include "rahf/reward/data/augment.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "rahf/core/io/image_file.h"
#include "rahf/core/random.h"

namespace rahf::reward {
namespace {

using Rgb = std::array<double, 3>;  // In [0, 255].

std::uint8_t to_byte(double value) {
  return static_cast<std::uint8_t>(std::lround(std::clamp(value, 0.0, 255.0)));
}

/// Replaces every pixel by what `change` makes of it.
template <class Change>
void each_pixel(Image& image, const Change& change) {
  for (std::size_t i = 0; i < image.pixels.size(); i += 3) {
    auto* pixel = &image.pixels[i];
    const Rgb changed = change(Rgb{double(pixel[0]), double(pixel[1]), double(pixel[2])});
    for (int c = 0; c < 3; ++c) pixel[c] = to_byte(changed[c]);
  }
}

Crop draw_crop(const Image& picture, double least, std::mt19937_64& engine) {
  const auto side = [&](std::int64_t size) {
    const double share = least + (1 - least) * uniform(engine);
    return std::clamp<std::int64_t>(std::llround(share * static_cast<double>(size)), 1, size);
  };
  Crop part;
  part.height = side(picture.height);
  part.width = side(picture.width);
  part.y = uniform_int(engine, picture.height - part.height + 1);
  part.x = uniform_int(engine, picture.width - part.width + 1);
  return part;
}

torch::Tensor crop_map(const torch::Tensor& map, const Crop& part, const Image& picture) {
  const auto cut = [](const torch::Tensor& tensor, std::int64_t dim, std::int64_t begin,
                      std::int64_t length, std::int64_t whole) {
    const auto size = tensor.size(dim);
    const auto scaled = [&](std::int64_t at) { return (2 * at * size + whole) / (2 * whole); };
    const auto from = std::min(scaled(begin), size - 1);
    return tensor.slice(dim, from, std::max(scaled(begin + length), from + 1));
  };
  return cut(cut(map, 0, part.y, part.height, picture.height), 1, part.x, part.width,
             picture.width);
}

}  // namespace

AugmentOptions AugmentOptions::none() {
  return {
      .crop = 0, .brightness = 0, .contrast = 0, .hue = 0, .saturation = 0, .jpeg = 0, .grey = 0};
}

void AugmentOptions::validate() const {
  const auto within = [](const char* name, double value, double low, double high) {
    if (value >= low && value <= high) return;
    throw ConfigError(
        c10::str("augment.", name, " must be in [", low, ", ", high, "], got ", value));
  };
  within("crop", crop, 0, 1);
  within("brightness", brightness, 0, 1);
  within("contrast", contrast, 0, 1);
  within("hue", hue, 0, 1);
  within("saturation", saturation, 0, 1);
  within("jpeg", jpeg, 0, 1);
  within("grey", grey, 0, 1);
  within("crop_least", crop_least, 1e-3, 1);
  within("brightness_most", brightness_most, 0, 1);
  within("contrast_least", contrast_least, 0, 1);
  within("hue_most", hue_most, 0, 0.5);
  within("saturation_least", saturation_least, 0, 1);
  within("jpeg_least", static_cast<double>(jpeg_least), 1, 100);
}

void crop(Sample& sample, const Crop& part) {
  sample.implausibility = crop_map(sample.implausibility, part, sample.picture);
  sample.misalignment = crop_map(sample.misalignment, part, sample.picture);
  Image cut(part.height, part.width);
  for (std::int64_t y = 0; y < part.height; ++y) {
    std::copy_n(sample.picture.at(part.y + y, part.x), part.width * 3, cut.at(y, 0));
  }
  sample.picture = std::move(cut);
}

void shift_brightness(Image& image, double shift) {
  each_pixel(image, [&](Rgb rgb) {
    for (auto& value : rgb) value += 255 * shift;
    return rgb;
  });
}

void scale_contrast(Image& image, double factor) {
  Rgb mean = {};
  for (std::size_t i = 0; i < image.pixels.size(); ++i) mean[i % 3] += image.pixels[i];
  for (auto& value : mean) value /= static_cast<double>(image.height * image.width);
  each_pixel(image, [&](Rgb rgb) {
    for (int c = 0; c < 3; ++c) rgb[c] = mean[c] + factor * (rgb[c] - mean[c]);
    return rgb;
  });
}

void change_colour(Image& image, double turn, double saturation) {
  each_pixel(image, [&](const Rgb& rgb) {
    const auto [low, high] = std::minmax({rgb[0], rgb[1], rgb[2]});
    const double chroma = high - low;
    if (chroma == 0) return rgb;
    double sector = high == rgb[0]   ? (rgb[1] - rgb[2]) / chroma
                    : high == rgb[1] ? (rgb[2] - rgb[0]) / chroma + 2
                                     : (rgb[0] - rgb[1]) / chroma + 4;
    sector += 6 * turn;
    // From HSV: each channel is high - s * v * max(0, min(k, 4 - k, 1)), k = (n + sector) mod 6.
    const double scaled = std::min(chroma * saturation, high);
    const auto channel = [&, value = high](double n) {
      double k = std::fmod(n + sector, 6);
      if (k < 0) k += 6;
      return value - scaled * std::max(0.0, std::min({k, 4 - k, 1.0}));
    };
    return Rgb{channel(5), channel(3), channel(1)};
  });
}

void make_grey(Image& image) {
  each_pixel(image, [](const Rgb& rgb) {
    const double luma = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2];
    return Rgb{luma, luma, luma};
  });
}

void augment(Sample& sample, const AugmentOptions& options, std::mt19937_64& engine) {
  const auto happens = [&](double probability) { return uniform(engine) < probability; };
  const auto between = [&](double low, double high) {
    return low + (high - low) * uniform(engine);
  };
  const bool cropped = happens(options.crop);
  const auto part = draw_crop(sample.picture, options.crop_least, engine);
  const bool brightened = happens(options.brightness);
  const double shift = between(-options.brightness_most, options.brightness_most);
  const bool flattened = happens(options.contrast);
  const double contrast = between(options.contrast_least, 1);
  const bool turned = happens(options.hue);
  const double turn = between(-options.hue_most, options.hue_most);
  const bool paled = happens(options.saturation);
  const double saturation = between(options.saturation_least, 1);
  const bool compressed = happens(options.jpeg);
  const auto quality = options.jpeg_least + static_cast<std::int64_t>(between(
                                                0, static_cast<double>(101 - options.jpeg_least)));
  const bool greyed = happens(options.grey);

  auto& picture = sample.picture;
  if (cropped) crop(sample, part);
  if (brightened) shift_brightness(picture, shift);
  if (flattened) scale_contrast(picture, contrast);
  if (turned || paled) change_colour(picture, turned ? turn : 0, paled ? saturation : 1);
  if (compressed) {
    picture = io::decode_image(io::encode_jpeg(picture, static_cast<int>(quality)), sample.image);
  }
  if (greyed) make_grey(picture);
}

}  // namespace rahf::reward

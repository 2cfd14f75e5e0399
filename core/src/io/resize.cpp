#include "rahf/core/io/resize.h"

#include <ATen/ops/_upsample_bilinear2d_aa.h>

#include <algorithm>
#include <cmath>

#include "rahf/core/error.h"

namespace rahf::io {
namespace {

// The arithmetic of Pillow's Resample.c for 8-bit pictures: weights in fixed point, so that sums of
// 8-bit values fit into 32 bits, and rounding to 8 bits after each pass.
constexpr int kPrecisionBits = 32 - 8 - 2;

double bilinear(double x) { return std::max(0.0, 1.0 - std::abs(x)); }

double bicubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

/// What one pixel of the result is made of along one axis.
struct Window {
  std::int64_t first = 0;             ///< The first source pixel.
  std::vector<std::int32_t> weights;  ///< Of it and those that follow, in 1 / 2^kPrecisionBits.
};

std::vector<Window> windows(std::int64_t in_size, std::int64_t out_size, ResizeFilter filter) {
  const auto kernel = filter == ResizeFilter::kBilinear ? bilinear : bicubic;
  const double scale = static_cast<double>(in_size) / static_cast<double>(out_size);
  const double stretch = std::max(scale, 1.0);
  const double support = (filter == ResizeFilter::kBilinear ? 1.0 : 2.0) * stretch;
  const double inverse_stretch = 1.0 / stretch;

  std::vector<Window> all(out_size);
  std::vector<double> exact;
  for (std::int64_t i = 0; i < out_size; ++i) {
    const double center = (static_cast<double>(i) + 0.5) * scale;
    const auto first = std::max<std::int64_t>(static_cast<std::int64_t>(center - support + 0.5), 0);
    const auto last = std::min(static_cast<std::int64_t>(center + support + 0.5), in_size);
    exact.clear();
    double sum = 0;
    for (auto x = first; x < last; ++x) {
      exact.push_back(kernel((static_cast<double>(x) - center + 0.5) * inverse_stretch));
      sum += exact.back();
    }
    all[i].first = first;
    for (double weight : exact) {
      if (sum != 0.0) weight /= sum;
      const double fixed = weight * (1 << kPrecisionBits);
      all[i].weights.push_back(static_cast<std::int32_t>(fixed + (weight < 0 ? -0.5 : 0.5)));
    }
  }
  return all;
}

std::uint8_t clip8(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::clamp(sum >> kPrecisionBits, 0, 255));
}

constexpr std::int32_t kHalf = 1 << (kPrecisionBits - 1);

Image resize_rows(const Image& image, std::int64_t width, ResizeFilter filter) {
  const auto all = windows(image.width, width, filter);
  Image out(image.height, width);
  for (std::int64_t y = 0; y < out.height; ++y) {
    for (std::int64_t x = 0; x < out.width; ++x) {
      std::int32_t red = kHalf;
      std::int32_t green = kHalf;
      std::int32_t blue = kHalf;
      const auto* from = image.at(y, all[x].first);
      for (const auto weight : all[x].weights) {
        red += *from++ * weight;
        green += *from++ * weight;
        blue += *from++ * weight;
      }
      auto* to = out.at(y, x);
      to[0] = clip8(red);
      to[1] = clip8(green);
      to[2] = clip8(blue);
    }
  }
  return out;
}

Image resize_columns(const Image& image, std::int64_t height, ResizeFilter filter) {
  const auto all = windows(image.height, height, filter);
  Image out(height, image.width);
  const auto row_bytes = image.width * 3;
  std::vector<std::int32_t> sums(row_bytes);
  for (std::int64_t y = 0; y < out.height; ++y) {
    std::fill(sums.begin(), sums.end(), kHalf);
    const auto* from = image.at(all[y].first, 0);
    for (const auto weight : all[y].weights) {
      for (std::int64_t i = 0; i < row_bytes; ++i) sums[i] += from[i] * weight;
      from += row_bytes;
    }
    std::transform(sums.begin(), sums.end(), out.at(y, 0), clip8);
  }
  return out;
}

}  // namespace

Image resize(const Image& image, std::int64_t height, std::int64_t width, ResizeFilter filter) {
  if (image.height < 1 || image.width < 1 || height < 1 || width < 1) {
    throw ShapeError("resize: sizes must be positive, got " + std::to_string(image.height) + " x " +
                     std::to_string(image.width) + " to " + std::to_string(height) + " x " +
                     std::to_string(width));
  }
  const auto along_rows = [&](const Image& in) {
    return width == in.width ? in : resize_rows(in, width, filter);
  };
  const auto along_columns = [&](const Image& in) {
    return height == in.height ? in : resize_columns(in, height, filter);
  };
  // The order matters to rounding. Pillow takes it so since 13.0; before, rows came first always.
  const auto rows_lost = image.height - height;
  const bool columns_first = rows_lost > 0 && rows_lost > 2 * (image.width - width);
  return columns_first ? along_rows(along_columns(image)) : along_columns(along_rows(image));
}

torch::Tensor resize(const torch::Tensor& images, std::int64_t height, std::int64_t width) {
  const bool maps = images.defined() && images.dim() == 3;
  if (!maps && !(images.defined() && images.dim() == 4)) {
    throw ShapeError("resize: images must be [B, C, H, W] or [B, H, W], got " +
                     (images.defined() ? c10::str(images.sizes()) : "an undefined tensor"));
  }
  if (height < 1 || width < 1 || images.size(-1) < 1 || images.size(-2) < 1) {
    throw ShapeError("resize: sizes must be positive, got " + c10::str(images.sizes()) + " to " +
                     std::to_string(height) + " x " + std::to_string(width));
  }
  const auto resized = at::_upsample_bilinear2d_aa(maps ? images.unsqueeze(1) : images,
                                                   {height, width}, /*align_corners=*/false);
  return maps ? resized.squeeze(1) : resized;
}

}  // namespace rahf::io

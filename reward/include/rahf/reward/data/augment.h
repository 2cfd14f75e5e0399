#pragma once

#include <cstdint>
#include <random>

#include "rahf/core/image.h"
#include "rahf/core/options.h"
#include "rahf/reward/data/sample.h"

namespace rahf::reward {

/// Random changes to a training picture (RAHF, supplement). Those that move pixels move the
/// heatmaps along; those that change colours are drawn independently of each other.
struct AugmentOptions {
  double crop = 0.5;              ///< Probability of a crop.
  double crop_least = 0.8;        ///< Smallest share of height and of width that stays; in (0, 1].
  double brightness = 0.1;        ///< Probability.
  double brightness_most = 0.05;  ///< Largest shift, of a range of 1; in [0, 1].
  double contrast = 0.1;          ///< Probability.
  double contrast_least = 0.8;    ///< Smallest factor; in [0, 1].
  double hue = 0.1;               ///< Probability.
  double hue_most = 0.025;        ///< Largest turn, of the full circle; in [0, 0.5].
  double saturation = 0.1;        ///< Probability.
  double saturation_least = 0.8;  ///< Smallest factor; in [0, 1].
  double jpeg = 0.1;              ///< Probability.
  std::int64_t jpeg_least = 70;   ///< Lowest quality; in [1, 100].
  double grey = 0.1;              ///< Probability.

  /// Changes nothing.
  static AugmentOptions none();

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("crop", self.crop, "probability of a crop; in [0, 1]");
    visit("crop_least", self.crop_least, "smallest share of height and width kept; in (0, 1]");
    visit("brightness", self.brightness, "probability of a shift of brightness; in [0, 1]");
    visit("brightness_most", self.brightness_most, "largest shift, of a range of 1; in [0, 1]");
    visit("contrast", self.contrast, "probability of less contrast; in [0, 1]");
    visit("contrast_least", self.contrast_least, "smallest factor; in [0, 1]");
    visit("hue", self.hue, "probability of a turn of hue; in [0, 1]");
    visit("hue_most", self.hue_most, "largest turn, of the full circle; in [0, 0.5]");
    visit("saturation", self.saturation, "probability of less saturation; in [0, 1]");
    visit("saturation_least", self.saturation_least, "smallest factor; in [0, 1]");
    visit("jpeg", self.jpeg, "probability of JPEG compression; in [0, 1]");
    visit("jpeg_least", self.jpeg_least, "lowest quality; in [1, 100]");
    visit("grey", self.grey, "probability of grey; in [0, 1]");
  }
  /// @throws ConfigError naming the field.
  void validate() const;
};

/// Draws and applies the changes. A crop leaves picture and heatmaps smaller; the loader resizes
/// them. Always takes the same number of draws, so that one option does not change the others'
/// outcome.
void augment(Sample& sample, const AugmentOptions& options, std::mt19937_64& engine);

/// A part of a picture, in its pixels.
struct Crop {
  std::int64_t y = 0;
  std::int64_t x = 0;
  std::int64_t height = 0;
  std::int64_t width = 0;
};

/// Cuts out the part from the picture and from both heatmaps; where a heatmap has another size than
/// the picture, the same part of it, to its nearest pixels.
void crop(Sample& sample, const Crop& part);

/// Adds `shift` of the full range to every channel.
void shift_brightness(Image& image, double shift);
/// Scales the distance from each channel's mean.
void scale_contrast(Image& image, double factor);
/// Turns the hue by `turn` of the full circle and scales saturation, both in HSV.
void change_colour(Image& image, double turn, double saturation);
/// Replaces colours by their luma (ITU-R BT.601).
void make_grey(Image& image);

}  // namespace rahf::reward

#pragma once

#include <torch/nn/cloneable.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "rahf/core/options.h"

namespace rahf::reward {

/// The two published readings of RAHF's heads.
enum class HeadDesign {
  kPlain,     ///< As the paper's appendix is read by its replicas: layer norm over channels, no
              ///< shortcuts; 2 x 2 convolutions without padding in the score head.
  kResidual,  ///< The first author's: RMS norm over channels, a shortcut around each stage's
              ///< convolutions; 3 x 3 convolutions in the score head.
};

/// Normalises over the channels of each pixel: layer norm (kPlain; 1e-6 is added to the variance)
/// or RMS norm (kResidual; 1e-8 to the mean square).
class ChannelNormImpl : public torch::nn::Cloneable<ChannelNormImpl> {
 public:
  ChannelNormImpl(std::int64_t channels, HeadDesign design);
  void reset() override;
  /// @param x  [B, C, h, w]  @return the same shape
  torch::Tensor forward(const torch::Tensor& x);

 private:
  std::int64_t channels_;
  HeadDesign design_;
  torch::Tensor weight_, bias_;
};
TORCH_MODULE(ChannelNorm);

struct HeatmapHeadOptions {
  HeadDesign design = HeadDesign::kResidual;
  std::vector<std::int64_t> entry = {768, 384};             ///< Channels of the first convolutions.
  std::vector<std::int64_t> stages = {768, 384, 384, 192};  ///< One per doubling of the size.
  std::int64_t stage_convs = 2;  ///< 3 x 3 convolutions after each doubling; >= 0.
  std::int64_t readout = 192;    ///< Channels before the last convolution; > 0.
  double initial_logit = 0;      ///< Where the last bias starts; -4 suits sparse maps.

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("design", self.design, "plain: layer norm; residual: RMS norm and shortcuts");
    visit("entry", self.entry, "channels of the convolutions on the token grid; > 0");
    visit("stages", self.stages, "channels of each stage, which doubles the size; > 0");
    visit("stage_convs", self.stage_convs, "3 x 3 convolutions after each doubling; >= 0");
    visit("readout", self.readout, "channels before the last convolution; > 0");
    visit("initial_logit", self.initial_logit, "where the last bias starts; -4 suits sparse maps");
  }
  /// @throws ConfigError naming the field. `name` is put before it.
  void validate(std::string_view name) const;
};

/// Token features to a heatmap at the picture's size.
///
///     conv 3x3 ... -> { deconv 3x3 stride 2, norm, relu, conv 3x3 ... } per stage -> conv -> conv
class HeatmapHeadImpl : public torch::nn::Cloneable<HeatmapHeadImpl> {
 public:
  HeatmapHeadImpl(std::int64_t width, HeatmapHeadOptions options);
  void reset() override;

  /// @param features  [B, D, h, w] f32   tokens of the picture on their grid
  /// @return          [B, h * 2^stages, w * 2^stages] f32  logits; sigmoid gives the heatmap
  torch::Tensor forward(const torch::Tensor& features);

 private:
  std::int64_t width_;
  HeatmapHeadOptions options_;
  torch::nn::ModuleList entry_{nullptr}, entry_norms_{nullptr};
  torch::nn::ModuleList up_{nullptr}, up_norms_{nullptr};
  torch::nn::ModuleList convs_{nullptr}, conv_norms_{nullptr};
  torch::nn::Conv2d readout_{nullptr}, last_{nullptr};
};
TORCH_MODULE(HeatmapHead);

struct ScoreHeadOptions {
  HeadDesign design = HeadDesign::kResidual;
  std::vector<std::int64_t> channels = {768, 384, 192, 96, 48, 12};  ///< Of the convolutions.
  std::vector<std::int64_t> hidden = {512, 128};                     ///< Of the linear layers.

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("design", self.design,
          "plain: 2 x 2 convolutions, layer norm; residual: 3 x 3, RMS norm");
    visit("channels", self.channels, "channels of the convolutions; > 0");
    visit("hidden", self.hidden, "widths of the linear layers before the last; > 0");
  }
  void validate(std::string_view name) const;
};

/// Token features to one score: convolutions, flatten, linear layers.
class ScoreHeadImpl : public torch::nn::Cloneable<ScoreHeadImpl> {
 public:
  /// @param grid  height and width of the token grid, which fixes the first linear layer
  ScoreHeadImpl(std::int64_t width, std::int64_t grid, ScoreHeadOptions options);
  void reset() override;

  /// @param features  [B, D, grid, grid] f32
  /// @return          [B] f32  logits; sigmoid gives the score
  torch::Tensor forward(const torch::Tensor& features);

 private:
  std::int64_t width_, grid_;
  ScoreHeadOptions options_;
  torch::nn::ModuleList convs_{nullptr}, norms_{nullptr}, linears_{nullptr};
};
TORCH_MODULE(ScoreHead);

}  // namespace rahf::reward

template <>
struct rahf::EnumNames<rahf::reward::HeadDesign> {
  static constexpr std::array<std::pair<rahf::reward::HeadDesign, std::string_view>, 2> value = {
      {{rahf::reward::HeadDesign::kPlain, "plain"},
       {rahf::reward::HeadDesign::kResidual, "residual"}}};
};
